"""asyncapi.yaml of lesson 7 describes what the lesson's tests accept, and nothing more.

The lesson's own tests compare the solution's traffic with the file, and expect each of its
messages.
"""

import importlib.util
import json

import jsonschema
import pytest

from course.grading.asyncapi import Described
from course.lesson.lessons import ROOT

SPEC = importlib.util.spec_from_file_location("lesson", ROOT / "tests" / "test_07_protocol.py")
lesson = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lesson)

FILE = Described(ROOT / "solutions" / "07_protocol" / "asyncapi.yaml")
REQUESTS = ("post", "history", "ping")
REPLIES = ("welcome", "ack", "messages", "pong", "error")
MESSAGE = {"id": 1, "room": "lobby", "author": "ada", "text": "hi", "sent_at": "2026-11-24T10:00Z"}
BAD_REPLIES = [
    {"type": "welcome", "room": "Lobby", "last_id": 0},
    {"type": "welcome", "room": "lobby", "last_id": None},
    {"type": "welcome", "room": "lobby"},
    {"type": "ack", "id": "1"},
    {"type": "ack", "id": None, "message": MESSAGE},
    {"type": "ack", "id": "1", "message": {**MESSAGE, "request_id": "1"}},
    {"type": "messages", "id": "1", "messages": [MESSAGE]},
    {"type": "messages", "id": "1", "messages": {}, "next": 0},
    {"type": "pong"},
    {"type": "pong", "id": "1", "code": "ok"},
    {"type": "error", "id": "1", "code": "teapot", "detail": "No."},
    {"type": "error", "id": "1", "code": "internal", "detail": " "},
    {"type": "error", "code": "internal", "detail": "No."},
]


def test_the_file_describes_each_message_and_no_other():
    assert {*REQUESTS, *REPLIES} == FILE.kinds


def test_each_payload_is_a_json_schema_and_each_reference_resolves():
    for message in FILE.document["components"]["messages"].values():
        jsonschema.Draft7Validator.check_schema(message["payload"])
    for reference in references(FILE.document):
        found = FILE.document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def references(value: object) -> list[str]:
    """Return every `$ref` in a document."""
    if isinstance(value, list):
        return [each for item in value for each in references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if "$ref" in value else []
    return own + [each for item in value.values() for each in references(item)]


# To JSON Schema, 5.0 is an integer. The server refuses it, which the file can't express.
BAD_REQUESTS = [
    request
    for request in [r for r, _ in lesson.BAD_FIELDS] + lesson.BAD_POSTS
    if not any(type(value) is float and value.is_integer() for value in request.values())
]


@pytest.mark.parametrize("request_", BAD_REQUESTS, ids=str)
def test_the_file_refuses_each_request_that_the_server_refuses(request_):
    assert FILE.problem(request_)


@pytest.mark.parametrize("text", lesson.HUGE, ids=lambda text: text[:45])
def test_the_file_refuses_each_request_that_is_too_large(text):
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        return  # It isn't a message at all.
    assert FILE.problem(request)


@pytest.mark.parametrize("reply", BAD_REPLIES, ids=str)
def test_the_file_refuses_each_message_that_no_server_may_send(reply):
    assert FILE.problem(reply)
