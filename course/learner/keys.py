"""The keys of the watch screen: what each one does, and how the footer shows it."""

from typing import NamedTuple


class Binding(NamedTuple):
    """Keys that do the same. `does` is a method of Watch without its `_`.

    `shown` is the text in the footer, the key first; a binding without it isn't in the footer.
    """

    keys: tuple[str, ...]
    does: str
    shown: str = ""


QUIT = Binding(("q",), "quit", "q quit")
BACK = Binding(("b", "escape"), "back")

# The bindings of each mode of the screen, in the footer's order.
BINDINGS = {
    "tasks": (
        Binding(("h",), "hint", "h hint"),
        Binding(("d",), "docs", "d docs"),
        Binding(("n",), "next", "n next"),
        Binding(("p",), "previous", "p previous"),
        Binding(("l",), "list", "l list"),
        Binding(("s",), "solution", "s solution"),
        Binding(("r",), "reset", "r reset"),
        Binding(("c",), "check", "c check"),
        Binding(("up", "k"), "up"),
        Binding(("down", "j"), "down"),
        QUIT,
        BACK,
    ),
    "list": (
        Binding(("up", "k"), "above", "↑↓ move"),
        Binding(("down", "j"), "below"),
        Binding(("enter",), "choose", "enter choose"),
        Binding(("l",), "back", "l back"),
        QUIT,
        BACK,
    ),
    "ask": (
        Binding(("y",), "yes", "y yes"),
        Binding(("n",), "back", "n no"),
        Binding(("q",), "quit"),
        BACK,
    ),
    "page": (
        Binding(("up", "k"), "scroll_up", "↑↓ scroll"),
        Binding(("down", "j"), "scroll_down"),
        Binding(("page down",), "page_down", "space more"),
        Binding(("page up",), "page_up"),
        Binding(("b", "s", "escape"), "back", "b back"),
        QUIT,
    ),
}


def action(mode: str, key: str) -> str:
    """Return what a key does, or "" if it does nothing."""
    return next((binding.does for binding in BINDINGS[mode] if key in binding.keys), "")
