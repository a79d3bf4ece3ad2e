"""A board as many tutorials join processes: by Redis Pub/Sub. count.py shows what it loses."""

import json
import threading

from flask import Flask, current_app
from flask_sock import Sock
from redis import Redis
from simple_websocket import Server

sock = Sock()
clients: set[Server] = set()


def listen(redis: Redis) -> None:
    """Send what any process publishes to the clients of this process."""
    channel = redis.pubsub()
    channel.subscribe("messages")
    for published in channel.listen():
        if published["type"] == "message":
            for ws in list(clients):
                ws.send(published["data"])


@sock.route("/board/<room>")
def talk(ws: Server, room: str) -> None:
    """Publish what the client posts, for the clients of all processes."""
    redis = current_app.extensions["redis"]
    ws.send(json.dumps({"type": "welcome", "room": room}))
    clients.add(ws)
    try:
        while True:
            post = json.loads(ws.receive())
            redis.publish("messages", json.dumps({"type": "message", "message": post}))
            ws.send(json.dumps({"type": "ack", "id": post["id"]}))
    finally:
        clients.remove(ws)


def create_app(config: dict) -> Flask:
    """Return the app. A thread listens to Redis."""
    app = Flask(__name__)
    redis = app.extensions["redis"] = Redis.from_url(config["REDIS"], decode_responses=True)
    sock.init_app(app)
    threading.Thread(target=listen, args=[redis], daemon=True).start()
    return app
