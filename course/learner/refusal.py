"""The exception for a request that can't be fulfilled, and how messages show a command."""


class Refusal(Exception):
    """The request can't be fulfilled. The message says why, and what to do instead."""


def command(text: str) -> str:
    """Return a command of the course in the form that a learner can paste."""
    return f"`python3 -m course {text}`"
