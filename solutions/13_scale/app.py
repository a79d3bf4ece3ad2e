"""The board in several processes and on several machines, which share what is in Redis."""

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from auth import Doorkeeper
from board import MAX_MESSAGE, board
from database import Stream, connect
from follow import Follower
from hub import Hub
from inputs import MAX_BODY, RoomName, problem
from limits import LIMITS, add_limits
from logins import add_logins
from pages import pages
from processes import Processes
from protocol import SUBPROTOCOL
from rest import rest
from store import Store
from writer import Writer

# In the config, REDIS is the address of Redis with its password, FOLLOW how many entries the
# board's stream keeps, RETAIN how many messages a room keeps, LEASE the seconds after which a
# process that is silent counts as dead, and PROXIES how many proxies are in front of this process.
# HEARTBEAT is the seconds between two pings of a client, and REPLAY how many missed messages a
# client gets when it reconnects. ORIGINS are those whose pages may use the board, and
# PASSWORD_METHOD is how werkzeug.security hashes. An environment variable such as BOARD_REDIS
# overrides a default.
DEFAULTS = {
    "SOCK_SERVER_OPTIONS": {"subprotocols": [SUBPROTOCOL], "max_message_size": MAX_MESSAGE},
    "MAX_CONTENT_LENGTH": MAX_BODY,
    "REDIS": "redis://127.0.0.1:6379/0",
    "FOLLOW": 10_000,
    "RETAIN": 100_000,
    "LEASE": 10.0,
    "PROXIES": 0,
    "HEARTBEAT": 25.0,
    "REPLAY": 500,
    "ORIGINS": ["https://127.0.0.1:8443", "http://127.0.0.1:5013", "http://localhost:5013"],
    "PASSWORD_METHOD": "scrypt",
}


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app. `config` is as in DEFAULTS and `limits.LIMITS`."""
    app = Flask(__name__)
    app.config.from_mapping(DEFAULTS)
    app.config.from_mapping(LIMITS)
    app.config.from_prefixed_env("BOARD")
    app.config.from_mapping(config)
    app.url_map.converters["room"] = RoomName
    add_processes(app)
    app.register_blueprint(rest)
    app.register_blueprint(board)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, problem)
    proxies = app.config["PROXIES"]
    # --8<-- [start:proxy-fix] Take the client's address and scheme from the last `proxies` headers.
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)
    # --8<-- [end:proxy-fix]
    return app


def add_processes(app: Flask) -> None:
    """Add what this process shares with the others. It connects to Redis when a request comes."""
    config = app.config
    database = connect(config["REDIS"])
    stream = Stream(database, config["FOLLOW"])
    processes = Processes(database, stream, config["LEASE"])
    hub, doorkeeper = Hub(Writer(), processes, config["GRACE"]), Doorkeeper(app)
    app.extensions.update(
        database=database,
        processes=processes,
        hub=hub,
        store=Store(database, config["FOLLOW"], config["RETAIN"]),
        follower=Follower(stream, hub, doorkeeper.revoke),
        heartbeat=doorkeeper,
    )
    add_limits(app, database, processes)
    add_logins(app, database, stream)
