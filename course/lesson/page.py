"""Read the parts of a page that the course needs: headings, boxes, fenced blocks, prose."""

import re
from dataclasses import dataclass, field
from functools import cached_property

_FENCE = re.compile(r"(?P<indent>\s*)(?P<sign>`{3,}|~{3,})\s*(?P<info>[^`]*)")
_HEADING = re.compile(r"(?P<level>#{1,6}) +(?P<text>.*?)(?: *\{(?P<attributes>[^}]*)\})?")
_BOX = re.compile(
    r'(?P<indent> *)(?P<sign>\?\?\?\+?|!!!|===) ?(?P<kind>[^"]*?) *(?:"(?P<title>.*)")?'
)


@dataclass(frozen=True)
class Heading:
    """A heading. `id` is the id in its attribute list, or ""."""

    line: int
    level: int
    text: str
    id: str


@dataclass(frozen=True)
class Box:
    """An admonition: `sign` is `???` if it is closed. `text` is its dedented content."""

    line: int
    last: int
    sign: str
    kind: str
    title: str
    text: str


@dataclass(frozen=True)
class Fence:
    """A fenced block: `info` is the rest of its opening line after the backticks."""

    line: int
    last: int
    info: str
    lines: list[str] = field(default_factory=list)

    @property
    def language(self) -> str:
        """The language for syntax highlighting, or ""."""
        match = re.match(r"(?:\{ *\.)?([\w+-]+)(?![\w=])", self.info)
        return match[1] if match else ""

    @property
    def title(self) -> str:
        """The title shown above the block, or ""."""
        match = re.search(r'\btitle="([^"]*)"', self.info)
        return match[1] if match else ""


@dataclass(frozen=True)
class Page:
    """A page's Markdown. Line numbers count from 1."""

    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The page's lines, without line endings."""
        return self.text.split("\n")

    @cached_property
    def front(self) -> dict[str, str]:
        """The front matter's `key: value` lines. A value must be on its key's line."""
        if self.lines[0].rstrip() != "---" or "---" not in self.lines[1:]:
            return {}
        block = self.lines[1 : self.lines.index("---", 1)]
        pairs = [line.partition(":") for line in block if re.match(r"\w+:", line)]
        return {key: value.strip().strip("\"'") for key, _, value in pairs}

    @cached_property
    def fences(self) -> list[Fence]:
        """The fenced blocks, in order, also those inside a box."""
        found, opened = [], None
        for number, line in enumerate(self.lines, 1):
            match = _FENCE.fullmatch(line)
            if opened is None and match:
                opened = (number, match)
            elif (
                opened
                and match
                and not match["info"]
                and match["sign"].startswith(opened[1]["sign"])
            ):
                found.append(self._fence(opened[0], number, opened[1]))
                opened = None
        return found

    def _fence(self, first: int, last: int, match: re.Match) -> Fence:
        inner = [line.removeprefix(match["indent"]) for line in self.lines[first : last - 1]]
        return Fence(first, last, match["info"].strip(), inner)

    @cached_property
    def prose(self) -> list[tuple[int, str]]:
        """The numbered lines outside front matter and fenced blocks."""
        hidden = {n for fence in self.fences for n in range(fence.line, fence.last + 1)}
        if self.front:
            hidden.update(range(1, self.lines.index("---", 1) + 2))
        return [(n, line) for n, line in enumerate(self.lines, 1) if n not in hidden]

    @cached_property
    def headings(self) -> list[Heading]:
        """The headings written with `#`, in order."""
        matches = [(number, _HEADING.fullmatch(line.rstrip())) for number, line in self.prose]
        return [
            Heading(number, len(m["level"]), m["text"], _id(m["attributes"]))
            for number, m in matches
            if m
        ]

    @cached_property
    def boxes(self) -> list[Box]:
        """The admonitions, in order of their first lines."""
        matches = [(number, _BOX.fullmatch(line.rstrip())) for number, line in self.prose]
        return [self._box(number, match) for number, match in matches if match]

    def _box(self, number: int, match: re.Match) -> Box:
        inside = " " * (len(match["indent"]) + 4)
        last = number
        for line in self.lines[number:]:
            if line.strip() and not line.startswith(inside):
                break
            last += 1
        held = "\n".join(line.removeprefix(inside) for line in self.lines[number:last])
        last = number + len(held.rstrip().split("\n")) if held.strip() else number
        return Box(number, last, match["sign"], match["kind"], match["title"] or "", held.strip())

    def section(self, heading: Heading) -> range:
        """Return the numbers of the lines below a heading, up to the next one of any level."""
        after = (h.line for h in self.headings if h.line > heading.line)
        return range(heading.line + 1, next(after, len(self.lines) + 1))


def _id(attributes: str | None) -> str:
    """Return the id in an attribute list such as `#create .wide`, or ""."""
    match = re.search(r"#([\w-]+)", attributes or "")
    return match[1] if match else ""
