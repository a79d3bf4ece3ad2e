"""The routes for logins: the login page, logout, API tokens, tickets, access and roles."""

import logging
import math
import re
import secrets

import click
from flask import Blueprint, Flask, Response, current_app, redirect, render_template, request
from werkzeug.exceptions import (
    HTTPException,
    NotFound,
    TooManyRequests,
    UnprocessableEntity,
)

from accounts import ROLES, Accounts, Login, digest
from auth import (
    COOKIE,
    TICKET_LIFE,
    WithoutQuery,
    accounts,
    authorize,
    check_origin,
    issue,
    password_matches,
    require_login,
    unauthorized,
)
from database import Database, Stream, key
from inputs import posted, string
from limits import caps

ATTEMPTS, WINDOW = 10, 60  # failed logins within this many seconds, for a name or an address
MAX_PASSWORD = 256  # characters
PAGE = re.compile("/|/rooms/[a-z0-9-]{1,32}")  # the paths that the login may redirect to

logins = Blueprint("logins", __name__, cli_group="accounts")


def add_logins(app: Flask, database: Database, stream: Stream) -> None:
    """Add the accounts, their routes, and a log without secrets to the app."""
    app.extensions["accounts"] = Accounts(database, stream, app.config["PASSWORD_METHOD"])
    app.extensions["throttle"] = Throttle(database)
    logging.getLogger("werkzeug").addFilter(WithoutQuery())
    app.register_blueprint(logins)


class Throttle:
    """Count failed logins for each name and IP address, and reject logins above a limit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begin = database.script("attempt.lua")

    def begin(self, *names: str) -> str:
        """Count an attempt as failed, until it succeeds. Returns its id.

        It counts before the password is checked, so that parallel attempts can't exceed the limit.
        Raises TooManyRequests if one of the names has failed too often.
        """
        attempt = secrets.token_hex(8)
        wait = float(self._begin(list(map(failed, names)), [attempt, ATTEMPTS, WINDOW]))
        if wait:
            raise TooManyRequests("Too many failed logins.", retry_after=math.ceil(wait))
        return attempt

    def succeed(self, attempt: str, *names: str) -> None:
        """Stop counting the attempt with this id."""
        for name in names:
            self._database.zrem(failed(name), attempt)


def failed(name: str) -> str:
    """Return the key of the failed attempts under a name. A client chooses it, of any length."""
    return key("failed", digest(name))


def check_password(name: str, password: str) -> None:
    """Raise Unauthorized unless it is the user's password, or TooManyRequests."""
    throttle = current_app.extensions["throttle"]
    names = (f"name {name}", f"address {request.remote_addr}")
    attempt = throttle.begin(*names)
    if len(password) > MAX_PASSWORD or not password_matches(name, password):
        raise unauthorized()
    throttle.succeed(attempt, *names)


@logins.get("/login")
def login_page() -> str:
    """Return the login page. `next` is the URL that the login redirects to."""
    return render_template("login.html", next=request.args.get("next", "/"))


@logins.post("/login")
def log_in() -> Response | tuple[str, int, list]:
    """Start a new session, and redirect to `next`. Show the login page again if that fails."""
    check_origin()
    name, page = request.form.get("name", ""), request.form.get("next", "")
    try:
        check_password(name, request.form.get("password", ""))
    except HTTPException as error:
        says = "Wait a minute." if error.code == 429 else "Wrong name or password."
        headers = [header for header in error.get_headers() if header[0] != "Content-Type"]
        return render_template("login.html", next=page, name=name, says=says), error.code, headers
    old = accounts().login("session", request.cookies.get(COOKIE, ""))
    if old:
        accounts().log_out(old)
    response = redirect(page if PAGE.fullmatch(page) else "/", 303)
    response.set_cookie(COOKIE, accounts().log_in(name, "session"), **attributes())
    return response


def attributes() -> dict:
    """Return the attributes of the cookie.

    JavaScript can't read an HttpOnly cookie. SameSite=Lax keeps it from other sites' requests. A
    browser sends a Secure cookie only over HTTPS. Behind a proxy, the last X-Forwarded-Proto shows
    whether the browser uses HTTPS.
    """
    return {"httponly": True, "samesite": "Lax", "secure": request.is_secure}


@logins.post("/logout")
def log_out() -> Response:
    """End the login that the cookie or the token proves, and its connections."""
    accounts().log_out(require_login())
    response = current_app.response_class(status=204)
    response.delete_cookie(COOKIE, **attributes())
    return response


@logins.post("/tokens")
def create_token() -> tuple[dict, int]:
    """Return an API token for a program that sends a name and a password."""
    body = posted()
    name = string(body, "user")
    check_password(name, string(body, "password"))
    return {"token": accounts().log_in(name, "token")}, 201


@logins.post("/tickets")
def create_ticket() -> tuple[dict, int]:
    """Return a ticket for a WebSocket to the room."""
    login, body = require_login(), posted()
    room = string(body, "room")
    authorize(login.user, "read", room)
    return {"ticket": issue(login, room), "expires_in": TICKET_LIFE}, 201


@logins.get("/rooms/<room:room>/access")
def access(room: str) -> dict:
    """Respond as a handshake to the room would be: 401, 403, 429, 503, or the user's role."""
    check_origin(required=False)  # A browser adds no Origin to a GET request from our own pages.
    login = require_login()
    authorize(login.user, "read", room)
    caps().check(login.user, request.remote_addr)
    return {"user": login.user, "role": accounts().role(room, login.user)}


@logins.put("/rooms/<room:room>/roles/<user>")
def change_role(room: str, user: str) -> dict:
    """Give a user a role in the room. Only moderators may do this."""
    moderator(room)
    role = string(posted(), "role")
    if role not in ROLES:
        raise UnprocessableEntity(f"role must be one of {', '.join(ROLES)}.")
    if not accounts().password_hash(user):
        raise NotFound("There is no such user.")
    accounts().set_role(room, user, role)
    return {"user": user, "role": role}


@logins.delete("/rooms/<room:room>/roles/<user>")
def take_role(room: str, user: str) -> tuple[str, int]:
    """Ban a user from the room. Only moderators may do this."""
    moderator(room)
    accounts().set_role(room, user, None)
    return "", 204


def moderator(room: str) -> Login:
    """Return the login of a moderator's request. Raises Unauthorized or Forbidden."""
    login = require_login()
    authorize(login.user, "moderate", room)
    return login


@logins.cli.command("add")
@click.argument("name")
@click.password_option()
def add(name: str, password: str) -> None:
    """Add the user NAME, or change the user's password."""
    accounts().add_user(name, password)


@logins.cli.command("role")
@click.argument("name")
@click.argument("room")
@click.argument("role", type=click.Choice([*ROLES, "none"]))
def role(name: str, room: str, role: str) -> None:
    """Give the user NAME a ROLE in a ROOM."""
    accounts().set_role(room, name, None if role == "none" else role)


@logins.cli.command("demo")
def demo() -> None:
    """Add the users ada, bob and eve, with publicly known passwords. For experiments only."""
    for name, role in zip(("ada", "bob", "eve"), reversed(ROLES), strict=True):
        if not accounts().password_hash(name):
            accounts().add_user(name, f"{name}-demo")
        accounts().set_role("lobby", name, role)
        click.echo(f"{name}, {role} in lobby, password {name}-demo")
