"""Validate what a request sends, and reject bad input with a problem document."""

import json
import re

from flask import Response, request
from werkzeug.exceptions import BadRequest, HTTPException, LengthRequired, UnprocessableEntity
from werkzeug.routing import BaseConverter

MAX_TEXT = 2_000  # code points
MAX_BODY = 32 * 1024  # bytes
MAX_ID = 2**63 - 1  # the largest integer that SQLite can store


class RoomName(BaseConverter):
    """The part of a URL that names a room. Flask responds with 404 to any other name."""

    regex = "[a-z0-9-]{1,32}"


def posted() -> dict:
    """Return the JSON object that was posted. Raises HTTPException unless it is a message."""
    if request.content_length is None:  # MAX_CONTENT_LENGTH doesn't limit a chunked body.
        raise LengthRequired("Send a Content-Length.")
    try:
        body = request.get_json()
        json.dumps(body, ensure_ascii=False).encode()  # UTF-8 can't encode a lone surrogate.
    except (RecursionError, UnicodeEncodeError):
        raise BadRequest("The JSON is nested too deeply or has a lone surrogate.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    for name in ("author", "text"):
        value = body.get(name)
        if not isinstance(value, str) or not value.strip():
            raise BadRequest(f"{name} must be a string that is not blank.")
    if len(body["text"]) > MAX_TEXT:
        raise UnprocessableEntity(f"text must have at most {MAX_TEXT} characters.")
    return body


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """Return a number from the query. Raises BadRequest unless it is a whole number in range."""
    return in_range(name, request.args.get(name, str(default)), low, high)


def in_range(name: str, text: str, low: int, high: int) -> int:
    """Return `text` as a number. Raises BadRequest unless it is a whole number in range."""
    if not re.fullmatch("[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise BadRequest(f"{name} must be a whole number from {low} to {high}.")
    return int(text)


def problem(error: HTTPException) -> Response:
    """Return the error as a problem document (RFC 9457, section 3)."""
    response = error.get_response()
    document = {"title": error.name, "status": error.code, "detail": error.description}
    response.data = json.dumps(document)
    response.content_type = "application/problem+json"
    return response
