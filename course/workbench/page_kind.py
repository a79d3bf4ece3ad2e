"""Which page goes with a lesson: it is found by what its app has, not by its number."""

import re

ROOM = re.compile(r"<[^>]+>")
# What an app may have, and the way of hearing of news that the board then offers, best last.
REST, EVENTS, BOARD = "/rooms/*/messages", "/rooms/*/events", "/board/*"


def kind_of(routes: list[dict], settings: dict) -> dict:
    """Return what the page needs: `page` is "own", "board" or "console", and more of each."""
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
        # Where nothing pushes, nothing asks again and again unprompted.
        start = ways[-1] if ways[-1] in ("wait", "events", "socket") else "hand"
        return {"page": "board", "ways": ways, "way": start, "protocols": protocols}
    path = next((rule.replace("*", "lobby") for rule in sockets), "/")
    query = "?name=ada" if path == "/echo" else ""
    return {"page": "console", "path": path + query, "protocols": protocols}


def _pattern(route: dict) -> str:
    return ROOM.sub("*", route["rule"])
