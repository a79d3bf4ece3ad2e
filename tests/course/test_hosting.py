"""The server of a lesson's app, for the grader, the workbench and `measure`."""

import socket
import threading

from course import hosting
from course.grading.waiting import PATIENCE

SECONDS = 20.0 * PATIENCE


def test_a_websocket_ends_when_its_handler_returns_though_the_client_has_sent_more():
    reached, sent = threading.Event(), threading.Event()

    def app(environ, start_response):
        reached.set()
        sent.wait(SECONDS)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    server = hosting.server(app)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with socket.create_connection(server.server_address, SECONDS) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n")
            assert reached.wait(SECONDS)
            client.sendall(b"\x88\x80abcd")  # A close frame, which no handler reads.
            sent.set()

            # The client doesn't close its side: it waits for the server, as RFC 6455 asks.
            received = b"".join(iter(lambda: client.recv(4096), b""))
    finally:
        server.shutdown()
        thread.join(SECONDS)
        server.server_close()

    assert received.startswith(b"HTTP/1.1 200 OK")
