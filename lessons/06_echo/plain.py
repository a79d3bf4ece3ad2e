"""A first attempt at a WebSocket server: the shortest possible echo."""

from flask import Flask
from flask_sock import Sock

from replies import reply

app = Flask(__name__)
sock = Sock(app)


@sock.route("/echo")
def echo(ws):
    """Reply to each message of a connection."""
    number = 0
    while True:
        number += 1
        ws.send(reply(ws.receive(), number))
