"""Check the rules of the pages, for `dev check`.

A lesson's page, `docs/lessons/NN_slug.md`:

    ---
    description: What the reader can do after the lesson.
    needs: [browser]  (Only if the lesson needs more than the packages, as in lesson/needs.py.)
    starts_from: 01_rest  (Only if the solution doesn't start from that of the lesson before.)
    ---
    # 8. Title
    ## Goal
    ## See the problem
    ## Your task
    ### Title of a task { #task_id }
    Text that says what to do.
    ??? hint "A nudge"
    ??? hint "A pointer"
    ??? hint "Nearly there"
    ??? example "Solution"
        (Each TODO region of the task, as a snippet. A task without a region doesn't need this box.)
    ## Check
    ## What changed
    ## Next

A page has at most 2,200 words outside code and closed boxes, and 8 tasks, unless its front matter
says otherwise, such as `words: 2500`.

On every page, a heading is unique on the site, except for the six H2 headings above. An answer is
only shown in a closed Solution. Code is included from a file by `--8<-- "path:region"`, in a block
of at most 20 lines with the file's name as its title. A page never refers to line numbers, requests
nothing from other hosts, and calls nothing easy.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from course.author.lesson_view import Refusal, View, code_lines, read
from course.lesson import needs
from course.lesson.page import Box, Fence, Heading, Page
from course.lesson.regions import COMMENTS, MarkerError, Region, regions, without_markers

RITUAL = ("Goal", "See the problem", "Your task", "Check", "What changed", "Next")
HINTS = ("A nudge", "A pointer", "Nearly there")
WORDS, TASKS = 2200, 8  # the limits of a lesson, unless its page sets others
BLOCK_LINES = 20
# Code in these languages must be included from a file. Any other block is output.
CODE = {"python", "py", "python3", "js", "javascript", "html", "css", "jinja", "html+jinja", "lua"}
# A shorter line, such as `else:`, is too common to give an answer away.
TELLING = 10  # characters

_WORD = re.compile(r"\S*\w\S*")
_WORDS = re.compile(r"\b(simply|just|easy|easily)\b", re.IGNORECASE)
_INCLUDE = re.compile(r"\s*-+8<-+ +([\"'])(?P<path>[^\"':]*)(?::(?P<part>[^\"']*))?\1\s*")
_INCLUDE_START = re.compile(r"\s*-+8<-+")
_SPAN = re.compile(r"(`+)(.+?)\1")
_LINK_TARGET = re.compile(r"\]\([^)]*\)|\{[^}]*\}|<[^>]*>|https?://\S+")
_REQUEST = re.compile(
    r"""(\bsrc(set)?\s*=\s*["']?|<link\b(?![^>]*canonical)[^>]*\bhref\s*=\s*["']?|\burl\(\s*["']?"""
    r"""|@import\s+["']|\b(from|import)\s*\(?\s*["']|!\[[^\]]*\]\(\s*<?"""
    r"""|\b(fetch|WebSocket|EventSource|importScripts)\(\s*["'`])((https?|wss?):)?//""",
    re.IGNORECASE,
)
_CONFIGURED = re.compile(r"""^[\s-]*(path:\s*)?["']?(https?:)?//\S+\.(m?js|css|woff2?)\b""")


def refusals(root: Path, views: list[View]) -> Iterator[Refusal]:
    """Yield each place where the site breaks a rule."""
    for view in views:
        if view.lesson.page.is_file():
            yield from (refusal for rule in LESSON_PAGE_RULES for refusal in rule(view))
    pages = {path: Page(read(path)) for path in sorted((root / "docs").rglob("*.md"))}
    for path, page in pages.items():
        for rule in PAGE_RULES:
            yield from (Refusal(path, line, text) for line, text in rule(page, root))
        yield from (Refusal(path, line, text) for line, text in answers(page, path, root, views))
    yield from same_headings(pages, root)
    yield from hosts(root)


# A lesson's page


def top(view: View) -> Iterator[Refusal]:
    """A page has a description, and exactly one H1, which is its first heading."""
    path, page = view.lesson.page, view.page
    if not page.front.get("description"):
        text = "it has no description. Add `description:` to its front matter, at the top."
        yield Refusal(path, 1, text)
    titles = [heading for heading in page.headings if heading.level == 1]
    if not titles or page.headings[0] != titles[0]:
        yield Refusal(path, 1, "its first heading isn't a title. Begin with `# ` and the title.")
    for extra in titles[1:]:
        yield Refusal(path, extra.line, "this is a second title. Use `## ` or `### `.")
    number = f"{view.lesson.number}. "
    if titles and not titles[0].text.startswith(number):
        bare = re.sub(r"^\d+\. ", "", titles[0].text)
        wanted = f"# {number}{bare}"
        text = f"the title doesn't begin with the lesson's number. Write `{wanted}`."
        yield Refusal(path, titles[0].line, text)


def needed(view: View) -> Iterator[Refusal]:
    """What the page's `needs` names can be found on a machine."""
    for name in view.lesson.needs:
        if name not in needs.FINDERS:
            known = ", ".join(sorted(needs.FINDERS))
            text = (
                f"no finder is called {name!r}, only {known}. "
                "Add one to FINDERS in course/lesson/needs.py, or fix `needs`."
            )
            yield Refusal(view.lesson.page, 0, text)
    if "needs" in view.page.front and not view.lesson.needs:
        text = "`needs` names nothing. Write it in one line, such as `needs: [browser]`."
        yield Refusal(view.lesson.page, 0, text)


def starting_point(view: View) -> Iterator[Refusal]:
    """What the page's `starts_from` names is an earlier lesson."""
    named = view.page.front.get("starts_from")
    if named is not None and (view.before is None or view.before.slug != named):
        text = f"`starts_from` is {named!r}, which isn't an earlier lesson. Write its slug."
        yield Refusal(view.lesson.page, 0, text)


def length(view: View) -> Iterator[Refusal]:
    """A page is short: it has few tasks, and few words outside code and closed boxes."""
    page = view.page
    closed = {
        number
        for box in page.boxes
        if box.sign == "???"
        for number in range(box.line, box.last + 1)
    }
    words = sum(len(_WORD.findall(line)) for number, line in page.prose if number not in closed)
    for name, count, usual in (("words", words, WORDS), ("tasks", len(view.tasks), TASKS)):
        if count > (most := view.limit(name, usual)):
            advice = f"Move a part elsewhere, or set `{name}: {count}` in its front matter."
            text = f"it has {count} {name}; the limit is {most}. {advice}"
            yield Refusal(view.lesson.page, 0, text)


def ritual(view: View) -> Iterator[Refusal]:
    """Every lesson's page has the same H2 headings."""
    found = [heading for heading in view.page.headings if heading.level == 2]
    if [heading.text for heading in found] == list(RITUAL):
        return
    wrong = (h.line for h, wanted in zip(found, RITUAL, strict=False) if h.text != wanted)
    line = next(wrong, found[len(RITUAL)].line if len(found) > len(RITUAL) else 0)
    text = f"its `## ` headings must be {', '.join(RITUAL)}, in this order. Change them."
    yield Refusal(view.lesson.page, line, text)


def headings(view: View) -> Iterator[Refusal]:
    """The headings under "Your task" are the tasks that the tests name, in the same order."""
    asked = [task.id for task in view.tasks]
    found = [heading for heading in _task_headings(view.page) if heading.id]
    for heading in found:
        if heading.id not in asked:
            text = f"no test has the task {heading.id}. Add @task to one, or fix the heading's id."
            yield Refusal(view.lesson.page, heading.line, text)
    there = [heading.id for heading in found]
    for name in asked:
        if name not in there:
            text = f"task {name} has no heading under Your task. Add `### Title {{ #{name} }}`."
            yield Refusal(view.lesson.page, 0, text)
    if sorted(there) == sorted(asked) and there != asked:
        text = f"the tests have the tasks in another order: {', '.join(asked)}. Move the sections."
        yield Refusal(view.lesson.page, found[0].line, text)


def hints(view: View) -> Iterator[Refusal]:
    """Each task says what to do, and has three closed hints."""
    page, path = view.page, view.lesson.page
    for heading in _known_headings(view):
        boxes = _boxes(page, heading)
        said = page.lines[heading.line : boxes[0].line - 1 if boxes else len(page.lines)]
        if not any(line.strip() for line in said):
            text = f"task {heading.id} doesn't say what to do. Say so below the heading."
            yield Refusal(path, heading.line, text)
        closed = [b.title for b in boxes if b.kind == "hint" and b.sign == "???" and b.text]
        if closed != list(HINTS):
            wanted = ", ".join(f'`??? hint "{title}"`' for title in HINTS)
            text = f"task {heading.id} needs three hints. Write {wanted}, each with a text."
            yield Refusal(path, heading.line, text)


def solutions(view: View) -> Iterator[Refusal]:
    """Each task with a TODO shows its answer in a closed Solution, as a snippet."""
    folder = f"solutions/{view.slug}"
    for heading in _known_headings(view):
        wanted = {f"{folder}/{r.file}:{r.name}" for r in view.todos if r.task == heading.id}
        boxes = [box for box in _boxes(view.page, heading) if _is_solution(box)]
        lines = [line for box in boxes for line in box.text.split("\n")]
        shown = {f"{m['path']}:{m['part']}" for m in map(_INCLUDE.fullmatch, lines) if m}
        for missing in sorted(wanted - shown):
            text = (
                f"task {heading.id} doesn't show its answer. "
                f'Add `--8<-- "{missing}"` to its `??? example "Solution"`.'
            )
            yield Refusal(view.lesson.page, heading.line, text)


def _task_headings(page: Page) -> list[Heading]:
    """Return the H3 headings of the section "Your task"."""
    found, inside = [], False
    for heading in page.headings:
        if heading.level <= 2:
            inside = heading.text == "Your task"
        elif inside and heading.level == 3:
            found.append(heading)
    return found


def _known_headings(view: View) -> list[Heading]:
    """Return the headings of the tasks that the tests name."""
    asked = {task.id for task in view.tasks}
    return [heading for heading in _task_headings(view.page) if heading.id in asked]


def _boxes(page: Page, heading: Heading) -> list[Box]:
    """Return the admonitions in a heading's section."""
    return [box for box in page.boxes if box.line in page.section(heading)]


def _is_solution(box: Box) -> bool:
    """Return whether an admonition is a closed Solution."""
    return box.sign == "???" and box.title == "Solution"


# Any page. These rules yield the number of a line, and what to do.

Found = Iterator[tuple[int, str]]


def listings(page: Page, root: Path) -> Found:
    """Code is included from a file, which the title names; a block is short."""
    for fence in page.fences:
        included = [match for match in map(_INCLUDE.fullmatch, fence.lines) if match]
        if fence.language in CODE:
            yield from ((fence.line, text) for text in _listing(fence, included))
        length = len(_trimmed([x for line in fence.lines for x in _expanded(line, root)]))
        if length > BLOCK_LINES:
            text = f"this block has {length} lines; the limit is {BLOCK_LINES}. Show a part of it."
            yield fence.line, text
        if not fence.language:
            text = "this block has no language. Add one, such as `console` or `text`."
            yield fence.line, text
        if fence.language == "mermaid":
            yield fence.line, "Mermaid's script is on another host. Draw it as an SVG."
        if re.search(r"\b(hl_lines|linenums)\b", fence.info):
            yield fence.line, "line numbers go stale. Show a region, and say what to look at."


def _listing(fence: Fence, included: list[re.Match]) -> Iterator[str]:
    """Say what is wrong with a block of code."""
    if len(included) != len([line for line in fence.lines if line.strip()]) or not included:
        yield 'this code is typed by hand. Include it from a file: `--8<-- "path:region"`.'
        return
    name = Path(included[0]["path"]).name
    if Path(fence.title).name != name:
        yield f'this block doesn\'t name its file. Add `title="{name}"` after its language.'


def snippets(page: Page, root: Path) -> Found:
    """An included file or region exists, and is included by name."""
    for number, line in enumerate(page.lines, 1):
        match = _INCLUDE.fullmatch(line)
        problem = match and _problem(match, root)
        if problem:
            yield number, problem
        if not match and _INCLUDE_START.match(line):
            yield number, 'not a valid include. Write `--8<-- "path:region"` on its own line.'


def words(page: Page, root: Path) -> Found:
    """A page never says that something is easy, since it may not be for the reader."""
    for number, line in page.prose:
        for match in _WORDS.finditer(_LINK_TARGET.sub(" ", _SPAN.sub(" ", line))):
            yield number, f"{match[0]!r} may not be true for the reader. Remove it."


def answers(page: Page, path: Path, root: Path, views: list[View]) -> Found:
    """A page shows answers, of its own lesson or a later one, only in a closed Solution."""
    own = next((n for n, view in enumerate(views) if view.lesson.page == path), 0)
    open_lines = list(_open_code(page, root))
    for view in views[own:]:
        for region in view.todos:
            line = _gives_away(region, open_lines)
            if line:
                text = (
                    f"this gives away the answer to {region.name} in {view.slug}. "
                    'Move it to the closed `??? example "Solution"` of its task.'
                )
                yield line, text


def _open_code(page: Page, root: Path) -> Iterator[tuple[int, str]]:
    """Yield the code outside closed Solutions, with line numbers."""
    closed = {n for box in page.boxes if _is_solution(box) for n in range(box.line, box.last + 1)}
    prose = dict(page.prose)
    for number, line in enumerate(page.lines, 1):
        if number in closed:
            continue
        if number in prose and not _INCLUDE.fullmatch(line):
            yield from ((number, span) for _, span in _SPAN.findall(line))
        else:
            yield from ((number, code) for code in code_lines("\n".join(_expanded(line, root))))


def _gives_away(region: Region, open_lines: list[tuple[int, str]]) -> int:
    """Return the line where two consecutive lines of the answer are shown, or 0.

    For an answer of one line, return the line where it is shown.
    """
    answer = [_plain(line) for line in code_lines(region.body)]
    least = TELLING if any(len(line) >= TELLING for line in answer) else 1
    answer = [line for line in answer if len(line) >= least]
    shown = [(number, _plain(line)) for number, line in open_lines]
    shown = [(number, line) for number, line in shown if len(line) >= least]
    text = "".join(line for _, line in shown)
    for part in map("".join, pairwise(answer)) if len(answer) > 1 else answer:
        place = text.find(part)
        if place >= 0:
            return _line_at(place, shown)
    return 0


def _line_at(place: int, shown: list[tuple[int, str]]) -> int:
    """Return the number of the line at this offset in the joined text."""
    for number, line in shown:
        place -= len(line)
        if place < 0:
            return number
    return 0


def _plain(code: str) -> str:
    """Return a line of code without spaces and its comment, and with double quotes."""
    return re.sub(r"\s{2,}#.*|\s", "", code.strip()).replace("'", '"')


def _expanded(line: str, root: Path) -> list[str]:
    """Return the lines that an include inserts, or the line itself if it isn't an include."""
    match = _INCLUDE.fullmatch(line)
    if not match or _problem(match, root):
        return [line]
    path = root / match["path"]
    text = read(path)
    if not match["part"]:
        return without_markers(text, path.suffix).split("\n")
    body = next(r.body for r in regions(text, path.suffix) if r.name == match["part"])
    return _trimmed(without_markers(body, path.suffix).split("\n"))


def _problem(include: re.Match, root: Path) -> str:
    """Return what is wrong with an include and what to do, or "" if it is right."""
    name, part = include["path"], include["part"]
    path = root / name
    if not path.is_file():
        return f"{name} doesn't exist. Write its path from the root of the repository."
    if part is None:
        return ""
    if re.fullmatch(r"[\d:,-]*", part):
        return f"{name} is included by line numbers, which go stale. Name a region."
    try:
        found = regions(read(path), path.suffix, name) if path.suffix in COMMENTS else []
    except MarkerError as error:
        return f"{error}"
    if part not in [region.name for region in found]:
        return f"{name} has no region {part}. Add its markers, or fix the name."
    return ""


def _trimmed(lines: list[str]) -> list[str]:
    """Return the lines without trailing blank lines."""
    return "\n".join(lines).rstrip().split("\n")


# All pages together


def same_headings(pages: dict[Path, Page], root: Path) -> Iterator[Refusal]:
    """A heading is unique on the site, so that a search result names one section."""
    seen: dict[str, str] = {}
    for path, page in pages.items():
        for heading in page.headings:
            text = " ".join(re.findall(r"\w+", heading.text.casefold()))
            here = f"{path.relative_to(root).as_posix()}:{heading.line}"
            first = seen.setdefault(text, here)
            if first != here and heading.text not in RITUAL:
                text = f"{first} has the same heading. Name this section's subject in it."
                yield Refusal(path, heading.line, text)


# All files of the site


def hosts(root: Path) -> Iterator[Refusal]:
    """The site requests nothing from other hosts."""
    text = "this is requested from another host. Put a copy in docs/, and refer to that."
    for path in sorted((root / "docs").rglob("*")):
        if path.suffix in (".md", ".html", ".css", ".js", ".svg"):
            lines = Page(read(path)).prose if path.suffix == ".md" else _numbered(path)
            for number, line in lines:
                if _REQUEST.search(_SPAN.sub("", line) if path.suffix == ".md" else line):
                    yield Refusal(path, number, text)
    settings = root / "mkdocs.yml"
    if settings.is_file():
        lines = _numbered(settings)
        yield from (Refusal(settings, n, text) for n, line in lines if _CONFIGURED.match(line))
        if not any(re.match(r"\s+font:\s*false\b", line) for _, line in lines):
            text = "the theme requests fonts from another host. Set `font: false` under `theme`."
            yield Refusal(settings, 0, text)


def _numbered(path: Path) -> list[tuple[int, str]]:
    """Return the file's lines with their numbers."""
    return list(enumerate(read(path).split("\n"), 1))


LESSON_PAGE_RULES = (top, needed, starting_point, length, ritual, headings, hints, solutions)
PAGE_RULES = (listings, snippets, words)
