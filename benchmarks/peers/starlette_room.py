"""The room with Starlette: `uvicorn starlette_room:app`."""

import json

from messages import WELCOME, delivery
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

clients: set[WebSocket] = set()


async def talk(ws: WebSocket) -> None:
    """Send what a client says to everybody."""
    await ws.accept()
    clients.add(ws)
    try:
        await ws.send_text(json.dumps(WELCOME))
        async for post in ws.iter_text():
            text = json.dumps(delivery(post))
            for client in list(clients):
                await client.send_text(text)
    finally:
        clients.discard(ws)


app = Starlette(routes=[WebSocketRoute("/room", talk)])
