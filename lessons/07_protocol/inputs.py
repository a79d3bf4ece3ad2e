"""Read what a request brings, or refuse it with a problem document."""

import json
import re

from flask import Response, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge
from werkzeug.routing import BaseConverter

MAX_TEXT = 2_000  # characters
MAX_BODY = 16 * 1024  # bytes
MAX_ID = 2**63 - 1  # the largest integer that SQLite can hold


class RoomName(BaseConverter):
    """The part of a URL that names a room. Any other name is answered 404."""

    regex = "[a-z0-9-]{1,32}"


def posted() -> dict:
    """Return the body of a post, if a message can be made of it. Raises HTTPException if not."""
    try:
        body = request.get_json()
        json.dumps(body, ensure_ascii=False).encode()  # Half a surrogate pair has no bytes.
    except (RecursionError, UnicodeEncodeError):
        raise BadRequest("The JSON is nested too deeply, or holds half a character.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    for name in ("author", "text"):
        value = body.get(name)
        if not isinstance(value, str) or not value.strip():
            raise BadRequest(f"{name} must be a string that is not blank.")
    if len(body["text"]) > MAX_TEXT:
        raise RequestEntityTooLarge(f"text must have at most {MAX_TEXT} characters.")
    return body


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """Return the query's number. Raises BadRequest unless it is digits and within the range."""
    text = request.args.get(name, str(default))
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
