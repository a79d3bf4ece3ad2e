"""A first attempt at pushing: each client has a queue, and each post is put into all of them."""

import queue
from collections.abc import Iterator

from flask import Flask, Response, request

app = Flask(__name__)
queues: list[queue.Queue] = []


@app.post("/say")
def say() -> dict:
    """Put the request's body into the queue of every client."""
    for texts in queues:
        texts.put(request.get_data(as_text=True))
    return {"clients": len(queues)}


@app.get("/events")
def events() -> Response:
    """Send every post to the client, as a stream of events."""
    texts: queue.Queue = queue.Queue()
    queues.append(texts)

    def blocks() -> Iterator[str]:
        while True:
            yield f"data: {texts.get()}\n\n"

    return Response(blocks(), mimetype="text/event-stream")
