"""A first version of a board that pushes. Lesson 8 starts by breaking it."""

import itertools
import json
from collections import defaultdict

from flask import Flask, request
from flask_sock import Sock

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["board.v1"]}
sock = Sock(app)
ids = itertools.count(1)
clients = defaultdict(list)


@app.post("/rooms/<room>/messages")
def create(room: str) -> tuple[dict, int]:
    """Publish a message that is posted over REST."""
    message = {"id": next(ids), "room": room, **request.get_json()}
    publish(room, message)
    return message, 201


@sock.route("/board/<room>")
def talk(ws, room: str) -> None:
    """Greet a client, and publish the messages that it sends."""
    # --8<-- [start:plain-talk]
    ws.send(json.dumps({"type": "welcome", "room": room}))
    clients[room].append(ws)
    while True:
        received = json.loads(ws.receive())
        publish(room, {"id": next(ids), "room": room, "text": received["text"]})
    # --8<-- [end:plain-talk]


# --8<-- [start:plain-publish]
def publish(room: str, message: dict) -> None:
    """Send the message to every client in the room."""
    for client in clients[room]:
        client.send(json.dumps({"type": "message", "message": message}))


# --8<-- [end:plain-publish]
