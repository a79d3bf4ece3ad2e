"""Decide who sent a request, what they may do, and when a connection must end."""

import json
import logging
import re
from collections.abc import Iterable
from contextlib import suppress

from flask import Flask, current_app, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, ServiceUnavailable, Unauthorized
from werkzeug.security import check_password_hash

from accounts import Accounts, Login, digest, new_secret
from database import Database, key
from heartbeat import Heartbeat, repeat
from hub import Connection, Hub

COOKIE = "login"  # the name of the session cookie
TICKET_LIFE = 30  # seconds in which a ticket can be used
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


def database() -> Database:
    """Return the database of the app that is serving this request."""
    return current_app.extensions["database"]


def hub() -> Hub:
    """Return the hub of the app that is serving this request."""
    return current_app.extensions["hub"]


# Authentication: who sent this request


def authenticate() -> Login | None:
    """Return the login that the request's API token or cookie proves, or None.

    If there is an `Authorization` header, the cookie doesn't count.
    """
    if "Authorization" not in request.headers:
        return accounts().login("session", request.cookies.get(COOKIE, ""))
    authorization = request.authorization
    if authorization is None or authorization.type != "bearer":
        return None
    return accounts().login("token", authorization.token or "")


def password_matches(name: str, password: str) -> bool:
    """Return whether this is the user's password. The work is the same if there is no such user."""
    hashed = accounts().password_hash(name)
    hashed = hashed or accounts().decoy
    return check_password_hash(hashed, password)


def check_origin(required: bool = True) -> None:
    """Raise Forbidden if the request is from a page of an origin that isn't in `ORIGINS`.

    Programs send no Origin (RFC 6454, section 7.3). It may be missing if it isn't `required`.
    """
    origin = request.headers.get("Origin")
    if origin is None and not required:
        return
    if origin not in current_app.config["ORIGINS"]:
        raise Forbidden("Pages of this origin may not use the board.")


def unauthorized() -> Unauthorized:
    """Return a 401 that says how to authenticate (RFC 9110, section 11.6.1)."""
    error = Unauthorized("Log in, or send a valid token or ticket.")
    error.www_authenticate = (WWWAuthenticate("bearer", {"realm": "board"}),)
    return error


def require_login() -> Login:
    """Return the login of a REST request. Raises Unauthorized, or Forbidden for another origin."""
    request.get_data()  # A body may arrive slowly, so read it before the checks.
    if request.method not in SAFE and "Authorization" not in request.headers:
        check_origin()
    login = authenticate()
    if login is None:
        raise unauthorized()
    return login


def admit(room: str) -> Login:
    """Return the login of a handshake. Raises Unauthorized or Forbidden, before the upgrade."""
    ticket = request.args.get("ticket")
    check_origin(required=ticket is None)
    login = authenticate() if ticket is None else redeem(ticket, room)
    if login is None:
        raise unauthorized()
    authorize(login.user, "read", room)
    return login


# Tickets: for programs, which have no cookie


def issue(login: Login, room: str) -> str:
    """Return a new ticket, which opens one WebSocket to this room within TICKET_LIFE."""
    ticket = new_secret()
    row = json.dumps({"login": login.hash, "room": room})
    database().set(key("ticket", digest(ticket)), row, ex=TICKET_LIFE)
    return ticket


def redeem(ticket: str, room: str) -> Login | None:
    """Return the login that the ticket was issued to, once. Return None if it isn't valid."""
    row = None
    # TODO(shared-ticket): Get and delete the ticket's key in one command.
    ...
    # END(shared-ticket)
    found = json.loads(row or "{}")
    return accounts().login_by_hash(found["login"]) if found.get("room") == room else None


# Authorization: what a user may do


def authorize(user: str, action: str, room: str) -> None:
    """Raise Forbidden unless the user's role in the room allows the action, at this moment."""
    role = accounts().role(room, user)
    if action not in ALLOWED.get(role, ()):
        raise Forbidden(f"You are not allowed to {action} in room {room}.")


# Revocation: when a connection must end


def verdict(connection: Connection) -> tuple[int, str] | None:
    """Return the close code and reason for a connection that must end, or None."""
    if accounts().login_by_hash(connection.login.hash) is None:
        return LOGIN_ENDED, "Log in again."
    try:
        authorize(connection.login.user, "read", connection.room)
    except Forbidden:
        return NOT_ALLOWED, "You have no role here any more."
    return None


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
        """Check each connection: its session may have expired."""
        with self._app.app_context(), suppress(ServiceUnavailable):
            expel(self.connections())

    def revoke(self, news: dict[str, str]) -> None:
        """Expel connections of the `login` or the `user` in an entry of the stream."""
        with self._app.app_context():
            # TODO(shared-revoke): Call `expel()` with the connections that `news` names.
            ...
            # END(shared-revoke)


class WithoutQuery(logging.Filter):
    """Remove the query of each request's URL from the server's access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and return True, so that it is logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                re.sub(r"\?[^ ]*", "", arg) if isinstance(arg, str) else arg for arg in record.args
            )
        return True
