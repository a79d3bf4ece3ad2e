"""A board that handles only valid requests. Lesson 1 starts by breaking it."""

from flask import Flask, request

app = Flask(__name__)
messages: list[dict] = []


@app.post("/rooms/<room>/messages")
def create(room: str) -> dict:
    """Add a message to the list."""
    # --8<-- [start:happy-create]
    body = request.get_json()
    message = {"id": len(messages) + 1, "room": room, "author": body["author"]}
    message["text"] = body["text"]
    messages.append(message)
    return message
    # --8<-- [end:happy-create]


@app.get("/rooms/<room>/messages/<int:message_id>")
def read(room: str, message_id: int) -> dict:
    """Return one message."""
    # --8<-- [start:happy-read]
    return messages[message_id - 1]
    # --8<-- [end:happy-read]


@app.get("/rooms/<room>/messages")
def list_messages(room: str) -> list[dict]:
    """Return the room's messages."""
    return [message for message in messages if message["room"] == room]
