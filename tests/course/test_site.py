"""The site builds without warnings, requests nothing from other hosts, and has no broken links."""

import gzip
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The path of the published site on its host, which only 404.html uses for its files.
BASE = "/beyond-rest/"
MOST_BYTES_OF_HOME = 150_000
MOST_WORDS_OF_INTRODUCTION = 100

FOREIGN = re.compile(r"(?:https?:|wss?:)?//", re.IGNORECASE)
FOREIGN_IN_CSS = re.compile(
    r"""(?:url\(\s*["']?|@import\s+["']?)\s*(?:https?:)?//[^"')]*""", re.IGNORECASE
)
FOREIGN_IN_SCRIPT = re.compile(r"""["'`](?:https?:|wss?:)?//[\w.-]+\.\w+[^"'`]*""")
URL_IN_CSS = re.compile(r"""url\(\s*["']?([^"')]+)""")
FOLLOWED_ONLY_WHEN_CLICKED = {"canonical", "prev", "next", "alternate", "me"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}


@dataclass
class Page(HTMLParser):
    """A built page: its description, its links, and what a browser fetches for it."""

    path: Path
    lang: str = ""
    title: str = ""
    description: str = ""
    introduction: str = ""
    h1: int = 0
    ids: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    components: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    inline: dict[str, str] = field(default_factory=lambda: {"script": "", "style": ""})
    # The open elements from the root down, each with its id.
    open: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        self.ids |= {have[name] for name in ("id", "name") if name in have}
        self.classes |= set(have.get("class", "").split())
        self.components.add(have.get("data-md-component", ""))
        self.inline["style"] += have.get("style", "")
        self.h1 += tag == "h1"
        if tag == "html":
            self.lang = have.get("lang", "")
        if tag == "meta" and have.get("name") == "description":
            self.description = have["content"]
        self._references(tag, have)
        if tag not in VOID:
            self.open.append((tag, have.get("id", "")))

    def _references(self, tag: str, have: dict[str, str]) -> None:
        """Sort links, which a click follows, from what a browser fetches with the page."""
        href = have.get("href", have.get("xlink:href"))
        waits = tag == "link" and have.get("rel") in FOLLOWED_ONLY_WHEN_CLICKED
        if href is not None and (tag == "a" or waits):
            self.links.append(href)
        elif href is not None:
            self.fetched.append(href)
        self.fetched += [have[name] for name in ("src", "data", "poster") if name in have]
        self.fetched += [
            choice.split()[0] for choice in have.get("srcset", "").split(",") if choice
        ]

    def handle_endtag(self, tag: str) -> None:
        # A paragraph or a list item may have no end tag.
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag = self.open[-1][0] if self.open else ""
        if tag == "title" and ("head", "") in self.open:
            self.title += data
        if tag in self.inline:
            self.inline[tag] += data
        if any(identifier == "introduction" for _, identifier in self.open):
            self.introduction += data


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[Path, Page]:
    """Every built page, by its file."""
    return {path: Page(path) for path in sorted(folder.rglob("*.html"))}


@pytest.fixture(scope="module")
def home(folder: Path, pages: dict[Path, Page]) -> Page:
    """The page that a visitor sees first."""
    return pages[folder / "index.html"]


def target_of(page: Page, link: str, folder: Path) -> Path:
    """Return the file that a link within the site leads to."""
    path = unquote(urlsplit(link).path)
    if path.startswith(BASE):
        return folder / (path.removeprefix(BASE) or "index.html")
    return (page.path.parent / path).resolve() if path else page.path


def foreign_references(page: Page) -> list[str]:
    """Return what a browser would fetch from another host for the page."""
    return [
        *(url for url in page.fetched if FOREIGN.match(url)),
        *FOREIGN_IN_CSS.findall(page.inline["style"]),
        *FOREIGN_IN_SCRIPT.findall(page.inline["script"]),
    ]


