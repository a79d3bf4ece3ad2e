"""The files for editors: the devcontainer, and the tasks and settings of VS Code."""

import json
import re

import jsonschema

from course.cli import course
from course.learner.site import PORT
from course.lesson.lessons import ROOT

# The properties used here, as https://containers.dev/implementors/json_schema/ restricts them.
COMMAND = {"type": ["string", "array", "object"]}
FORWARD = ["notify", "openBrowser", "openBrowserOnce", "openPreview", "silent", "ignore"]
ATTRIBUTES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "label": {"type": "string"},
        "protocol": {"enum": ["http", "https"]},
        "onAutoForward": {"enum": FORWARD},
        "requireLocalPort": {"type": "boolean"},
        "elevateIfNeeded": {"type": "boolean"},
    },
}
DEVCONTAINER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image"],
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string"},
        "onCreateCommand": COMMAND,
        "updateContentCommand": COMMAND,
        "postAttachCommand": COMMAND,
        "forwardPorts": {"type": "array", "items": {"type": "integer", "maximum": 65535}},
        "portsAttributes": {"type": "object", "additionalProperties": ATTRIBUTES},
        "otherPortsAttributes": ATTRIBUTES,
        "customizations": {"type": "object"},
    },
}


def read(name: str) -> dict:
    """Return a file of JSON with comments."""
    text = (ROOT / name).read_text("utf-8")
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


def commands() -> list[str]:
    """Return every command line that these files run."""
    container, tasks = read(".devcontainer/devcontainer.json"), read(".vscode/tasks.json")["tasks"]
    found = [container["updateContentCommand"], container["postAttachCommand"]]
    found += [task["command"] for task in tasks]
    return found + [task["windows"]["command"] for task in tasks]


def test_the_devcontainer_has_the_form_that_its_schema_asks_for():
    container = read(".devcontainer/devcontainer.json")

    jsonschema.validate(container, DEVCONTAINER)
    assert container["forwardPorts"] == [PORT]
    assert container["portsAttributes"].keys() == {str(PORT)}


def test_each_command_is_one_of_the_course():
    for line in commands():
        python, option, module, *rest = line.split()
        assert (python in ("python3", "py"), option, module) == (True, "-m", "course")
        assert not rest or rest[0] in course.commands


def test_there_are_two_tasks_and_the_test_panel_shows_the_lessons_only():
    settings = read(".vscode/settings.json")

    assert len(read(".vscode/tasks.json")["tasks"]) == 2
    assert settings == {
        "python.testing.pytestEnabled": True,
        "python.testing.pytestArgs": ["tests", "--ignore=tests/course"],
    }
