"""The figures work in a browser: by keyboard, in the dark, on a phone, and without a script."""

import base64
import contextlib
import hashlib
import heapq
import importlib
import itertools
import json
import queue
import random
import re
import runpy
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from websockets.exceptions import ConnectionClosed, ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve
from websockets.utils import accept_key
from wsproto.frame_protocol import FrameProtocol, ParseFailed

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "assets" / "figures"
NAMES = sorted(path.stem for path in FIGURES.glob("*.js"))
MOST_BYTES = 12_000
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
PAGE = "reference/figures.html"
LEAST_CONTRAST = 4.5


@pytest.fixture(scope="module")
def looks(browser: Browser, site: str) -> Iterator[Page]:
    """The page of all figures, for tests that leave it as it is."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(site + PAGE)
        for name in NAMES:
            page.wait_for_selector(f"figure-{name}[playing]")
        yield page


class Seen:
    """What a page complained about, and asked of whom."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """The page of all figures, opened for one test, that must end without a complaint."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        seen = Seen(page)
        page.goto(site + PAGE)
        for name in NAMES:
            page.wait_for_selector(f"figure-{name}[playing]")
        yield page
        assert seen.complaints == []
        assert [url for url in seen.requests if not url.startswith(site)] == []


def model(page: Page, name: str, script: str, argument: object = None) -> object:
    """Return what a figure's model says: `script` is a function of the model and an argument."""
    told = f"({script})(customElements.get('figure-{name}').model, JSON.parse(argument))"
    # As one text, because a long list takes Playwright seconds.
    return json.loads(page.evaluate(f"argument => JSON.stringify({told})", json.dumps(argument)))


# Every figure


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_small(name):
    assert (FIGURES / f"{name}.js").stat().st_size <= MOST_BYTES


def test_what_all_figures_share_is_small():
    assert (FIGURES.parent / "figures.js").stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_text_that_is_typed_is_never_html(name):
    script = (FIGURES / f"{name}.js").read_text("utf-8")

    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


def test_each_figure_stands_on_the_page_of_figures():
    text = (ROOT / "docs" / "reference" / "figures.md").read_text("utf-8")

    for name in NAMES:
        assert f'--8<-- "docs/assets/figures/{name}.html"' in text


def test_a_page_without_figures_loads_none(browser, site):
    with browser.new_context() as context:
        page = context.new_page()
        seen = Seen(page)
        page.goto(site)
        page.wait_for_load_state("networkidle")

    assert seen.complaints == []
    assert [url for url in seen.requests if "/figures/" in url] == []


@pytest.mark.parametrize("size", SIZES)
def test_without_javascript_there_is_a_picture_and_its_text(browser, site, size):
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    with browser.new_context(java_script_enabled=False, viewport=viewport) as context:
        page = context.new_page()
        page.goto(site + PAGE)

        for name in NAMES:
            figure = page.locator(f"figure:has(figure-{name})")
            edge = figure.bounding_box()
            assert len(figure.inner_text()) > 60, name
            assert figure.locator("table, svg").count() > 0, name
            for picture in figure.locator("table, svg").all():
                box = picture.bounding_box()
                assert box["height"] > 100, name
                assert edge["x"] <= box["x"], name
                assert box["x"] + box["width"] <= edge["x"] + edge["width"], name


@pytest.mark.parametrize("name", NAMES)
def test_print_has_the_picture_in_place_of_what_is_played(looks, name):
    looks.emulate_media(media="print")
    still = looks.locator(f"figure-{name} > .still")
    live = looks.locator(f"figure-{name} > .live")
    printed = still.is_visible(), live.is_visible()
    looks.emulate_media(media="screen")

    assert printed == (True, False)
    assert (still.is_visible(), live.is_visible()) == (False, True)


def test_a_figure_works_from_a_file(browser, folder):
    with browser.new_context() as context:
        page = context.new_page()
        seen = Seen(page)
        page.goto((folder / PAGE).as_uri())
        for name in NAMES:
            page.wait_for_selector(f"figure-{name}[playing]", timeout=10_000)

        ours = [text for text in seen.complaints if "figure" in text]
        assert ours == []
        assert [url for url in seen.requests if not url.startswith("file:")] == []


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_wider_than_the_screen(browser, site, size):
    width, height = SIZES[size]
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        page = context.new_page()
        page.goto(site + PAGE)
        for name in NAMES:
            page.wait_for_selector(f"figure-{name}[playing]")
            wide = page.evaluate(WIDER, f"figure-{name}")
            assert wide == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_long_text_stays_within_a_phone(browser, site):
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto(site + PAGE)
        for name, label, text in (
            ("frame", "Message", "W" * 400),
            ("closing", "Reason", "W" * 120),
            ("handshake", "The request (editable)", f"GET /{'W' * 200} HTTP/1.1"),
            ("handshake", "Origins the server allows", "W" * 200),
            ("crossing", "Ada changes it to", "W" * 200),
        ):
            page.locator(f"figure-{name} .live").get_by_label(label, exact=True).fill(text)
            assert page.evaluate(WIDER, f"figure-{name}") == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


# Returns what of a figure stands out of it.
WIDER = """name => {
  const figure = document.querySelector(name), edge = figure.getBoundingClientRect();
  return [...figure.querySelectorAll(".live *")].filter((each) => {
    const { left, right, width } = each.getBoundingClientRect();
    return width && (left < edge.left - 1 || right > edge.right + 1);
  }).map((each) => each.outerHTML.slice(0, 80));
}"""


@pytest.mark.parametrize("name", NAMES)
def test_each_control_has_a_name_and_is_large_enough_to_touch(looks, name):
    controls = looks.evaluate(CONTROLS, f"figure-{name}")

    assert controls
    for html, label, width, height in controls:
        assert label.strip(), html
        assert min(width, height) >= 24, html


