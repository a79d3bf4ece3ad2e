"""A first attempt: each page reports its own position and score, and the server passes them on."""

import json
import threading
import time

from flask import Flask, Response
from flask_sock import Sock
from simple_websocket import Client, Server
from werkzeug.serving import make_server

EVENTS = 20  # that ada's page reports a second
SLOW = 10  # that bob's page can handle a second

app = Flask(__name__)
sock = Sock(app)
clients: list[Server] = []


@app.get("/")
def page() -> Response:
    """Return the page."""
    return app.send_static_file("naive.html")


@sock.route("/play")
def play(ws: Server) -> None:
    """Pass on each event of a client to all others."""
    clients.append(ws)
    try:
        while True:
            event = ws.receive()
            for client in list(clients):
                if client is not ws:
                    client.send(event)
    finally:
        clients.remove(ws)


def main() -> None:
    """Let ada play, and bob watch on a slow line. Print how old the position is that he sees."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bob, ada = (Client(f"ws://127.0.0.1:{server.port}/play") for _ in range(2))
    start = time.monotonic()
    for count in range(10 * EVENTS + 1):
        time.sleep(max(0.0, start + count / EVENTS - time.monotonic()))
        ada.send(json.dumps({"name": "ada", "x": count, "y": 0, "score": 0}))
        if count % (EVENTS // SLOW) == 0:
            seen = json.loads(bob.receive())
        if count % (5 * EVENTS) == 0:
            age = (count - seen["x"]) / EVENTS
            print(f"after {count // EVENTS:2} s, bob sees where ada was {age:.1f} s ago")
    bob.close()
    ada.close()


if __name__ == "__main__":
    main()
