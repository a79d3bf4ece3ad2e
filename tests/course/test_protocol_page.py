"""The traffic on the protocol's page matches asyncapi.yaml, and shows each kind of message."""

import json
import re

import jsonschema
import pytest
import yaml

from course.lesson.lessons import ROOT

PAGE = (ROOT / "docs" / "reference" / "protocol.md").read_text("utf-8")
FILE = yaml.safe_load((ROOT / "solutions" / "10_reconnect" / "asyncapi.yaml").read_text("utf-8"))
MESSAGES = FILE["components"]["messages"]
REQUESTS = {name for name, each in FILE["operations"].items() if each["action"] == "receive"}
SENT = [json.loads(text) for text in re.findall(r"^\w+ → (\{.*\})$", PAGE, re.MULTILINE)]
RECEIVED = [json.loads(text) for text in re.findall(r"^\w+ ← (\{.*\})$", PAGE, re.MULTILINE)]


def test_the_page_shows_each_request():
    assert {message["type"] for message in SENT} == {*REQUESTS, "dance"}


def test_the_page_shows_each_message_of_the_server():
    assert {message["type"] for message in RECEIVED} == set(MESSAGES) - REQUESTS


def test_the_page_shows_each_error_code_except_internal():
    codes = set(MESSAGES["error"]["payload"]["properties"]["code"]["enum"])

    assert {message["code"] for message in RECEIVED if "code" in message} == codes - {"internal"}


@pytest.mark.parametrize("message", RECEIVED, ids=lambda message: message["type"])
def test_each_message_of_the_server_matches_the_file(message):
    schema = {**FILE, "$ref": f"#/components/messages/{message['type']}/payload"}

    jsonschema.Draft7Validator(schema).validate(message)