# Returns each control of a figure that is seen: its HTML, its name, and what of it can be touched.
CONTROLS = """name => [...document.querySelectorAll(
    `${name} .live :is(button, input, select, textarea)`)].map((each) => {
        const label = each.labels?.[0], { width, height } = (each.closest("label") ?? each)
            .getBoundingClientRect();
        const named = label?.textContent || each.ariaLabel || each.textContent;
        return [each.outerHTML.slice(0, 200), named, width, height];
    }).filter(([, , width]) => width)"""


@pytest.mark.parametrize("name", NAMES)
def test_what_has_the_focus_shows_it(looks, name):
    looks.locator(f"figure-{name}").scroll_into_view_if_needed()
    looks.keyboard.press("Shift")
    for control in looks.locator(f"figure-{name} .live :is(button, input, select)").all()[:6]:
        if control.is_enabled() and control.is_visible():
            control.focus()
            style = control.evaluate("each => getComputedStyle(each).outlineStyle")
            assert style != "none"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_moves_by_itself(looks, name):
    moving = """name => [...document.querySelectorAll(`${name}, ${name} *`)].filter((each) => {
        const { animationName, transitionDuration } = getComputedStyle(each);
        return animationName !== "none" || parseFloat(transitionDuration) > 0;
    }).map((each) => each.outerHTML.slice(0, 80))"""

    assert looks.evaluate(moving, f"figure-{name}") == []


