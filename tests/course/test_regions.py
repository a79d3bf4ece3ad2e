"""Regions: how they are read, replaced and restored, and which markers are refused."""

import pytest

from course.lesson.regions import (
    MarkerError,
    regions,
    replace,
    restore,
    starter,
    todos,
    without_markers,
)

SOLUTION = """\
rooms = {}


def publish(room, text):
    # --8<-- [start:publish] Send the text to every client in the room.
    for client in list(rooms[room]):
        client.send(text)
    # --8<-- [end:publish]


# --8<-- [start:leave-given]
def leave(room, client):
    rooms[room].discard(client)
# --8<-- [end:leave-given]
"""

STARTER = """\
rooms = {}


def publish(room, text):
    # TODO(publish): Send the text to every client in the room.
    ...
    # END(publish)


def leave(room, client):
    rooms[room].discard(client)
"""


def test_a_region_has_a_name_a_sentence_a_place_and_a_body():
    publish, leave = regions(SOLUTION, ".py", "hub.py")

    assert (publish.name, publish.task) == ("publish", "publish")
    assert publish.sentence == "Send the text to every client in the room."
    assert (publish.file, publish.first, publish.last, publish.indent) == ("hub.py", 5, 8, "    ")
    assert publish.body == "for client in list(rooms[room]):\n    client.send(text)\n"
    assert (leave.name, leave.task, leave.sentence) == ("leave-given", "leave", "")


def test_a_starter_has_a_todo_for_each_region_with_a_sentence_and_keeps_the_others():
    assert starter(SOLUTION, ".py") == STARTER


def test_removing_a_marker_leaves_no_extra_empty_lines():
    text = "# --8<-- [start:a]\na = 1\n\n\n# --8<-- [end:a]\n\n\nb = 2\n"

    assert starter(text, ".py") == "a = 1\n\n\nb = 2\n"
    assert starter("# --8<-- [start:a]\na = 1\n\n# --8<-- [end:a]\n", ".py") == "a = 1\n"


def test_the_starter_of_a_file_without_markers_is_the_file():
    assert starter("a = 1\n", ".py") == "a = 1\n"
    assert starter("any text\r\nat all", ".txt") == "any text\r\nat all"


def test_markers_can_be_removed_from_code():
    code = without_markers(SOLUTION, ".py")

    assert "8<" not in code
    assert len(code.splitlines()) == len(SOLUTION.splitlines()) - 4


def test_replacing_a_region_indents_the_code():
    text = replace(SOLUTION, ".py", "publish", "\n        if rooms:\n            pass\n    ")

    assert "    if rooms:\n        pass\n    # --8<-- [end:publish]" in text
    assert "client.send" not in text


def test_replacing_a_region_with_its_own_body_changes_nothing():
    for region in regions(SOLUTION, ".py"):
        assert replace(SOLUTION, ".py", region.name, region.body) == SOLUTION


def test_replacing_a_missing_region_is_refused():
    with pytest.raises(MarkerError, match=r"hub\.py: no region is called listen"):
        replace(SOLUTION, ".py", "listen", "", "hub.py")


@pytest.mark.parametrize(
    ("suffix", "opening", "closing", "blank"),
    [
        (".py", "#", "", ["..."]),
        (".js", "//", "", []),
        (".js", "/*", " */", []),
        (".css", "/*", " */", []),
        (".html", "<!--", " -->", []),
        (".html", "//", "", []),
        (".conf", "#", "", []),
        (".lua", "--", "", []),
    ],
)
def test_each_type_of_file_has_its_own_comments(suffix, opening, closing, blank):
    text = "\n".join(
        [
            f"  {opening} --8<-- [start:show] Show the text.{closing}",
            "  show(text)",
            f"  {opening} --8<-- [end:show]{closing}",
        ]
    )

    assert regions(text, suffix)[0].sentence == "Show the text."
    assert starter(text, suffix).split("\n") == [
        f"  {opening} TODO(show): Show the text.{closing}",
        *(f"  {line}" for line in blank),
        f"  {opening} END(show){closing}",
    ]


START, END = "# --8<-- [start:a] Do it.", "# --8<-- [end:a]"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [START, "pass"],
            "hub.py:1: region a has no end. Add `# --8<-- [end:a]` after its last line.",
        ),
        (
            [START, "# --8<-- [start:b]", END],
            "hub.py:2: b starts inside a. Add `# --8<-- [end:a]` before this line.",
        ),
        (
            [START, "# --8<-- [end:b]"],
            "hub.py:1: region a has no end. Add `# --8<-- [end:a]` after its last line.",
        ),
        (
            ["pass", END],
            "hub.py:2: a ends here but doesn't start. Add its start, or delete this line.",
        ),
        (
            [START, END, START, END],
            "hub.py:3: another region is called a. Rename this one.",
        ),
        (
            ["# --8<-- [start:A]", "# --8<-- [end:A]"],
            "hub.py:1: 'A' isn't a valid region name. Use a task's id, or `task-part`.",
        ),
        (
            [START, f"    {END}"],
            "hub.py:1: the two markers of a differ in indent. Indent both like the code.",
        ),
        (
            [START, f"{END} Do it."],
            "hub.py:1: the end of a has a sentence, 'Do it.'. Move it to the start.",
        ),
        (
            ["# -8<- [start: a]", END],
            "hub.py:1: this isn't a valid marker. Write `# --8<-- [start:name] Sentence.`.",
        ),
        (
            [f"pass  {START}", END],
            "hub.py:1: this isn't a valid marker. Write `# --8<-- [start:name] Sentence.`.",
        ),
    ],
)
def test_an_invalid_marker_is_refused_with_advice(lines, message):
    with pytest.raises(MarkerError) as caught:
        starter("\n".join(lines), ".py", "hub.py")

    assert str(caught.value) == message


def test_a_marker_in_a_file_without_comments_is_refused():
    with pytest.raises(MarkerError) as caught:
        regions(START, ".json", "data.json")

    assert str(caught.value) == (
        "data.json:1: this isn't a valid marker. A .json file can't have markers."
    )


def test_a_learners_todo_is_found_after_it_was_filled_in():
    mine = STARTER.replace(
        "    ...\n", "    for client in rooms[room]:\n        client.send(text)\n"
    )

    (publish,) = todos(mine, ".py", "hub.py")

    assert publish.body == "for client in rooms[room]:\n    client.send(text)\n"


def test_restoring_a_region_leaves_the_rest_of_the_file_unchanged():
    mine = STARTER.replace("    ...\n", "    wrong()\n").replace("rooms = {}", "rooms = dict()")

    assert restore(mine, STARTER, ".py", "publish") == STARTER.replace("{}", "dict()")


@pytest.mark.parametrize("lost", ["TODO", "END"])
def test_a_region_without_both_comments_cannot_be_restored(lost):
    mine = "\n".join(line for line in STARTER.split("\n") if lost not in line)

    assert todos(mine, ".py") == []
    with pytest.raises(MarkerError, match="Reset the whole lesson instead"):
        restore(mine, STARTER, ".py", "publish", "hub.py")
