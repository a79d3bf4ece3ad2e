"""The built site in a browser: accessible, without scripts, from a file, and on a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from course.lesson import needs

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Each page by its address within the site. 404.html is the theme's own.
PAGES = [
    *sorted(path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")),
    "404.html",
]
# Faults of the theme's HTML, which only a template of our own could fix.
OF_THE_THEME = (
    # The search box has the role dialog without a name; its field has one.
    ("aria-dialog-name", 'class="md-search"'),
    # The theme's script puts each copy button into its own <nav>.
    ("landmark-unique", 'class="md-code__nav"'),
)
# The rules whose outcome depends on the colours.
COLOURS = ["color-contrast", "link-in-text-block"]
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(not needs.browser().where, reason=needs.browser().advice)


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """The tab in which all pages are opened, one after the other."""
    # Reduced motion opens boxes at once, so that no test waits for an animation.
    with browser.new_context(viewport=WIDE, reduced_motion="reduce") as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def still_tab(browser: Browser) -> Iterator[Page]:
    """A tab with JavaScript off."""
    with browser.new_context(viewport=WIDE, java_script_enabled=False) as context:
        yield context.new_page()


@pytest.fixture(scope="module", params=PAGES)
def opened(request: pytest.FixtureRequest, tab: Page, site: str) -> str:
    """The name of the page that is open in the tab. Its figures play, and its boxes are open."""
    tab.goto(site + request.param)
    tab.wait_for_function(PLAYING)
    tab.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    return request.param


# True when each figure of the page plays.
PLAYING = """() => [...document.querySelectorAll("figure *")].every((each) =>
    !each.localName.startsWith("figure-") || each.hasAttribute("playing"))"""


def use_colours(tab: Page, scheme: str) -> None:
    """Emulate a preference for "light" or "dark" colours, and wait until the page has them."""
    tab.emulate_media(color_scheme=scheme)
    name = {"light": "default", "dark": "slate"}[scheme]
    tab.wait_for_selector(f"body[data-md-color-scheme={name}]")


def violations(axe: Axe, tab: Page, name: str, scheme: str, **options: object) -> list[str]:
    """Return the accessibility faults that axe finds in a page, a line for each element."""
    use_colours(tab, scheme)
    options = {"resultTypes": ["violations"], "preload": False, "iframes": False, **options}
    found = axe.run(tab, options=options).response
    return [
        f"{name}, {scheme} colours: {rule['id']} ({rule['impact']}), {rule['help']}: "
        f"{node['target'][0]} {node['html'][:120]}"
        for rule in found["violations"]
        for node in rule["nodes"]
        if not any(rule["id"] == known and part in node["html"] for known, part in OF_THE_THEME)
    ]


def test_each_built_page_is_tested(folder):
    built = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))

    assert built == sorted(PAGES)


def test_axe_finds_no_faults_in_light_or_dark_colours(tab, opened):
    tab.evaluate(FEWER_COLOURS)

    found = violations(Axe(), tab, opened, "light")
    # axe's long script is in the page already, so don't inject it again.
    found += violations(Axe("true"), tab, opened, "dark", runOnly=COLOURS)

    assert found == [], "\n".join(found)


# A lesson's code has thousands of coloured words, each of which takes axe time. One word of each
# colour in a page is enough.
FEWER_COLOURS = """() => {
  const kept = new Set();
  for (const word of document.querySelectorAll("pre code span:not(:has(*))")) {
    if (kept.has(word.className)) word.replaceWith(word.textContent);
    kept.add(word.className);
  }
  // And none of them half-way from one colour to the other.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("*, ::before, ::after { transition: none !important }");
  document.adoptedStyleSheets.push(sheet);
}"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_without_javascript(still_tab, site, name):
    still_tab.goto(site + name)

    text = still_tab.locator("article").inner_text()
    hidden = still_tab.evaluate(HIDDEN)

    assert len(text.split()) >= (100 if name != "404.html" else 3), name
    assert hidden == [], f"{name} hides this where JavaScript is off"


# Returns what should be visible and isn't: the page's text, its pictures, and the still picture of
# each figure. Boxes and tabs open without JavaScript, so their content may be hidden.
HIDDEN = """() => {
  const shown = (each, least) => each.getBoundingClientRect().height >= least
      && each.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  // A box, or a tab that is not chosen.
  const closed = (each) => each.parentElement.closest("details:not([open])")
      || getComputedStyle(each.closest(".tabbed-block") ?? each).display === "none";
  const pictures = (each) => [...each.querySelectorAll("table, svg, img")];
  const all = [...document.querySelectorAll("article *")].filter((each) => !closed(each));
  const figures = all.filter((each) => each.localName.startsWith("figure-"));
  return [
    ...all.filter((each) => each.matches("h1, h2, h3, p, li, td, pre, summary") && !shown(each, 1)),
    ...all.filter((each) => each.matches("img") && !(shown(each, 50) && each.naturalWidth)),
    ...figures.filter((each) => !pictures(each).some((picture) => shown(picture, 50))),
  ].map((each) => each.outerHTML.slice(0, 120));
}"""


@pytest.mark.parametrize("name", ["index.html", "lessons/01_rest.html"])
def test_a_page_opened_from_a_file_is_complete(browser, folder, name):
    said, failed, asked = [], [], []
    with browser.new_context(viewport=WIDE) as context:
        tab = context.new_page()
        tab.on("console", lambda line: said.append(f"{line.text} {line.location['url']}"))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("requestfailed", lambda request: failed.append(request.url))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((folder / name).as_uri())
        tab.wait_for_load_state("networkidle")
        offered = tab.locator(".md-search").is_visible()

    index = (folder / SEARCH_INDEX).as_uri()
    assert [url for url in asked if not url.startswith("file:")] == [], f"{name} asked for this"
    assert [url for url in failed if url != index] == [], f"{name} did not get this"
    assert [text for text in said if index not in text] == [], f"{name} complained of this"
    assert not offered, f"{name} offers a search that finds nothing from a file"


# From a file, the theme asks for this form of the index of its search. Only its plugin `offline`
# writes one, and that plugin loads a script from another host. So the search is not there.
SEARCH_INDEX = "search/search_index.js"


def test_no_page_scrolls_sideways_on_a_phone(tab, opened):
    tab.set_viewport_size(PHONE)

    width, wide = tab.evaluate(WIDER)
    tab.set_viewport_size(WIDE)

    assert width <= PHONE["width"], f"{opened} is {width} px wide, because of {wide}"


# Returns the page's width, and the elements that are wider than the screen.
WIDER = """() => {
  const screen = document.documentElement.clientWidth;
  const scrolls = "pre, .md-typeset__scrollwrap";
  const wide = [...document.querySelectorAll("article *")].filter((each) =>
      each.getBoundingClientRect().right > screen + 1 && !each.closest(scrolls));
  const html = wide.slice(0, 3).map((each) => each.outerHTML.slice(0, 120));
  return [document.documentElement.scrollWidth, html];
}"""


def test_a_site_opened_from_a_folder_says_how_to_search(browser, folder, site):
    with browser.new_context(viewport=WIDE) as context:
        page = context.new_page()
        page.goto((folder / "index.html").as_uri())
        field = page.locator("[data-md-component=search-query]")

        assert field.is_disabled()
        assert "python3 -m course docs" in field.get_attribute("placeholder")

        page.goto(f"{site}index.html")
        assert field.is_enabled()
