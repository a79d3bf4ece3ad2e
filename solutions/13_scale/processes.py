"""Report to the other processes that this one is alive, its members and its connections."""

import json
import logging
import secrets
import threading
import time
from collections import Counter
from functools import cached_property

from werkzeug.exceptions import ServiceUnavailable

from database import Database, Stream, key

log = logging.getLogger(__name__)


class Processes:
    """The board's processes. Each renews its lease, and removes the data of dead ones."""

    def __init__(self, database: Database, stream: Stream, lease: float) -> None:
        self._database, self._stream, self._lease = database, stream, lease
        self._renew, self._enter = database.script("renew.lua"), database.script("enter.lua")
        self._lock = threading.RLock()  # for the counts, also while they are stored
        self._bell = threading.Event()
        self._started = False
        self._since: float | None = None  # the time since which each beat has reached Redis
        self._rooms_lock = threading.Lock()  # It is never held during a call of Redis.
        self._rooms: dict[str, list[str]] = {}  # the members of each room, in this process
        self._changed: set[str] = set()  # rooms whose members Redis doesn't have yet
        self._open: Counter[str] = Counter()  # connections in this process, by name
        self._open_changed = False  # Redis may have other counts.

    @cached_property
    def id(self) -> str:
        """The name of this process, drawn when it is first needed: a server may fork before."""
        return secrets.token_hex(8)

    def start(self) -> None:
        """Start renewing this process's lease. Only the first call has an effect."""
        with self._lock:
            if self._started:
                return
            self.beat()
            self._started = True
        threading.Thread(target=self._run, daemon=True, name="processes").start()

    def _run(self) -> None:
        while True:
            self._bell.wait(self._lease / 3)
            self._bell.clear()
            try:
                self.beat()
            except ServiceUnavailable:
                time.sleep(min(1.0, self._lease / 3))
                self._bell.set()
            except Exception:
                log.exception("A beat of this process failed.")

    def beat(self) -> None:
        """Renew the lease, store what has changed, and remove the data of dead processes."""
        since, self._since = self._since, None  # It stays None if Redis can't be reached.
        new, silent = self._renew([key("processes")], [self.id, self._lease])
        if new:  # The others considered this process dead, and removed its data.
            with self._rooms_lock:
                self._changed |= self._rooms.keys()
            self._open_changed = True
        self._store_members()
        self._store_open()
        self._since = since or time.monotonic()
        # After an outage of Redis, all leases have run out although all processes live.
        if time.monotonic() - self._since >= self._lease:
            for process in silent:
                if process != self.id:
                    self.bury(process)

    # Members

    def tell(self, room: str, names: list[str]) -> None:
        """Store the room's members in this process, soon and in another thread."""
        with self._rooms_lock:
            if names == self._rooms.get(room, []):
                return
            self._rooms[room] = names
            self._changed.add(room)
        self._bell.set()

    def _store_members(self) -> None:
        """Store the members of the rooms that have changed, and append that to the stream."""
        while True:
            with self._rooms_lock:
                if not self._changed:
                    return
                room = self._changed.pop()
                names = self._rooms[room] or self._rooms.pop(room)
            members = key("members", self.id)
            command = ["HSET", members, room, json.dumps(names)]
            command = command if names else ["HDEL", members, room]
            try:
                self._stream.append({"presence": room}, *command)
            except ServiceUnavailable:
                with self._rooms_lock:
                    self._rooms.setdefault(room, names)
                    self._changed.add(room)
                raise

    def members(self, room: str) -> list[str]:
        """Return the names of the members of a room over all processes, sorted, each once."""
        names: set[str] = set()
        # --8<-- [start:presence-members] Add to `names` the members that each process stores.
        for process in self._database.zrange(key("processes"), 0, -1):
            names.update(json.loads(self._database.hget(key("members", process), room) or "[]"))
        # --8<-- [end:presence-members]
        return sorted(names)

    def bury(self, process: str) -> None:
        """Remove the data of a dead process, and tell all processes which rooms have changed."""
        # --8<-- [start:presence-bury] Call `append()` with an HDEL for each room. Remove the rest.
        for room in self._database.hkeys(key("members", process)):
            self._stream.append({"presence": room}, "HDEL", key("members", process), room)
        self._database.delete(key("open", process))
        self._database.zrem(key("processes"), process)
        # --8<-- [end:presence-bury]

    # Connections

    def enter(self, limits: dict[str, int], count: bool = True) -> str | None:
        """Count a connection under each name. Return the first name that has reached its limit."""
        keys = [key("processes"), key("open", self.id)]
        pairs = [word for pair in limits.items() for word in pair]
        with self._lock:
            try:
                reached = self._enter(keys, [key("open", ""), int(count), *pairs])
            except ServiceUnavailable:
                self._open_changed = True  # It may have been counted before the call failed.
                raise
            if reached:
                return list(limits)[reached - 1]
            self._open.update(limits.keys() if count else ())
        return None

    def leave(self, names: list[str]) -> None:
        """Stop counting a connection. If Redis can't be reached, it gets the counts later."""
        with self._lock:
            self._open.subtract(names)
            self._open = +self._open  # without those that are 0
            try:
                for name in names:
                    if self._database.hincrby(key("open", self.id), name, -1) <= 0:
                        self._database.hdel(key("open", self.id), name)
            except ServiceUnavailable:
                self._open_changed = True

    def _store_open(self) -> None:
        """Store all counts if those in Redis may differ."""
        with self._lock:
            if not self._open_changed:
                return
            self._database.delete(key("open", self.id))
            if self._open:
                self._database.hset(key("open", self.id), mapping=self._open)
            self._open_changed = False
