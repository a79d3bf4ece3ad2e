"""A first attempt: two clients that send each keystroke to each other, as it is."""

from collections import deque

TEXT = "the cat sat"
DELAY = 3  # keystrokes that a client types while a message is on its way
BACKSPACE = "\b"


class Client:
    """A document as one client has it. `inbox` has what the other client has sent."""

    def __init__(self, caret: int) -> None:
        self.text, self.caret = TEXT, caret
        self.inbox: deque[tuple[int, str]] = deque()

    def type(self, key: str, other: "Client") -> None:
        """Show the keystroke at once, and send it to the other client."""
        other.inbox.append((self.caret, key))
        self.change(self.caret, key)

    def change(self, position: int, key: str) -> None:
        """Insert a character, or delete the one before the position. The caret moves along."""
        removed = 1 if key == BACKSPACE else 0
        inserted = "" if removed else key
        self.text = self.text[: position - removed] + inserted + self.text[position:]
        if position <= self.caret:
            self.caret += len(inserted) - removed


def main() -> None:
    """Let ada write before the cat, and bob after it, at the same time. Print both documents."""
    ada, bob = Client(caret=4), Client(caret=11)
    keys = {ada: deque("black "), bob: deque(f"{BACKSPACE}w us")}
    steps = 0
    while any(keys.values()) or ada.inbox or bob.inbox:
        steps += 1
        for client, other in ((ada, bob), (bob, ada)):
            if keys[client]:
                client.type(keys[client].popleft(), other)
        for client in (ada, bob):
            if steps > DELAY and client.inbox:
                client.change(*client.inbox.popleft())
    print(f"ada's document: {ada.text}\nbob's document: {bob.text}")


if __name__ == "__main__":
    main()
