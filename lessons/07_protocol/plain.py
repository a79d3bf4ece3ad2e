"""A first attempt at a board over a WebSocket. Lesson 7 begins with it."""

import json

from flask import Flask, abort, request
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)
messages: list[dict] = []


@sock.route("/board/<room>")
def talk(ws, room: str) -> None:
    """Store what the client posts, and list it on request."""
    if not request.args.get("author"):
        abort(401)
    ws.send({"type": "welcome", "room": room})
    while True:
        said = json.loads(ws.receive())
        if said["type"] == "post":
            messages.append({"room": room, "text": said["text"]})
        elif said["type"] == "history":
            ws.send(json.dumps([m for m in messages if m["room"] == room]))