# Returns the texts of a figure whose contrast against what is behind them is too low.
FAINT = """([name, least]) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (colour, under) => {
    canvas.clearRect(0, 0, 1, 1);
    if (under) { canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1); }
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (data) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, n) => {
    const part = data[n] / 255;
    return sum + weight * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ground = (each) => {
    for (; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (rgb(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const faint = [];
  for (const each of document.querySelectorAll(`${name} .live *`)) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !each.getClientRects().length || each.disabled) continue;
    const style = getComputedStyle(each), under = ground(each);
    const colour = each.namespaceURI.includes("svg") ? style.fill : style.color;
    const [a, b] = [light(rgb(colour, under)), light(rgb(under))].sort((a, b) => b - a);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < least) faint.push(`${each.textContent.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_by_day_and_by_night(looks, name, scheme):
    looks.emulate_media(color_scheme=scheme)
    faint = looks.evaluate(FAINT, [f"figure-{name}", LEAST_CONTRAST])

    assert faint == []


# A frame, byte by byte


def described(payload: bytes, key: bytes | None) -> dict:
    """Return a payload and its key as JSON holds them."""
    return {"payload": list(payload), "key": key and list(key)}


def test_frames_are_those_of_websockets(looks, monkeypatch):
    encode = "(m, a) => [...m.encode(a.opcode, Uint8Array.from(a.payload), a.fin, a.key)]"
    for size in (0, 1, 5, 125, 126, 127, 300, 65535, 65536, 65537):
        payload, key = random.randbytes(size), random.randbytes(4)
        monkeypatch.setattr("websockets.frames.secrets.token_bytes", lambda _, key=key: key)
        for opcode, mask, fin in ((1, True, True), (2, False, True), (0, True, False)):
            frame = Frame(Opcode(opcode), payload, fin=fin)
            asked = {"opcode": opcode, "fin": fin, **described(payload, key if mask else None)}

            assert bytes(model(looks, "frame", encode, asked)) == frame.serialize(mask=mask)


def judged_by_wsproto(data: bytes) -> int | None:
    """Return the code that wsproto, as a server, closes with after these bytes, if it does."""
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(data)
    try:
        list(protocol.received_frames())
    except ParseFailed as broken:
        return int(broken.code)
    return None


def test_frames_are_refused_as_wsproto_does(looks):
    chance = random.Random(6455)
    streams = [bytes([first, 128, 0, 0, 0, 0]) for first in range(256)]
    for _ in range(600):
        first = chance.choice((0x81, 0x82, 0x88, 0x89, chance.randrange(256)))
        short = chance.choice((*range(9), 125, 126, 127))
        head = bytes([first, chance.choice((128, 128, 128, 0)) | short])
        more = {126: 2, 127: 8}.get(short, 0)
        long = chance.choice((0, 3, 126, 200)).to_bytes(more, "big") if more else b""
        payload = chance.choice((bytes(300), chance.randbytes(300)))
        length = int.from_bytes(long, "big") if more else short
        streams.append(head + long + bytes(4) + payload[:length])
    script = """(m, all) => all.map((bytes) => {
        const { problem } = m.decode(Uint8Array.from(bytes), true);
        return problem && problem.code;
    })"""

    codes = model(looks, "frame", script, [list(data) for data in streams])

    expected = [judged_by_wsproto(data) for data in streams]
    differing = [
        (data[:12].hex(" "), ours, theirs)
        for data, ours, theirs in zip(streams, codes, expected, strict=True)
        if ours != theirs
    ]
    assert differing == []
    assert {None, 1002, 1007} <= set(expected)


def test_close_frames_are_refused_where_websockets_refuses(looks):
    script = """(m, codes) => codes.filter((code) => {
        const bytes = [0x88, 2, code >> 8, code & 255];
        return !m.decode(Uint8Array.from(bytes), false).problem;
    })"""
    codes = range(900, 5100)

    ours = model(looks, "frame", script, list(codes))

    assert ours == [code for code in codes if is_sendable(code)]


def test_a_stream_that_is_cut_says_what_it_lacks(looks):
    data = list(bytes.fromhex("818537fa213d7f9f4d5158"))
    script = "(m, all) => all.map((bytes) => m.decode(Uint8Array.from(bytes), true).missing)"

    missing = model(looks, "frame", script, [data[:size] for size in range(12)])

    assert missing[6:] == [5, 4, 3, 2, 1, 0]
    assert all(missing[1:11])


def test_fragments_are_one_message_with_a_ping_between(looks):
    script = """(m, [first, last]) => m.decode(Uint8Array.from([...first, 0x89, 0, ...last]), false)
        .messages.map(({ kind, text }) => [kind, text])"""
    text = "🐍".encode()

    got = model(looks, "frame", script, [[0x01, 2, *text[:2]], [0x80, 2, *text[2:]]])

    assert got == [["ping", ""], ["text", "🐍"]]


def test_a_frame_is_played_by_keyboard(page):
    figure = page.locator("figure-frame .live")
    figure.get_by_label("Message", exact=True).focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("<b>hi</b>")
    assert "81 89 37 fa 21 3d" in figure.get_by_label("Bytes on the wire").input_value()
    assert "text “<b>hi</b>”" in figure.locator(".verdict").inner_text()

    figure.locator(".bytes button").first.focus()
    page.keyboard.press("ArrowRight")
    assert "10" in figure.locator(".told").inner_text()
    page.keyboard.press("End")
    assert "XOR 37" in figure.locator(".told").inner_text()

    figure.get_by_label("masked").focus()
    page.keyboard.press("Space")
    assert "Closed with 1002: a client must mask" in figure.locator(".verdict").inner_text()


# The handshake

REQUEST = {
    "Host": "board.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Origin": "https://board.example",
    "Sec-WebSocket-Protocol": "board.v1",
}
SERVER = {"origins": ["https://board.example"], "protocols": ["board.v1", "board.v2"]}
# Changes to a request, and the status that the figure answers.
REQUESTS = [
    ({}, 101),
    ({"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket"}, 101),
    ({"Origin": None}, 101),
    ({"Sec-WebSocket-Protocol": "chat, board.v2"}, 101),
    ({"Sec-WebSocket-Protocol": "chat"}, 101),
    ({"Upgrade": None}, 400),
    ({"Upgrade": "h2c"}, 400),
    ({"Connection": "close"}, 400),
    ({"Sec-WebSocket-Key": None}, 400),
    ({"Sec-WebSocket-Key": "YWJj"}, 400),
    ({"Sec-WebSocket-Key": "no base64"}, 400),
    ({"Sec-WebSocket-Version": None}, 400),
    ({"Sec-WebSocket-Version": "8"}, 426),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "https://board.example.evil.example"}, 403),
]


def head(first: str, headers: dict[str, str | None]) -> str:
    """Return the head of a request or of an answer. A header that is None is left out."""
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([first, *lines, "", ""])


def test_accept_keys_are_those_of_websockets(looks):
    keys = [base64.b64encode(random.randbytes(16)).decode() for _ in range(50)]

    ours = model(looks, "handshake", "(m, keys) => keys.map(m.accept)", keys)

    assert ours == [accept_key(key) for key in keys]


def test_sha1_is_that_of_hashlib_at_every_length(looks):
    texts = ["a" * size for size in range(130)]

    ours = model(looks, "handshake", "(m, texts) => texts.map(m.sha1)", texts)

    assert ours == [hashlib.sha1(text.encode()).digest().hex(" ") for text in texts]


@pytest.mark.parametrize(("changes", "status"), REQUESTS)
def test_a_handshake_is_refused_where_websockets_refuses(looks, changes, status):
    request = head("GET /ws HTTP/1.1", REQUEST | changes)
    script = "(m, [request, server]) => m.answer(request, server)"
    theirs = ServerProtocol(origins=[None, *SERVER["origins"]])
    theirs.receive_data(request.encode())
    (event,) = theirs.events_received()

    answer = model(looks, "handshake", script, [request, SERVER])

    assert answer["status"] == status
    response = theirs.accept(event)
    assert (response.status_code == 101) == (status == 101)
    assert (response.status_code == 403) == (status == 403)
    if status == 101:
        proof = f"Sec-WebSocket-Accept: {response.headers['Sec-WebSocket-Accept']}"
        assert proof in answer["headers"]


def test_a_handshake_is_refused_where_lesson_5_refuses(looks, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "solutions" / "05_wire")
    wire = importlib.import_module("wire")
    script = "(m, [request, server]) => m.answer(request, server).status"

    for changes, status in REQUESTS:
        headers = [(name, value) for name, value in (REQUEST | changes).items() if value]
        theirs = 101
        try:
            wire.check_request("GET", "HTTP/1.1", headers)
        except wire.Refusal as refusal:
            theirs = refusal.status
        ours = model(looks, "handshake", script, [head("GET /ws HTTP/1.1", dict(headers)), SERVER])

        assert ours == status
        assert theirs == (101 if status == 403 else status)  # Origin is a later lesson's.


# Changes to an answer, to a browser that offers board.v1, and whether it opens the connection.
ANSWERS = [
    ({}, True),
    ({"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"}, True),
    ({"Upgrade": "h2c"}, False),
    ({"Upgrade": None}, False),
    ({"Connection": None}, False),
    ({"Sec-WebSocket-Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, False),
    ({"Sec-WebSocket-Accept": None}, False),
    ({"Sec-WebSocket-Protocol": None}, False),
    ({"Sec-WebSocket-Protocol": "board.v2"}, False),
    ({"Sec-WebSocket-Extensions": "unheard-of"}, False),
]
OPENED = """url => new Promise((resolve) => {
    const ws = new WebSocket(url, ["board.v1"]);
    ws.onopen = () => resolve(1000);
    ws.onclose = ({ code }) => resolve(code);
})"""


def answer_once(listener: socket.socket, changes: dict, heads: list[str]) -> None:
    """Answer one handshake, changed; keep what was asked and answered in `heads`."""
    connection, _ = listener.accept()
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        asked = request.decode()
        key = re.search(r"Sec-WebSocket-Key: (\S+)", asked)[1]
        answer = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept_key(key),
            "Sec-WebSocket-Protocol": "board.v1",
        }
        heads += [asked, head("HTTP/1.1 101 Switching Protocols", answer | changes)]
        connection.sendall(heads[1].encode())
        connection.recv(65536)  # Until the browser has made up its mind, and goes.


@pytest.mark.parametrize(("changes", "opens"), ANSWERS)
def test_an_answer_is_refused_where_this_browser_refuses_it(looks, changes, opens):
    heads: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, changes, heads))
        thread.start()
        code = looks.evaluate(
            OPENED.replace("resolve(1000)", "(ws.close(), resolve(1000))"),
            f"ws://127.0.0.1:{listener.getsockname()[1]}/",
        )
        thread.join()
    refusal = model(looks, "handshake", "(m, heads) => m.refusal(...heads)", heads)

    assert code == (1000 if opens else 1006)
    assert (refusal == "") == opens, refusal


def test_a_handshake_is_played_by_keyboard(page):
    figure = page.locator("figure-handshake .live")
    verdict = figure.locator(".verdict")
    assert verdict.inner_text().startswith("Open.")

    figure.get_by_label("What happens").focus()
    page.keyboard.press("ArrowDown")
    assert "rejects the handshake with 400: the request must have Upgrade" in verdict.inner_text()

    figure.get_by_label("What happens").select_option("everything is correct")
    figure.get_by_label("Subprotocols").focus()
    page.keyboard.press("End")
    page.keyboard.type("x")
    assert "rejects the response: the server chose none of the subprotocols" in verdict.inner_text()

    figure.get_by_label("The response").fill("HTTP/1.1 200 OK")
    assert "the status is 200" in verdict.inner_text()

    figure.get_by_label("The request").fill("GET /ws HTTP/1.1\nHost: <img src=x onerror=alert(1)>")
    assert "Upgrade: websocket" in verdict.inner_text()


# Register and greet


def connection(way: str, clients: set, told: list) -> Iterator[None]:
    """Do what bob's thread does, one step for each `next`."""
    yield  # It answers 101.
    if way == "register, without a greeting":
        told.append(True)  # Bob takes the open connection for a promise.
    for step in ("greet", "register") if way.startswith("greet") else ("register", "greet"):
        yield
        if step == "register":
            clients.add("bob")
        else:
            told.append(True)


