"""The board with limits for clients that are greedy, slow or many, over REST and WebSocket."""

from flask import Flask
from werkzeug.exceptions import HTTPException

from auth import Doorkeeper
from board import MAX_MESSAGE, board
from hub import Hub, PublishingStore
from inputs import MAX_BODY, RoomName, problem
from limits import LIMITS, add_limits
from logins import add_logins
from pages import pages
from protocol import SUBPROTOCOL
from rest import rest
from writer import Writer

# In the config, DATABASE is the path of the SQLite file, HEARTBEAT the seconds between two pings of
# a client, and REPLAY how many missed messages a client gets when it reconnects. ORIGINS are those
# whose pages may use the board, and PASSWORD_METHOD is how werkzeug.security hashes.
DEFAULTS = {
    "SOCK_SERVER_OPTIONS": {"subprotocols": [SUBPROTOCOL], "max_message_size": MAX_MESSAGE},
    "MAX_CONTENT_LENGTH": MAX_BODY,
    "DATABASE": "board.sqlite3",
    "HEARTBEAT": 25.0,
    "REPLAY": 500,
    "ORIGINS": ["http://127.0.0.1:5012", "http://localhost:5012"],
    "PASSWORD_METHOD": "scrypt",
}


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app. `config` is as in DEFAULTS and `limits.LIMITS`."""
    app = Flask(__name__)
    app.config.from_mapping(DEFAULTS)
    app.config.from_mapping(LIMITS)
    app.config.from_mapping(config)
    app.extensions["hub"] = Hub(Writer(), app.config["GRACE"])
    add_limits(app)
    app.extensions["heartbeat"] = Doorkeeper(app)
    app.extensions["store"] = PublishingStore(app.config["DATABASE"], app.extensions["hub"])
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(rest)
    add_logins(app)
    app.register_blueprint(board)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, problem)
    return app
