"""What the course reads in a page's Markdown."""

import pytest

from course.lesson.page import Page

PAGE = """\
---
title: "A: page"
---

# Top

Prose.

```python title="app.py" hl_lines="1"
# No heading
```

??? example "Solution"

    ~~~ { .js title="a.js" }
    ??? hint "No box"
    ```
    ~~~

    The end of the box.

After it.

## Last { .wide #last }
"""


def test_front_matter_is_read_without_its_quotes():
    assert Page(PAGE).front == {"title": "A: page"}


@pytest.mark.parametrize("text", ["", "# Top", "---\nnever: ended\n"])
def test_a_page_may_have_no_front_matter(text):
    assert Page(text).front == {}


def test_headings_are_those_outside_code():
    headings = [(h.line, h.level, h.text, h.id) for h in Page(PAGE).headings]

    assert headings == [(5, 1, "Top", ""), (24, 2, "Last", "last")]


def test_a_fence_ends_at_its_own_sign():
    python, js = Page(PAGE).fences

    assert (python.line, python.last, python.language, python.title) == (9, 11, "python", "app.py")
    assert (js.language, js.title) == ("js", "a.js")
    assert js.lines == ['??? hint "No box"', "```"]


def test_a_box_holds_what_is_indented_below_it():
    (box,) = Page(PAGE).boxes

    assert (box.line, box.last, box.sign, box.kind, box.title) == (
        13,
        20,
        "???",
        "example",
        "Solution",
    )
    assert box.text.endswith("~~~\n\nThe end of the box.")


def test_prose_is_neither_front_matter_nor_code():
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
def test_the_language_of_a_block(info, language):
    (fence,) = Page(f"``` {info}\n```\n").fences

    assert fence.language == language
