"""The room with Flask-SocketIO: `gunicorn "socketio_room:create_app('threading')"`, or 'gevent'."""

from flask import Flask
from flask_socketio import SocketIO, emit, join_room
from messages import WELCOME, delivery


def create_app(mode: str) -> Flask:
    """Return the app. `mode` is Flask-SocketIO's `async_mode`."""
    app = Flask(__name__)
    socketio = SocketIO(app, async_mode=mode)

    @socketio.on("connect")
    def connect() -> None:
        join_room("lobby")
        emit("message", WELCOME)

    @socketio.on("post")
    def post(request: dict) -> None:
        emit("message", delivery(request), to="lobby")

    return app