def post(clients: set, told: list, kept: list, heard: list) -> Iterator[None]:
    """Do what ada's thread does, one step for each `next`."""
    yield
    kept.append(bool(told))
    yield
    receivers = list(clients)
    yield
    heard += receivers


def outcome_of(way: str, order: str) -> str:
    """Run the two threads in this order, and return what became of the message."""
    clients, told, kept, heard = set(), [], [], []
    threads = {"b": connection(way, clients, told), "a": post(clients, told, kept, heard)}
    for thread in threads.values():
        next(thread)
    for thread in order:
        next(threads[thread], None)
    return "heard" if heard else "missed" if kept[0] else "history"


def test_every_order_ends_as_two_threads_do(looks):
    script = """m => m.ways.map((way) => [way, m.orders(way)
        .map((order) => [order, m.run(way, order).outcome])])"""

    ways = model(looks, "register", script)

    missed = {}
    for way, orders in ways:
        steps = "bb" if "without" in way else "bbb"
        every = {"".join(order) for order in itertools.permutations(steps + "aaa")}
        assert {order for order, _ in orders} == every
        assert [outcome for _, outcome in orders] == [outcome_of(way, order) for order, _ in orders]
        missed[way] = sum(outcome == "missed" for _, outcome in orders)
    assert missed["register, then greet"] == 0
    assert missed["greet, then register"] > 0
    assert missed["register, without a greeting"] > 0


def test_two_threads_are_stepped_by_keyboard(page):
    figure = page.locator("figure-register .live")
    verdict = figure.locator(".verdict")
    bob = figure.get_by_role("button", name="Step bob's thread")
    ada = figure.get_by_role("button", name="Step ada's thread")
    for button in (bob, bob, ada, ada, ada, bob):
        button.focus()
        page.keyboard.press("Enter")
    assert "Bob misses the message" in verdict.inner_text()
    assert figure.locator(".orders [aria-pressed=true]").get_attribute("data-order") == "bbaaab"

    page.keyboard.press("Enter")  # Its thread has ended: nothing changes, nor does the focus.
    assert "Bob misses the message" in verdict.inner_text()
    assert bob.evaluate("each => each === document.activeElement")

    figure.get_by_label("The server does this").select_option("register, then greet")
    assert figure.locator(".orders .missed").count() == 0
    figure.locator(".orders button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "Bob receives the message" in verdict.inner_text()


# Closing

CLOSES = [
    ("page", None, ""),
    ("page", 1000, "bye"),
    ("page", 1001, ""),
    ("page", 1011, ""),
    ("page", 3000, ""),
    ("page", 4000, "🐍" * 30),
    ("page", 4000, "🐍" * 31),
    ("page", 5000, ""),
    ("browser", 1001, ""),
    ("server", 1000, "x" * 123),
    ("server", 1000, "x" * 124),
    ("server", 1001, "restart"),
    ("server", 1005, ""),
    ("server", 1006, ""),
    ("server", 1008, ""),
    ("server", 1009, "too big"),
    ("server", 1011, ""),
    ("server", 1013, ""),
    ("server", 4401, "ticket expired"),
    ("broken", None, ""),
    ("cut", None, ""),
]
# Opens a connection, lets the page close it if that is asked, and says what the page was told.
CLOSE = """([url, who, code, reason]) => new Promise((resolve) => {
    const ws = new WebSocket(url);
    ws.onclose = ({ code, reason, wasClean: clean }) => resolve({ code, reason, clean });
    ws.onmessage = () => {
        try {
            if (who === "page") code === null ? ws.close() : ws.close(code, reason);
            if (who === "browser") resolve("open");
        } catch (error) {
            resolve(error.name);
        }
    };
})"""


class Closer:
    """A server that ends its connections as it is told, and keeps what it read."""

    def __init__(self) -> None:
        self.what: tuple = ()
        self.read: queue.Queue = queue.Queue()

    def handle(self, ws: ServerConnection) -> None:
        """Greet, and end the connection or wait for its end."""
        who, code, reason = self.what
        try:
            ws.send("welcome")
            if who == "server":
                ws.close(code, reason)
            if who == "broken":
                ws.socket.sendall(b"\x81\x01\xff")
            if who == "cut":
                ws.socket.shutdown(socket.SHUT_RDWR)
            ws.recv(timeout=20)
        except ConnectionClosed as closed:
            told = closed.rcvd or Close(1006, "")
            self.read.put((int(told.code), told.reason))
        except ProtocolError:
            self.read.put("refused")


@pytest.fixture(scope="module")
def closer() -> Iterator[Closer]:
    """A server of the websockets library, on loopback; its address is `url`."""
    closer = Closer()
    with serve(closer.handle, "127.0.0.1", 0) as server:
        closer.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield closer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("who", "code", "reason"), CLOSES)
