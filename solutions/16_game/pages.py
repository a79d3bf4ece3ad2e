"""The pages for a browser: the door, and the page of a room."""

from flask import Blueprint, Response, current_app, redirect, request, url_for

pages = Blueprint("pages", __name__)


@pages.get("/")
def door() -> Response:
    """Ask for a room and a name, then redirect to the room's page."""
    room, author = request.args.get("room"), request.args.get("author")
    if room and author:
        return redirect(url_for("pages.page", room=room, author=author))
    return current_app.send_static_file("door.html")


@pages.get("/rooms/<room:room>")
def page(room: str) -> Response:
    """Return the page of a room, or the door if the name is missing."""
    return current_app.send_static_file("index.html" if request.args.get("author") else "door.html")
