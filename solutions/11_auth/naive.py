"""A board that trusts a cookie. Lesson 11 begins with its faults."""

import json

from flask import Flask, Response, abort, request
from flask_sock import Sock

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"max_message_size": 65_536}
sock = Sock(app)
users = {"7f3a": "ada", "c09d": "bob"}  # by the value of their cookie
members = {"ada", "bob"}
clients = set()


@app.get("/login/<cookie>")
def log_in(cookie: str) -> Response:
    """Log in. A real board would ask for a password."""
    response = Response(f"You are {users[cookie]}.\n")
    response.set_cookie("login", cookie, httponly=True, samesite="Lax")
    return response


@app.post("/ban/<user>")
def ban(user: str) -> str:
    """Ban a user from the room."""
    members.discard(user)
    return f"{user} is banned.\n"


# --8<-- [start:naive]
@app.before_request
def let_in() -> None:
    """Check the cookie, before the upgrade."""
    if request.path == "/board/lobby" and users.get(request.cookies.get("login")) not in members:
        abort(401)


@sock.route("/board/lobby")
def talk(ws) -> None:
    """Greet the client, and pass its messages on to all clients."""
    author = users[request.cookies["login"]]
    clients.add(ws)
    try:
        ws.send(json.dumps({"author": "board", "text": f"Welcome back, {author}."}))
        while True:
            text = ws.receive()
            for client in list(clients):
                client.send(json.dumps({"author": author, "text": text}))
    finally:
        clients.discard(ws)


# --8<-- [end:naive]