def test_each_side_reads_what_this_browser_and_websockets_read(
    browser, site, looks, closer, who, code, reason
):
    closer.what = (who, code, reason)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(site)
        told = page.evaluate(CLOSE, [closer.url, who, code, reason])
        if who == "browser":
            page.goto("about:blank")
    read = closer.read.get(timeout=20)
    given = {"who": who, "code": code, "reason": reason}

    expected = model(looks, "closing", "(m, given) => m.close(given)", given)

    if expected["refused"]:
        assert told in ("InvalidAccessError", "SyntaxError") or read == "refused"
    else:
        assert read[0] == expected["server"]["code"]
        assert who == "broken" or read[1] == expected["server"]["reason"]
        assert told == (expected["page"] or "open")


def test_the_codes_that_may_be_sent_are_those_of_websockets(looks):
    codes = range(900, 5100)

    ours = model(looks, "closing", "(m, codes) => codes.filter(m.maySend)", list(codes))

    assert ours == [code for code in codes if is_sendable(code)]


def is_sendable(code: int) -> bool:
    """Whether the websockets library sends this code."""
    try:
        Close(code, "").check()
    except ProtocolError:
        return False
    return True


def test_a_close_is_played_by_keyboard(page):
    figure = page.locator("figure-closing .live")
    verdict = figure.locator(".verdict")
    assert verdict.inner_text() == "Both sides read 1000."

    figure.get_by_label("Code", exact=True).focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("1006")
    assert "Nothing is sent: the library rejects it: 1006" in verdict.inner_text()

    figure.get_by_label("What happens").focus()
    page.keyboard.press("End")
    assert verdict.inner_text() == "Both sides report 1006."
    assert figure.get_by_label("Code", exact=True).is_disabled()


# Fan-out

CLIENTS = 5


class Connection:
    """A connection as a hub sees it: `send` takes a message, waits by yielding, or raises."""

    def __init__(self, buffer: int) -> None:
        self.how, self.most, self.buffer, self.heard = "reads", buffer, 0, 0

    def send(self) -> Iterator[None]:
        """Send a message."""
        while self.how == "stops" and self.buffer == self.most:
            yield
        if self.how == "cut":
            raise ConnectionError
        if self.how == "stops":
            self.buffer += 1
        else:
            self.heard += 1

    def turn(self, how: str) -> None:
        """Read again, stop reading, or be cut for good."""
        if self.how == "cut":
            return
        self.how = how
        if how == "reads":
            self.heard, self.buffer = self.heard + self.buffer, 0


def plain(clients: list[Connection], inbox: list) -> Iterator[None]:
    """Publish what comes in, in a plain loop. Each publish has its own exception."""
    while True:
        while inbox:
            inbox.pop()
            with contextlib.suppress(ConnectionError):
                for client in clients:
                    yield from client.send()
        yield


def catches(clients: list[Connection], inbox: list) -> Iterator[None]:
    """Publish what comes in, and drop who is cut."""
    while True:
        while inbox:
            inbox.pop()
            for client in list(clients):
                try:
                    yield from client.send()
                except ConnectionError:
                    clients.remove(client)
        yield


def writer(client: Connection, queued: list, gone: set) -> Iterator[None]:
    """Send what is queued for one client, and end when it is cut or was dropped."""
    while client not in gone:
        while queued and client not in gone:
            try:
                yield from client.send()
            except ConnectionError:
                gone.add(client)
                return
            queued.pop()
        yield


def heard_by(mode: str, actions: list, sizes: dict) -> list[int]:
    """Do the actions with threads that are generators. Return how much each client heard."""
    clients = [Connection(sizes["BUFFER"]) for _ in range(CLIENTS)]
    inbox, gone, queues = [], set(), [[] for _ in clients]
    loop = {"plain": plain, "catches": catches}.get(mode)
    threads = (
        [loop(list(clients), inbox)]
        if loop
        else [writer(client, queued, gone) for client, queued in zip(clients, queues, strict=True)]
    )
    for action in actions:
        if action == "publish":
            inbox.append(1)
            for queued in queues:
                queued.append(1)
        elif clients[action[0]] not in gone or action[1] == "cut":
            clients[action[0]].turn(action[1])
        for thread in threads:
            next(thread, None)
        gone |= {
            client
            for client, queued in zip(clients, queues, strict=True)
            if mode == "writers" and len(queued) > sizes["QUEUE"]
        }
    return [client.heard for client in clients]


