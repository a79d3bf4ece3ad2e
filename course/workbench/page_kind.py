"""Choose the page for a lesson by the routes of its app, not by its number."""

import re

ROOM = re.compile(r"<[^>]+>")
# Routes that an app may have. Each adds a way for the board to receive messages, the best last.
REST, EVENTS, BOARD = "/rooms/*/messages", "/rooms/*/events", "/board/*"


def kind_of(routes: list[dict], settings: dict) -> dict:
    """Return what the page needs: `page` is "own", "board" or "console", with its details."""
    plain = {_pattern(r): r for r in routes if not r["websocket"]}
    sockets = {_pattern(r): r for r in routes if r["websocket"]}
    protocols = settings.get("subprotocols", [])
    if "/" in plain and "GET" in plain["/"]["methods"]:
        return {"page": "own", "path": "/"}
    ways = []
    if REST in plain:
        ways += ["hand", "poll"]
        ways += ["wait"] if settings.get("waits") else []
    ways += ["events"] if EVENTS in plain else []
    ways += ["socket"] if BOARD in sockets else []
    if ways:
        # Don't start to poll unless the learner chooses it.
        start = ways[-1] if ways[-1] in ("wait", "events", "socket") else "hand"
        return {"page": "board", "ways": ways, "way": start, "protocols": protocols}
    path = next((rule.replace("*", "lobby") for rule in sockets), "/")
    query = "?name=ada" if path == "/echo" else ""
    return {"page": "console", "path": path + query, "protocols": protocols}


def _pattern(route: dict) -> str:
    return ROOM.sub("*", route["rule"])
