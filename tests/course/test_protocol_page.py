"""The conversation on the protocol's page is as asyncapi.yaml describes it."""

import json
import re

import jsonschema
import yaml

from course.lesson.lessons import ROOT

PAGE = (ROOT / "docs" / "reference" / "protocol.md").read_text("utf-8")
FILE = yaml.safe_load((ROOT / "solutions" / "08_broadcast" / "asyncapi.yaml").read_text("utf-8"))
HEARD = [json.loads(text) for text in re.findall(r"^\w+ ← (\{.*\})$", PAGE, re.MULTILINE)]


def test_the_page_shows_each_kind_that_the_server_sends():
    sent = set(FILE["components"]["messages"]) - {"post", "history", "ping"}

    assert {message["type"] for message in HEARD} == sent


def test_each_message_on_the_page_is_as_the_file_describes_it():
    for message in HEARD:
        schema = {**FILE, "$ref": f"#/components/messages/{message['type']}/payload"}
        jsonschema.Draft7Validator(schema).validate(message)
