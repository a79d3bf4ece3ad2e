"""A solution's app, served for a measurement: `python server.py FOLDER DATABASE`.

It prints its port as one line, and ends when its stdin does.
"""

import logging
import os
import sys
import threading


def main(folder: str, database: str) -> None:
    """Serve the app on a free port of loopback, with a thread for each connection."""
    sys.path[0] = folder
    sys.dont_write_bytecode = True
    from app import create_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = create_app({"DATABASE": database})
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)  # Some of its threads wait for clients, and would go on doing so.


if __name__ == "__main__":
    main(*sys.argv[1:])
