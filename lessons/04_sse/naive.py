"""A first try at pushing: each reader has a queue, and a post goes into all of them."""

import queue
from collections.abc import Iterator

from flask import Flask, Response, request

app = Flask(__name__)
queues: list[queue.Queue] = []


@app.post("/say")
def say() -> dict:
    """Give the body to every reader."""
    for texts in queues:
        texts.put(request.get_data(as_text=True))
    return {"readers": len(queues)}


@app.get("/events")
def events() -> Response:
    """Send the reader what others say, as events."""
    texts: queue.Queue = queue.Queue()
    queues.append(texts)

    def blocks() -> Iterator[str]:
        while True:
            yield f"data: {texts.get()}\n\n"

    return Response(blocks(), mimetype="text/event-stream")
