"""Reading a page's Markdown: front matter, headings, boxes, fenced blocks and prose."""

import pytest

from course.lesson.page import Page

PAGE = """\
---
title: "A: page"
---

# Top

Prose.

```python title="app.py" hl_lines="1"
# Not a heading
```

??? example "Solution"

    ~~~ { .js title="a.js" }
    ??? hint "Not a box"
    ```
    ~~~

    The end of the box.

After it.

## Last { .wide #last }
"""


def test_front_matter_is_read_without_its_quotes():
    assert Page(PAGE).front == {"title": "A: page"}


@pytest.mark.parametrize("text", ["", "# Top", "---\nnever: ended\n"])
def test_front_matter_is_optional(text):
    assert Page(text).front == {}


def test_headings_inside_code_are_ignored():
    headings = [(h.line, h.level, h.text, h.id) for h in Page(PAGE).headings]

    assert headings == [(5, 1, "Top", ""), (24, 2, "Last", "last")]


def test_a_fence_ends_at_the_sign_that_opened_it():
    python, js = Page(PAGE).fences

    assert (python.line, python.last, python.language, python.title) == (9, 11, "python", "app.py")
    assert (js.language, js.title) == ("js", "a.js")
    assert js.lines == ['??? hint "Not a box"', "```"]


def test_a_boxs_text_is_the_indented_block_below_it():
    (box,) = Page(PAGE).boxes

    assert (box.line, box.last, box.sign, box.kind, box.title) == (
        13,
        20,
        "???",
        "example",
        "Solution",
    )
    assert box.text.endswith("~~~\n\nThe end of the box.")


def test_prose_excludes_front_matter_and_code():
    lines = [line for _, line in Page(PAGE).prose if line.strip()]

    assert lines == [
        "# Top",
        "Prose.",
        '??? example "Solution"',
        "    The end of the box.",
        "After it.",
        "## Last { .wide #last }",
    ]


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("py", "py"),
        ("{ .html+jinja .wide }", "html+jinja"),
        ("", ""),
        ('title="a.py"', ""),
        ("{ .console }", "console"),
    ],
)
def test_the_language_of_a_block_is_its_first_word(info, language):
    (fence,) = Page(f"``` {info}\n```\n").fences

    assert fence.language == language
