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
    # TODO(author): Return the login that the token in `Authorization` or the cookie proves.
    ...
    # END(author)


def password_matches(name: str, password: str) -> bool:
    """Return whether this is the user's password. The work is the same if there is no such user."""
    hashed = accounts().password_hash(name)
    # TODO(secret): If there is no such user, check the password against the `decoy`.
    ...
    # END(secret)
    return check_password_hash(hashed, password)


def check_origin(required: bool = True) -> None:
    """Raise Forbidden if the request is from a page of an origin that isn't in `ORIGINS`.

    Programs send no Origin (RFC 6454, section 7.3). It may be missing if it isn't `required`.
    """
    # TODO(origin): Raise Forbidden unless the Origin is allowed, or missing and optional.
    ...
    # END(origin)


def unauthorized() -> Unauthorized:
    """Return a 401 that says how to authenticate (RFC 9110, section 11.6.1)."""
    error = Unauthorized("Log in, or send a valid token or ticket.")
    # TODO(refuse-challenge): Add the challenge `Bearer realm="board"`.
    ...
    # END(refuse-challenge)
    return error


def require_login() -> Login:
    """Return the login of a REST request. Raises Unauthorized, or Forbidden for another origin."""
    request.get_data()  # A body may arrive slowly, so read it before the checks.
    # TODO(origin-rest): Check the Origin of an unsafe request without `Authorization`.
    ...
    # END(origin-rest)
    login = authenticate()
    if login is None:
        raise unauthorized()
    return login


def admit(room: str) -> Login:
    """Return the login of a handshake. Raises Unauthorized or Forbidden, before the upgrade."""
    ticket = request.args.get("ticket")
    check_origin(required=ticket is None)
    login = authenticate() if ticket is None else redeem(ticket, room)
    # TODO(refuse): Raise `unauthorized()` without a login, and authorize "read".
    ...
    # END(refuse)
    return login


# Tickets: for programs, which have no cookie


def issue(login: Login, room: str) -> str:
    """Return a new ticket, which opens one WebSocket to this room within TICKET_LIFE."""
    # TODO(ticket): Store the `digest` of a `new_secret()`, and return the secret.
    ...
    # END(ticket)


def redeem(ticket: str, room: str) -> Login | None:
    """Return the login that the ticket was issued to, once. Return None if it isn't valid."""
    # TODO(ticket-redeem): Delete the ticket. Return its login if the ticket is valid.
    ...
    # END(ticket-redeem)


# Authorization: what a user may do


def authorize(user: str, action: str, room: str) -> None:
    """Raise Forbidden unless the user's role in the room allows the action, at this moment."""
    # TODO(rights): Raise Forbidden unless the user's role in the room allows the action.
    ...
    # END(rights)


# Revocation: when a connection must end


def verdict(connection: Connection) -> tuple[int, str] | None:
    """Return the close code and reason for a connection that must end, or None."""
    # TODO(revoke): Return LOGIN_ENDED or NOT_ALLOWED with a reason, or None.
    ...
    # END(revoke)


def end_login(login: Login) -> None:
    """Store that the login has ended. From then on nothing is pushed to its connections."""
    # TODO(revoke-login): End the login and expel its connections, both in one turn.
    ...
    # END(revoke-login)


def give_role(room: str, user: str, role: str | None) -> None:
    """Store the user's role in the room. Without one, end the user's connections to the room."""
    # TODO(revoke-role): Store the role and expel the user's connections, both in one turn.
    ...
    # END(revoke-role)


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
        # TODO(revoke-beat): Expel all connections that must end, within an app context.
        ...
        # END(revoke-beat)


class WithoutQuery(logging.Filter):
    """Remove the query of each request's URL from the server's access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and return True, so that it is logged."""
        # TODO(secret-log): Remove the query from each `str` in `record.args`.
        ...
        # END(secret-log)
        return True
