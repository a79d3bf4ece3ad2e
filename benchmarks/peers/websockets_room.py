"""The room with `websockets`, by its own `broadcast`: `python websockets_room.py PORT`."""

import asyncio
import json
import sys

from messages import WELCOME, delivery
from websockets.asyncio.server import ServerConnection, broadcast, serve

clients: set[ServerConnection] = set()


async def talk(ws: ServerConnection) -> None:
    """Send what a client says to everybody."""
    clients.add(ws)
    try:
        await ws.send(json.dumps(WELCOME))
        async for text in ws:
            broadcast(clients, json.dumps(delivery(text)))
    finally:
        clients.discard(ws)


async def main(port: int) -> None:
    """Serve until killed."""
    async with serve(talk, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