def test_every_client_hears_what_threads_would_send_it(looks):
    chance = random.Random(24)
    ways = ("reads", "stops", "stops", "cut")
    runs = [
        [
            "publish"
            if chance.random() < 0.7
            else (chance.randrange(CLIENTS), chance.choice(ways[: chance.choice((3, 4))]))
            for _ in range(25)
        ]
        for _ in range(60)
    ]
    script = """(m, [mode, runs]) => runs.map((actions) => {
        const state = m.start(mode);
        for (const action of actions)
            action === "publish" ? m.publish(state) : m.turn(state, ...action);
        m.verdict(state);
        return state.clients.map(({ heard }) => heard);
    })"""
    sizes = looks.evaluate(
        "(({ BUFFER, QUEUE }) => ({ BUFFER, QUEUE }))(customElements.get('figure-fanout').model)"
    )

    for mode in ("plain", "catches", "writers"):
        ours = model(looks, "fanout", script, [mode, runs])

        assert ours == [heard_by(mode, actions, sizes) for actions in runs], mode


def test_a_fan_out_is_played_by_keyboard(page):
    figure = page.locator("figure-fanout .live")
    verdict = figure.locator(".verdict")
    figure.get_by_label("bob", exact=True).focus()
    page.keyboard.press("End")
    figure.get_by_role("button", name="Publish a message").focus()
    page.keyboard.press("Enter")
    assert "get nothing, now and each time: carol, dan and eve." in verdict.inner_text()

    figure.get_by_label("The hub sends in").select_option("catches")
    figure.get_by_label("carol", exact=True).select_option("stops")
    figure.get_by_role("button", name="Publish five").press("Space")
    assert "send() to carol blocks" in verdict.inner_text()
    figure.get_by_label("carol", exact=True).select_option("reads")
    assert verdict.inner_text() == "Every client has received every message."

    figure.get_by_label("The hub sends in").select_option("writers")
    figure.get_by_label("carol", exact=True).select_option("stops")
    figure.get_by_role("button", name="Publish five").press("Space")
    figure.get_by_role("button", name="Publish five").press("Space")
    assert verdict.inner_text() == "carol was removed. The other clients are unaffected."
    assert "10 of 10" in figure.inner_text()


# Four transports over time

# Bytes: an answer with nothing new, with a message, one more in it; an event; a frame.
EMPTY, HIT, MORE, EVENT, FRAME = 721, 848, 86, 137, 125
COMPARE = "(m, given) => [m.times(given.rate), m.compare(given)]"
SETTINGS = [
    {"rate": rate, "interval": interval, "delay": delay}
    for rate in (1, 2, 6, 12, 30, 60, 120)
    for interval in (0.2, 1, 5, 30)
    for delay in (0, 0.05, 0.5)
]


def polled(messages: list[float], interval: float, delay: float) -> tuple[int, int, int, float]:
    """Return requests, useful answers, bytes and the mean age of polling for a minute."""
    asked = [n * interval for n in range(1, round(60 / interval) + 1)]
    held = [0] * len(asked)
    ages = []
    for came in messages:
        poll = next(n for n, at in enumerate(asked) if at >= came - 1e-9)
        held[poll] += 1
        ages.append(asked[poll] - came + delay)
    size = sum(HIT + MORE * (count - 1) if count else EMPTY for count in held)
    return len(asked), sum(map(bool, held)), size, sum(ages) / len(ages)


def waited(messages: list[float], delay: float) -> tuple[int, int, int, float]:
    """Return requests, useful answers, bytes and the mean age of long polling for a minute."""
    requests = useful = size = 0
    ages, left, here = [], list(messages), 0.0
    while True:
        answered = max(here, min([here + 25, *left[:1]]))
        if answered > 60:
            return requests, useful, size, sum(ages) / len(ages)
        new = [came for came in left if came <= answered]
        left = left[len(new) :]
        requests, useful = requests + 1, useful + bool(new)
        size += HIT + MORE * (len(new) - 1) if new else EMPTY
        ages += [answered + delay - came for came in new]
        here = answered + delay + delay  # The answer travels, and so does the next request.


