"""The room with Django Channels, its layer in memory: `daphne channels_room:app`, or uvicorn."""

import json

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path
from messages import WELCOME, delivery

settings.configure(
    SECRET_KEY="a benchmark has none",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class Room(AsyncWebsocketConsumer):
    """One client."""

    async def connect(self) -> None:
        """Join the room, and greet."""
        await self.channel_layer.group_add("lobby", self.channel_name)
        await self.accept()
        await self.send(json.dumps(WELCOME))

    async def disconnect(self, code: int) -> None:
        """Leave the room."""
        await self.channel_layer.group_discard("lobby", self.channel_name)

    async def receive(self, text_data: str) -> None:
        """Send what the client says to everybody."""
        event = {"type": "said", "text": json.dumps(delivery(text_data))}
        await self.channel_layer.group_send("lobby", event)

    async def said(self, event: dict) -> None:
        """Hear of a message."""
        await self.send(event["text"])


app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("room", Room.as_asgi())]),
    }
)
