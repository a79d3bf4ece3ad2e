"""Decide who sent a request, what they may do, and when a connection must end."""

import logging
import re
import time
from collections.abc import Iterable

from flask import Flask, current_app, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.security import check_password_hash

from accounts import Accounts, Login, digest, new_secret
from heartbeat import Heartbeat, repeat
from hub import Connection, Hub

COOKIE = "login"  # the name of the session cookie
TICKET_LIFE = 30.0  # seconds in which a ticket can be used
SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing (RFC 9110, section 9.2.1)
LOGIN_ENDED, NOT_ALLOWED = 4401, 4403  # close codes of our own

# What each role may do in its room.
ALLOWED = {
    "reader": {"read"},
    "writer": {"read", "post"},
    "moderator": {"read", "post", "moderate"},
}


def accounts() -> Accounts:
    """Return the accounts of the app that is serving this request."""
    return current_app.extensions["accounts"]


def connections() -> list[Connection]:
    """Return all connections that the app is serving."""
    return current_app.extensions["heartbeat"].connections()


def hub() -> Hub:
    """Return the hub of the app that is serving this request."""
    return current_app.extensions["hub"]


# Authentication: who sent this request


def authenticate() -> Login | None:
    """Return the login that the request's API token or cookie proves, or None.

    If there is an `Authorization` header, the cookie doesn't count.
    """
    # --8<-- [start:author] Return the login that the token in `Authorization` or the cookie proves.
    if "Authorization" not in request.headers:
        return accounts().login("session", request.cookies.get(COOKIE, ""))
    authorization = request.authorization
    if authorization is None or authorization.type != "bearer":
        return None
    return accounts().login("token", authorization.token or "")
    # --8<-- [end:author]


def password_matches(name: str, password: str) -> bool:
    """Return whether this is the user's password. The work is the same if there is no such user."""
    hashed = accounts().password_hash(name)
    # --8<-- [start:secret] If there is no such user, check the password against the `decoy`.
    hashed = hashed or accounts().decoy
    # --8<-- [end:secret]
    return check_password_hash(hashed, password)


def check_origin(required: bool = True) -> None:
    """Raise Forbidden if the request is from a page of an origin that isn't in `ORIGINS`.

    Programs send no Origin (RFC 6454, section 7.3). It may be missing if it isn't `required`.
    """
    # --8<-- [start:origin] Raise Forbidden unless the Origin is allowed, or missing and optional.
    origin = request.headers.get("Origin")
    if origin is None and not required:
        return
    if origin not in current_app.config["ORIGINS"]:
        raise Forbidden("Pages of this origin may not use the board.")
    # --8<-- [end:origin]


def unauthorized() -> Unauthorized:
    """Return a 401 that says how to authenticate (RFC 9110, section 11.6.1)."""
    error = Unauthorized("Log in, or send a valid token or ticket.")
    # --8<-- [start:refuse-challenge] Add the challenge `Bearer realm="board"`.
    error.www_authenticate = (WWWAuthenticate("bearer", {"realm": "board"}),)
    # --8<-- [end:refuse-challenge]
    return error


def require_login() -> Login:
    """Return the login of a REST request. Raises Unauthorized, or Forbidden for another origin."""
    request.get_data()  # A body may arrive slowly, so read it before the checks.
    # --8<-- [start:origin-rest] Check the Origin of an unsafe request without `Authorization`.
    if request.method not in SAFE and "Authorization" not in request.headers:
        check_origin()
    # --8<-- [end:origin-rest]
    login = authenticate()
    if login is None:
        raise unauthorized()
    return login


def admit(room: str) -> Login:
    """Return the login of a handshake. Raises Unauthorized or Forbidden, before the upgrade."""
    ticket = request.args.get("ticket")
    check_origin(required=ticket is None)
    login = authenticate() if ticket is None else redeem(ticket, room)
    # --8<-- [start:refuse] Raise `unauthorized()` without a login, and authorize "read".
    if login is None:
        raise unauthorized()
    authorize(login.user, "read", room)
    # --8<-- [end:refuse]
    return login


# Tickets: for programs, which have no cookie


