"""A board that handles only valid requests. Lesson 1 starts by breaking it."""

from flask import Flask, request

app = Flask(__name__)
messages: list[dict] = []


@app.post("/rooms/<room>/messages")
def create(room: str) -> dict:
    """Add a message to the list."""
    body = request.get_json()
    message = {"id": len(messages) + 1, "room": room, "author": body["author"]}
    message["text"] = body["text"]
    messages.append(message)
    return message


@app.get("/rooms/<room>/messages/<int:message_id>")
def read(room: str, message_id: int) -> dict:
    """Return one message."""
    return messages[message_id - 1]


@app.get("/rooms/<room>/messages")
def list_messages(room: str) -> list[dict]:
    """Return the room's messages."""
    return [message for message in messages if message["room"] == room]