def what_home_needs(home: Page, folder: Path) -> set[Path]:
    """Return the home page and every file that a browser needs to show it."""
    files = {home.path} | {target_of(home, url, folder) for url in home.fetched}
    for sheet in [file for file in files if file.suffix == ".css"]:
        urls = URL_IN_CSS.findall(sheet.read_text("utf-8"))
        files |= {(sheet.parent / url).resolve() for url in urls if not url.startswith("data:")}
    return files


def code_blocks(path: Path) -> list[str]:
    """Return the lines of all shell blocks in a Markdown file."""
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def test_no_page_fetches_anything_from_another_host(pages):
    found = {str(path): foreign_references(page) for path, page in pages.items()}

    assert {path: urls for path, urls in found.items() if urls} == {}


def test_no_stylesheet_or_drawing_fetches_anything_from_another_host(folder):
    files = [path for path in folder.rglob("*") if path.suffix in (".css", ".svg")]
    found = {str(path): FOREIGN_IN_CSS.findall(path.read_text("utf-8")) for path in files}

    assert folder / "assets" / "site.css" in files
    assert {path: urls for path, urls in found.items() if urls} == {}


def test_no_script_of_the_course_names_another_host(folder):
    ours = [path for path in folder.rglob("*.js") if "javascripts" not in path.parts]
    found = {str(path): FOREIGN_IN_SCRIPT.findall(path.read_text("utf-8")) for path in ours}

    assert {path: urls for path, urls in found.items() if urls} == {}


def test_no_page_makes_the_theme_fetch_from_another_host(pages):
    # Its script fetches Mermaid from unpkg.com, and a repository's stars from api.github.com.
    for path, page in pages.items():
        assert "mermaid" not in page.classes, path
        assert "source" not in page.components, path


def test_the_home_page_is_small(home, folder):
    weights = {
        file.name: len(gzip.compress(file.read_bytes(), compresslevel=6))
        for file in what_home_needs(home, folder)
    }

    assert {"index.html", "site.css"} < set(weights)
    assert sum(weights.values()) <= MOST_BYTES_OF_HOME, weights


def test_each_page_has_a_language_a_title_a_description_and_one_h1(pages):
    for path, page in pages.items():
        assert page.lang == "en", path
        assert page.title, path
        assert page.description, path
        assert page.h1 == 1, path


def test_each_page_has_its_own_description(pages):
    # A page without a description gets the site's, which only 404.html may have.
    described = [page.description for path, page in pages.items() if path.name != "404.html"]

    assert len(set(described)) == len(described)


def test_each_link_within_the_site_leads_to_a_page_and_an_anchor(pages, folder):
    for path, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme or FOREIGN.match(link):
                continue
            target = target_of(page, link, folder)
            assert target.is_file(), f"{path.name} links to {link}"
            anchor = unquote(urlsplit(link).fragment)
            assert not anchor or anchor in pages[target].ids, f"{path.name} links to {link}"


def test_the_introduction_on_the_home_page_has_at_most_100_words(home):
    words = home.introduction.split()

    assert 0 < len(words) <= MOST_WORDS_OF_INTRODUCTION


@pytest.mark.parametrize("text", ["docs/index.md", "README.md"])
def test_each_lessons_page_is_linked_in_order(text):
    pages = sorted(path.stem for path in (ROOT / "docs" / "lessons").glob("*.md"))
    linked = re.findall(r"lessons/(\d\d_\w+)\.md\)\*\*", (ROOT / text).read_text("utf-8"))

    assert linked == pages


def test_the_readme_shows_exactly_two_commands():
    commands = code_blocks(ROOT / "README.md")

    assert commands == ["python3 -m course", "python3 -m course test"]


def test_the_authors_guide_ends_with_one_command():
    guide = ROOT / "CONTRIBUTING.md"

    assert code_blocks(guide)[-1] == "python3 -m course test"
    assert guide.read_text("utf-8").endswith("```\n")
