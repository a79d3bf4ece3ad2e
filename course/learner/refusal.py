"""What was asked for and cannot be done, in words, and how a command is typed."""


class Refusal(Exception):
    """What was asked for cannot be done. The text says why, and what can be."""


def command(text: str) -> str:
    """Return how a command of the course is typed."""
    return f"`python3 -m course {text}`"