def issue(login: Login, room: str) -> str:
    """Return a new ticket, which opens one WebSocket to this room within TICKET_LIFE."""
    # --8<-- [start:ticket] Store the `digest` of a `new_secret()`, and return the secret.
    ticket = new_secret()
    row = (digest(ticket), login.hash, room, time.time() + TICKET_LIFE)
    with accounts().transaction() as db:
        db.execute("INSERT INTO tickets VALUES (?, ?, ?, ?)", row)
    return ticket
    # --8<-- [end:ticket]


def redeem(ticket: str, room: str) -> Login | None:
    """Return the login that the ticket was issued to, once. Return None if it isn't valid."""
    # --8<-- [start:ticket-redeem] Delete the ticket. Return its login if the ticket is valid.
    with accounts().transaction() as db:
        row = db.execute("SELECT * FROM tickets WHERE hash = ?", (digest(ticket),)).fetchone()
        db.execute("DELETE FROM tickets WHERE hash = ?", (digest(ticket),))
    if row is None or row["room"] != room or row["expires"] <= time.time():
        return None
    return accounts().login_by_hash(row["login"])
    # --8<-- [end:ticket-redeem]


# Authorization: what a user may do


def authorize(user: str, action: str, room: str) -> None:
    """Raise Forbidden unless the user's role in the room allows the action, at this moment."""
    # --8<-- [start:rights] Raise Forbidden unless the user's role in the room allows the action.
    role = accounts().role(room, user)
    if action not in ALLOWED.get(role, ()):
        raise Forbidden(f"You are not allowed to {action} in room {room}.")
    # --8<-- [end:rights]


# Revocation: when a connection must end


def verdict(connection: Connection) -> tuple[int, str] | None:
    """Return the close code and reason for a connection that must end, or None."""
    # --8<-- [start:revoke] Return LOGIN_ENDED or NOT_ALLOWED with a reason, or None.
    if accounts().login_by_hash(connection.login.hash) is None:
        return LOGIN_ENDED, "Log in again."
    try:
        authorize(connection.login.user, "read", connection.room)
    except Forbidden:
        return NOT_ALLOWED, "You have no role here any more."
    return None
    # --8<-- [end:revoke]


def end_login(login: Login) -> None:
    """Store that the login has ended. From then on nothing is pushed to its connections."""
    # --8<-- [start:revoke-login] End the login and expel its connections, both in one turn.
    with hub().turn:
        accounts().log_out(login)
        expel(c for c in connections() if c.login.hash == login.hash)
    # --8<-- [end:revoke-login]


def give_role(room: str, user: str, role: str | None) -> None:
    """Store the user's role in the room. Without one, end the user's connections to the room."""
    # --8<-- [start:revoke-role] Store the role and expel the user's connections, both in one turn.
    with hub().turn:
        accounts().set_role(room, user, role)
        expel(c for c in connections() if (c.room, c.login.user) == (room, user))
    # --8<-- [end:revoke-role]


def expel(connections: Iterable[Connection]) -> None:
    """Expel the connections that must end. Their handlers close them."""
    for connection in connections:
        ending = verdict(connection)
        if ending:
            hub().expel(connection, *ending)


class Doorkeeper(Heartbeat):
    """A heartbeat that also expels the connections that must end."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app.config["HEARTBEAT"])
        self._app = app

    def connections(self) -> list[Connection]:
        """Return all connections that are being served, including those not in a room yet."""
        with self._lock:
            return list(self._watched)

    def start(self) -> None:
        """Call `beat()` and `check()` at regular intervals, in two threads.

        `check()` may wait for the hub's turn while the thread that holds it is blocked by a client.
        Only `beat()` disconnects such a client.
        """
        super().start()
        repeat(self._seconds, self.check)

    def check(self) -> None:
        """Check each connection: its session may have expired, or been ended by another process."""
        # --8<-- [start:revoke-beat] Expel all connections that must end, within an app context.
        with self._app.app_context():
            expel(self.connections())
        # --8<-- [end:revoke-beat]


class WithoutQuery(logging.Filter):
    """Remove the query of each request's URL from the server's access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and return True, so that it is logged."""
        # --8<-- [start:secret-log] Remove the query from each `str` in `record.args`.
        if isinstance(record.args, tuple):
            record.args = tuple(
                re.sub(r"\?[^ ]*", "", arg) if isinstance(arg, str) else arg for arg in record.args
            )
        # --8<-- [end:secret-log]
        return True
