"""What every peer says: a greeting, and then each message as the course's board sends it."""

import itertools
import json
from datetime import UTC, datetime

WELCOME = {"type": "welcome", "room": "lobby", "last_id": 0}
ids = itertools.count(1)


def delivery(post: str | dict) -> dict:
    """Return what a room hears of a post. Nothing is kept, unlike on the board."""
    request = json.loads(post) if isinstance(post, str) else post
    sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = {"id": next(ids), "room": "lobby", "author": "ada", "text": request["text"]}
    return {"type": "message", "message": {**message, "sent_at": sent_at}}
