"""Reject a request that isn't a valid WebSocket handshake, with 400 or 426 as in lesson 5."""

import base64

from flask import Request
from werkzeug.exceptions import BadRequest, HTTPException

VERSION = "13"  # of the protocol (RFC 6455, section 4.1)


class UpgradeRequired(HTTPException):
    """426: the client must use another version of the protocol.

    RFC 6455, section 4.4, and RFC 9110, section 15.5.22, define its headers.
    """

    code = 426
    description = f"Use version {VERSION} of the WebSocket protocol."

    def get_headers(self, *args: object) -> list[tuple[str, str]]:
        """Return the response's headers, with what the client should upgrade to."""
        upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        return [*super().get_headers(*args), *upgrade, ("Sec-WebSocket-Version", VERSION)]


def check_handshake(request: Request) -> None:
    """Raise BadRequest or UpgradeRequired if it isn't valid (RFC 6455, section 4.2.1)."""
    version = request.headers.get("Sec-WebSocket-Version", "")
    needed = {
        "the method GET": request.method == "GET",
        "HTTP/1.1": "HTTP/1.1" <= request.environ["SERVER_PROTOCOL"] < "HTTP/2",
        "a Host": "Host" in request.headers,
        "a Sec-WebSocket-Key of 16 bytes": is_key(request.headers.get("Sec-WebSocket-Key", "")),
        "one Sec-WebSocket-Version": version and "," not in version,
    }
    for what, met in needed.items():
        if not met:
            raise BadRequest(f"A WebSocket handshake needs {what}.")
    if version != VERSION:
        raise UpgradeRequired


def is_key(key: str) -> bool:
    """Return whether a key is 16 bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False
