"""The traffic on the protocol's page matches asyncapi.yaml, and shows each kind of message.

A sentence before a block names the lesson whose board sent it, and so the file that describes it.
"""

import json
import re

import jsonschema
import pytest
import yaml

from course.lesson.lessons import ROOT, find

PAGE = (ROOT / "docs" / "reference" / "protocol.md").read_text("utf-8")
TRAFFIC = PAGE[PAGE.index("{ #a-conversation }") : PAGE.index("{ #editor }")]
BOARD = re.compile(r"lesson (\d+)'s (?:finished )?board")
SENT = [json.loads(text) for text in re.findall(r"^\w+ → (\{.*\})$", TRAFFIC, re.MULTILINE)]


def received() -> list[tuple[str, dict]]:
    """Return each message of a server on the page, with the number of the lesson."""
    found, lesson = [], ""
    for line in TRAFFIC.splitlines():
        if named := BOARD.search(line):
            lesson = named[1]
        if message := re.fullmatch(r"\w+ ← (\{.*\})", line):
            found.append((lesson, json.loads(message[1])))
    return found


def described(lesson: str) -> dict:
    """Return the lesson's asyncapi.yaml."""
    path = ROOT / "solutions" / find(lesson).slug / "asyncapi.yaml"
    return yaml.safe_load(path.read_text("utf-8"))


RECEIVED = received()
NEWEST = described("13")
MESSAGES = NEWEST["components"]["messages"]
REQUESTS = {name for name, each in NEWEST["operations"].items() if each["action"] == "receive"}


def test_the_page_shows_each_request():
    assert {message["type"] for message in SENT} == {*REQUESTS, "dance"}


def test_the_page_shows_each_message_of_the_server():
    assert {message["type"] for _, message in RECEIVED} == set(MESSAGES) - REQUESTS


def test_the_page_shows_each_error_code_except_internal():
    codes = set(MESSAGES["error"]["payload"]["properties"]["code"]["enum"])

    shown = {message["code"] for _, message in RECEIVED if "code" in message}
    assert shown == codes - {"internal"}


def test_the_page_explains_each_error_code():
    codes = set(MESSAGES["error"]["payload"]["properties"]["code"]["enum"])

    table = PAGE[PAGE.index("{ #errors }") : PAGE.index("{ #a-conversation }")]
    assert codes <= set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize(
    ("lesson", "message"),
    RECEIVED,
    ids=lambda each: each if isinstance(each, str) else each["type"],
)
def test_each_message_of_the_server_matches_the_file(lesson, message):
    schema = {**described(lesson), "$ref": f"#/components/messages/{message['type']}/payload"}

    jsonschema.Draft7Validator(schema).validate(message)
