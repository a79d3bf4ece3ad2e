"""The pages for a browser: the door, and the page of a room."""

from urllib.parse import quote

from flask import Blueprint, Response, current_app, redirect, render_template, request

from auth import authenticate

pages = Blueprint("pages", __name__)


@pages.get("/")
def door() -> Response:
    """Ask for a room, then redirect to the room's page."""
    room = request.args.get("room")
    if room:
        return redirect(f"/rooms/{quote(room, safe='')}")
    return current_app.send_static_file("door.html")


@pages.get("/rooms/<room:room>")
def page(room: str) -> Response | str:
    """Return the page of a room, or redirect to the login page."""
    login = authenticate()
    if login is None:
        return redirect(f"/login?next=/rooms/{room}")
    return render_template("index.html", user=login.user)
