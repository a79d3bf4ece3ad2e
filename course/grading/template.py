"""The process that forks children: it has imported what learners import.

    template.py FD FOLDER

FD is the Unix socket on which graders ask for children. At the end this process removes the folder,
and what tests left in it. It is a plain script, as child.py is. The grader's side of this is
children.py.
"""

import contextlib
import gc
import importlib.util
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

_spec = importlib.util.spec_from_file_location("child", Path(__file__).with_name("child.py"))
child = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(child)


class Template:
    """Forks children for graders, and lets none outlive the grader that asked for it."""

    def __init__(self, number: str, folder: str) -> None:
        self.folder = folder
        self.listener = socket.socket(fileno=int(number))
        self.owners: dict[int, socket.socket] = {}  # a child's process id, and who asked for it
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        self.wake = wake_read
        self.selector.register(wake_read, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._adopt_orphans()

    def _adopt_orphans(self) -> None:
        """On Linux, become the parent of what a child leaves behind, so that it can be ended."""
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def serve(self) -> socket.socket:
        """Fork for each request. Returns in every child, with its channel; never in the parent."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    connection, _ = self.listener.accept()
                    self.selector.register(connection, 1)
                elif key.fileobj is sys.stdin:
                    if not os.read(0, 4096):
                        self.finish()
                        child.real_exit(0)
                elif key.fileobj == self.wake:
                    os.read(self.wake, 4096)
                    self.reap()
                else:
                    channel = self.request(key.fileobj)
                    if channel:
                        return channel

    def request(self, connection: socket.socket) -> socket.socket | None:
        """Fork, or end the children of a grader that has gone. Returns a channel in the child."""
        try:
            data, fds, _, _ = socket.recv_fds(connection, 1, 3)
        except OSError:
            data, fds = b"", []
        if not data:
            self.selector.unregister(connection)
            connection.close()
            self.end_all(connection)
            return None
        pid = os.fork()
        if pid == 0:
            return self.become(fds)
        for fd in fds:
            os.close(fd)
        self.owners[pid] = connection
        self.tell(connection, pid=pid)
        return None

    def become(self, fds: list[int]) -> socket.socket:
        """In the child: let go of the template's files, and take the three that were sent."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for key in list(self.selector.get_map().values()):
            if key.fileobj is not sys.stdin:
                key.fileobj.close() if hasattr(key.fileobj, "close") else os.close(key.fileobj)
        self.selector.close()
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (fds[1], 1), (fds[2], 2)):
            os.dup2(source, target)
            os.close(source)
        return socket.socket(fileno=fds[0])

    def reap(self) -> None:
        """Tell each child's grader how it ended, and end what the child left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            owner = self.owners.pop(pid, None)
            if owner:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
                self.tell(owner, pid=pid, status=os.waitstatus_to_exitcode(status))
        self.end_orphans()

    def end_orphans(self) -> None:
        with contextlib.suppress(OSError):
            children = Path("/proc/self/task", str(os.getpid()), "children").read_text()
            for pid in set(map(int, children.split())) - set(self.owners):
                os.kill(pid, signal.SIGKILL)

    def finish(self) -> None:
        """End every process that was started here, and remove the folder of the tests."""
        self.end_all(None)
        with contextlib.suppress(ChildProcessError):
            for _ in range(400):
                # Once a child has ended, this process is the parent of everything that it started.
                self.end_orphans()
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
                time.sleep(0.005)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tell(self, connection: socket.socket, **message: int) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(message).encode() + b"\n")

    def end_all(self, owner: socket.socket | None) -> None:
        """End the children of one grader, or of all."""
        for pid in [p for p, o in self.owners.items() if owner is None or o is owner]:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Fork children; go on as each of them."""
    child.prepare()
    gc.collect()
    gc.freeze()
    child.begin(Template(*sys.argv[1:]).serve())


if __name__ == "__main__":
    main()
