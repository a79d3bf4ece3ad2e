"""A first try at a WebSocket: an echo, as short as it can be."""

from flask import Flask
from flask_sock import Sock

from replies import reply

app = Flask(__name__)
sock = Sock(app)


@sock.route("/echo")
def echo(ws):
    """Answer each message of a connection."""
    number = 0
    while True:
        number += 1
        ws.send(reply(ws.receive(), number))