@pytest.mark.parametrize("given", SETTINGS[:: len(SETTINGS) // 20])
def test_transports_cost_what_the_formula_says(looks, given):
    rate, delay = given["rate"], given["delay"]

    messages, (polling, waiting, events, socket_) = model(looks, "transports", COMPARE, given)

    expected = polled(messages, given["interval"], delay)
    costs = [polling[key] for key in ("requests", "useful", "bytes", "age")]
    assert costs == pytest.approx(list(expected))
    costs = [waiting[key] for key in ("requests", "useful", "bytes", "age")]
    assert costs == pytest.approx(list(waited(messages, delay)))
    assert events["bytes"] == EVENT * rate
    assert socket_["bytes"] == FRAME * rate
    assert events["age"] == socket_["age"] == pytest.approx(delay)
    assert delay - 1e-9 <= waiting["age"] <= 3 * delay + 1e-9
    if min(later - sooner for sooner, later in pairwise([-1, *messages])) > 2 * delay:
        # Each message finds a request that waits for it; 25 s without one end in an empty answer.
        empty = waiting["requests"] - rate
        assert waiting["useful"] == rate
        assert waiting["bytes"] == rate * HIT + empty * EMPTY
        assert waiting["age"] == pytest.approx(delay)
        assert empty <= 60 / 25


def test_transports_cost_what_was_measured(looks):
    # 20 clients, one message every 5 s, polling each second: bytes for each delivery.
    given = {"rate": 12, "interval": 1, "delay": 0}

    _, costs = model(looks, "transports", COMPARE, given)

    assert [cost["bytes"] / 12 for cost in costs] == [3732, 848, 137, 125]
    assert 0.4 < costs[0]["age"] < 0.6


@pytest.mark.parametrize("name", ["transports", "reconnect"])
def test_the_picture_is_what_the_model_draws(looks, name):
    shapes = """([name, part]) => {
        const all = `figure-${name} > ${part} :is(circle, path, svg text, td)`;
        const names = ["class", "cx", "cy", "d"];
        const told = (each) => names.map((name) => each.getAttribute(name) || "");
        return [...document.querySelectorAll(all)].map((each) =>
            [each.localName, each.textContent, ...told(each)]);
    }"""

    still, live = (looks.evaluate(shapes, [name, part]) for part in (".still", ".live"))

    assert len(live) > 20
    assert still == live


def test_transports_are_played_by_keyboard(page):
    figure = page.locator("figure-transports .live")
    polling = figure.locator("tbody tr").first
    assert polling.inner_text().split() == ["Polling", "60", "12", "45", "kB", "547", "ms"]

    slider = figure.get_by_role("slider", name="Poll every")
    slider.focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "Poll every 0.2 s"
    assert "Polling sends 300 requests, gets 288 empty responses" in figure.inner_text()

    figure.get_by_role("slider", name="Messages a minute").press("End")
    assert "Messages a minute: 120" in figure.inner_text()


# Clients that reconnect


def restarted(name: str, clients: int, down: int, rate: int) -> list[float]:
    """Return all attempts, the most in a second after the restart, and when the last is back."""
    state = 1
    attempts: dict[int, int] = {}

    def wait(n: int) -> float:
        nonlocal state
        longest = 1 if name == "Every second" else min(30, 2**n)
        if name != "Backoff with jitter":
            return longest
        state = state * 16807 % (2**31 - 1)
        return state / (2**31 - 1) * longest

    waiting = [(wait(0), client, 0) for client in range(clients)]
    heapq.heapify(waiting)
    taken: dict[int, int] = {}
    while waiting:
        at, client, n = heapq.heappop(waiting)
        second = int(at)
        attempts[second] = attempts.get(second, 0) + 1
        if second >= down and taken.get(second, 0) < rate:
            taken[second] = taken.get(second, 0) + 1
        else:
            heapq.heappush(waiting, (at + wait(n + 1), client, n + 1))
    most = max(count for second, count in attempts.items() if second >= down)
    return [sum(attempts.values()), most, at]


@pytest.mark.parametrize("given", [*itertools.product((50, 200), (0, 5, 20), (10, 50, 200))])
def test_clients_reconnect_as_a_queue_of_events_says(looks, given):
    settings = dict(zip(("clients", "down", "rate"), given, strict=True))

    runs = model(looks, "reconnect", "({ compare }, given) => compare(given)", settings)

    assert [run["name"] for run in runs] == ["Every second", "Backoff", "Backoff with jitter"]
    for run in runs:
        assert [run["sum"], run["most"], run["back"]] == restarted(run["name"], *given)
        assert sum(run["each"]) == run["sum"]


def test_the_waits_of_the_figure_are_those_of_lesson_10():
    client = (ROOT / "solutions/10_reconnect/static/connection.js").read_text("utf-8")
    figure = (FIGURES / "reconnect.js").read_text("utf-8")

    assert "const BASE = 1_000;" in client
    assert "const CAP = 30_000;" in client
    assert "const BASE = 1, CAP = 30; // seconds" in figure


def test_a_restart_is_played_by_keyboard(page):
    figure = page.locator("figure-reconnect .live")
    assert "With jitter there are at most 49" in figure.inner_text()

    slider = figure.get_by_role("slider", name="The server is down")
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") == "The server is down for 20 s"

    figure.get_by_role("slider", name="Clients").press("Home")
    rows = figure.locator("tbody tr").all_inner_texts()
    assert rows[0].split("\t")[0].strip() == "Every second"
    assert "50 clients after one restart" in figure.inner_text()


# Two operations that cross

LETTERS = "ab \u00e9\u0301\U0001f600"
PLAY = "(m, all) => all.map((given) => m.play(given).map(({ texts }) => texts))"


def forced(text: str, operation: list) -> str:
    """Return the text with an operation that needn't fit: what it doesn't cover is retained."""
    result = ""
    for part in operation:
        if isinstance(part, str):
            result += part
        else:
            result += text[: max(part, 0)]
            text = text[abs(part) :]
    return result + text


def crossed(ot: dict, given: dict, own: list[list]) -> list[dict]:
    """Return the texts of ada, the server and bob at the start and after each step."""
    who = ["ada", "bob"]
    if given["first"] == "bob":
        who, own = who[::-1], own[::-1]
    first, second = ot["transform"](*own) if given["transformed"] else own
    apply = ot["apply"] if given["transformed"] else forced
    start = dict.fromkeys(("ada", "server", "bob"), given["text"])
    states = [start, start | {"ada": given["edits"][0]}]
    states.append(states[-1] | {"bob": given["edits"][1]})
    for place, operation in (
        ("server", own[0]),
        ("server", second),
        (who[1], first),
        (who[0], second),
    ):
        states.append(states[-1] | {place: apply(states[-1][place], operation)})
    return states


def test_crossing_operations_are_transformed_as_lesson_15_does(looks):
    ot = runpy.run_path(str(ROOT / "solutions" / "15_editor" / "ot.py"))
    chance = random.Random(15)
    texts = ["".join(chance.choices(LETTERS, k=chance.randrange(8))) for _ in range(900)]
    runs = [
        {"text": text, "edits": edits, "first": first, "transformed": transformed}
        for text, *edits in zip(*[iter(texts)] * 3, strict=True)
        for first, transformed in [(chance.choice(("ada", "bob")), chance.random() < 0.7)]
    ]
    pairs = [[run["text"], edited] for run in runs for edited in run["edits"]]
    script = "(m, pairs) => pairs.map(([before, after]) => m.difference(before, after))"

    operations = model(looks, "crossing", script, pairs)
    states = model(looks, "crossing", PLAY, runs)

    for (before, after), operation in zip(pairs, operations, strict=True):
        assert ot["apply"](before, operation) == after
    both = zip(operations[::2], operations[1::2], strict=True)
    for run, own, ours in zip(runs, both, states, strict=True):
        assert ours == crossed(ot, run, list(own))
        assert not run["transformed"] or len(set(ours[-1].values())) == 1


def test_the_still_picture_of_two_operations_has_what_the_model_returns(looks):
    text, *edits = model(looks, "crossing", "(m) => Object.values(m.cases)[0]")
    given = {"text": text, "edits": edits, "first": "ada"}
    script = """(m, all) => all.map((given) => {
        const states = m.play(given), { ada, server, bob } = states[6].texts;
        return [JSON.stringify(states[4].operation).replaceAll(",", ", "), ada, server, bob];
    })"""

    columns = model(looks, "crossing", script, [given | {"transformed": how} for how in (1, 0)])

    rows = looks.locator("figure-crossing .still tbody tr").all()
    still = [row.locator("td").all_text_contents() for row in rows]
    assert still == [list(row) for row in zip(*columns, strict=True)]


def test_two_operations_are_stepped_by_keyboard(page):
    figure = page.locator("figure-crossing .live")
    verdict = figure.locator(".verdict")
    step = figure.get_by_role("button", name="Next step")
    step.focus()
    for _ in range(7):  # After the last step, nothing changes, nor does the focus.
        page.keyboard.press("Enter")
    assert verdict.inner_text() == "All three have \u201cthe black cat saw us\u201d."
    assert step.evaluate("each => each === document.activeElement")
    assert 'transformed into [16, "w us", -1]: revision 3' in figure.locator("ol").inner_text()

    how = figure.get_by_label("An operation is applied")
    how.focus()
    page.keyboard.press("End")
    for _ in range(6):
        step.press("Space")
    assert "The texts differ" in verdict.inner_text()
    assert figure.locator("tbody td").all_text_contents() == [
        "the black w uscat sat",
        "the black w usat sat",
        "the black cat saw us",
    ]
    figure.get_by_role("button", name="Back").press("Enter")
    assert "would reject it" in verdict.inner_text()

    how.select_option("yes")
    figure.get_by_label("Bob changes it to").fill("the <b>cat sat")
    for _ in range(6):
        step.press("Enter")
    assert verdict.inner_text() == "All three have \u201cthe black <b>cat sat\u201d."


# A turn on a slow line


def drawn(way: str, half: int, press: int) -> list[list]:
    """Return [ms, tick, whether the snake has turned] for each 10 ms of a way to draw it."""
    sent = press + half  # when the turn is at the server
    turn = next(tick for tick in range(30) if tick * 100 >= sent)
    if way == "Predicted":
        turn = next(tick for tick in range(30) if (tick - 1) * 100 > sent)
    found = []
    for now in range(0, 1001, 10):
        if way == "Raw":
            tick = max((n for n in range(11) if n * 100 + half <= now), default=0)
            found.append([now, tick, tick >= turn])
        else:
            tick = max(0, now + half if way == "Predicted" else now - half - 150) / 100
            found.append([now, tick, tick > turn - 1])
    return found


@pytest.mark.parametrize("round_trip", [20, 40, 100, 200, 300])
def test_a_turn_is_seen_when_a_clock_of_ticks_says_so(looks, round_trip):
    presses = list(range(400, 500, 10))
    given = [{"roundTrip": round_trip, "press": press} for press in presses]

    runs = model(looks, "lag", "(m, all) => all.map(m.play)", given)

    for press, ways in zip(presses, runs, strict=True):
        assert [way["name"] for way in ways] == ["Raw", "Interpolated", "Predicted"]
        for way in ways:
            points = drawn(way["name"], round_trip // 2, press)
            assert [[a, pytest.approx(b), c] for a, b, c in points] == way["points"]
            first = next(now for now, _, turned in points if turned)
            assert way["seen"] == first - press - (0 if way["steps"] else 10)
        raw, between, predicted = (way["seen"] for way in ways)
        assert 0 <= predicted <= 100
        assert between == raw + 50
        assert round_trip <= raw <= round_trip + 100
        assert press + round_trip / 2 <= ways[2]["turn"] * 100  # The turn is there in time.


def test_the_ways_to_draw_a_snake_are_those_of_lesson_16():
    smooth = (ROOT / "solutions/16_game/static/smooth.js").read_text("utf-8")
    figure = (FIGURES / "lag.js").read_text("utf-8")

    assert "const BEHIND = 1.5;" in smooth
    assert "const tick = Math.max(drawn + 2," in smooth
    assert "const TICK = 100, BEHIND = 1.5, END = 1000;" in figure


def test_the_still_picture_of_a_turn_is_what_is_drawn_first(page):
    figure = page.locator("figure-lag")

    for part in ("tbody :is(th, td)", "svg path", "svg circle"):
        script = "all => all.map((each) => each.getAttribute('d') ?? each.textContent)"
        still, live = (
            figure.locator(f".{half} {part}").evaluate_all(script) for half in ("still", "live")
        )
        assert still == live


def test_a_turn_is_played_by_keyboard(page):
    figure = page.locator("figure-lag .live")
    assert "after 20 ms with prediction, and after 120 ms without" in figure.inner_text()

    figure.get_by_role("slider", name="Round trip").press("End")
    seen = figure.locator("tbody tr td:last-child").all_text_contents()
    assert seen == ["320 ms", "370 ms", "20 ms"]

    slider = figure.get_by_role("slider", name="The key is pressed")
    slider.press("Home")
    assert slider.get_attribute("aria-valuetext") == "The key is pressed at 400 ms"
    assert figure.locator("tbody tr td:last-child").all_text_contents()[2] == "50 ms"
