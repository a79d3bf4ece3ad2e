"""A client's side of a document: one operation in flight, and a buffer behind it."""

import secrets
from collections.abc import Callable

from ot import Operation, apply, compose, transform


class Client:
    """A document as one client has it. It has no socket: `send` sends a request.

    It passes each message that the server sends to `receive`, in order.
    """

    def __init__(self, send: Callable[[dict], None]) -> None:
        self.send = send
        self.open = False  # from the welcome until the connection has ended
        self.text = ""
        self.revision: int | None = None  # the newest of the server's that `text` includes
        self.in_flight: Operation | None = None  # sent, and not acknowledged
        self.id = ""  # of the operation in flight
        self.buffer: Operation | None = None  # made since; not sent
        self.lost: list[str] = []  # inserted here, but dropped, since the server gave a new text

    def edit(self, operation: Operation) -> None:
        """Apply what the user has done. Raises Misfit if it is for a text of another length."""
        self.text = apply(self.text, operation)
        # --8<-- [start:client] Compose the operation onto `buffer`, and call `flush()`.
        self.buffer = compose(self.buffer, operation) if self.buffer else operation
        self.flush()
        # --8<-- [end:client]

    def flush(self) -> None:
        """Send the buffer, if the connection is open and no operation is in flight."""
        # --8<-- [start:client-flush] Move `buffer` to `in_flight`, give it an `id`, and send it.
        if self.open and self.buffer and not self.in_flight:
            self.in_flight, self.buffer = self.buffer, None
            self.id = secrets.token_hex(8)
            self.send_in_flight()
        # --8<-- [end:client-flush]

    def send_in_flight(self) -> None:
        """Send the operation in flight, as it is at the present revision."""
        request = {"id": self.id, "revision": self.revision, "operation": self.in_flight}
        self.send({"type": "edit", **request})

    def disconnected(self) -> None:
        """Note that the connection has ended. The client's operations stay."""
        self.open = False

    def receive(self, said: dict) -> None:
        """Handle a message of the server."""
        ours = self.in_flight is not None and said.get("id") == self.id
        if said["type"] == "welcome":
            self.opened()
        elif said["type"] == "document":
            self.replaced(said["text"], said["revision"])
        elif said["type"] == "error" and ours:
            self.send({"type": "document", "id": secrets.token_hex(8)})
        elif said["type"] in ("ack", "edit") and ours:
            self.acknowledged(said["revision"])
        elif said["type"] == "edit":
            self.edited(said["operation"], said["revision"])

    def opened(self) -> None:
        """The connection is open, and nothing is missing: send what wasn't acknowledged."""
        # --8<-- [start:client-opened] Set `open`. Send the operation in flight again, or `flush()`.
        self.open = True
        if self.in_flight:
            self.send_in_flight()
        else:
            self.flush()
        # --8<-- [end:client-opened]

    def acknowledged(self, revision: int) -> None:
        """The server has the operation in flight. It made this revision."""
        # --8<-- [start:client-acknowledged] Set `revision` and `in_flight`, and `flush()`.
        self.revision, self.in_flight = revision, None
        self.flush()
        # --8<-- [end:client-acknowledged]

    def edited(self, operation: Operation, revision: int) -> None:
        """Apply another client's operation, which the server has ordered before ours."""
        # --8<-- [start:client-edited] Transform it, `in_flight` and `buffer`, then apply it.
        if self.in_flight:
            operation, self.in_flight = transform(operation, self.in_flight)
        if self.buffer:
            operation, self.buffer = transform(operation, self.buffer)
        self.text, self.revision = apply(self.text, operation), revision
        # --8<-- [end:client-edited]

    def replaced(self, text: str, revision: int) -> None:
        """Begin again with the server's text: what happened before it isn't known any more."""
        waiting = (self.in_flight or []) + (self.buffer or [])
        self.lost += [part for part in waiting if isinstance(part, str)]
        self.text, self.revision = text, revision
        self.in_flight = self.buffer = None
