"""Clients that use the learner's app over HTTP, and what they expect of its responses."""

import contextlib
import http.client
import json
import re
from http import HTTPStatus
from urllib.parse import urlencode, urljoin, urlsplit

from course.grading import bounds
from course.grading.bounds import LARGEST, LARGEST_IN_WORDS, TooMuch
from course.grading.expect import Unmet, equal, shown
from course.grading.transcript import body_in_words
from course.grading.waiting import PATIENCE

FIRST = ("Origin", "Authorization", "Cookie")  # headers that a card shows before others
SECRETS = ("Authorization", "Cookie")  # headers of which a card shows the beginning
UNSAID = ("Content-Type", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
LONG_BODY = 200  # bytes, from which on a card says how many there are
SENDABLE = re.compile(r"[!-~]*")  # what a request's line may hold
BLOCK = 65536  # bytes that are read at once


class Client:
    """An HTTP client. The test's wire shows its requests and responses."""

    def __init__(self, server, who: str, seconds: float) -> None:
        self.server, self.who, self.seconds = server, who, seconds * PATIENCE

    def get(self, path: str, headers: dict | None = None, **query: object) -> "Answer":
        """Ask for `path`, with `query` as its query string."""
        target = f"{path}?{urlencode(query)}" if query else path
        return self.request("GET", target, headers=headers)

    def post(self, path: str, body: object) -> "Answer":
        """Post a value as JSON."""
        headers = {"Content-Type": "application/json"}
        data = json.dumps(body, ensure_ascii=False).encode()
        return self.request("POST", path, data, headers=headers)

    def request(
        self, method: str, target: str, data: bytes = b"", headers: dict | None = None
    ) -> "Answer":
        """Send a request as it is, and return its answer, whatever its status.

        `target` is a path with its query, or an absolute URL of this server's. Raises Unmet when
        no whole answer comes.
        """
        wire, headers = self.server.stage.wire, dict(headers or {})
        target = self._own(target)
        wire.sent(self.who, _request_in_words(method, target, data, headers))
        asked = f"{method} {target}"
        connection = http.client.HTTPConnection(self.server.host)
        missing = "answer"
        try:
            connection.sock = bounds.connect("127.0.0.1", self.server.port, self.seconds)
            sock = connection.sock
            connection.request(method, target, data or None, headers)
            sock.allow(self.seconds)
            response = connection.getresponse()
            missing = "end"
            sock.allow(self.seconds)
            endless = response.headers.get_content_type() == "text/event-stream"
            body = b"" if endless else read_body(response)
            answer = Answer(self.server.url, method, target, response, body)
        except TimeoutError:
            late = "nothing for" if missing == "answer" else "no end after"
            raise self._nothing(f"{late} {self.seconds:g} s", asked, missing) from None
        except TooMuch as much:
            raise self._too_much(str(much) or "more, and no end", asked) from None
        except (OSError, http.client.IncompleteRead):
            raise self._nothing("the connection ended", asked, missing) from None
        except (http.client.HTTPException, ValueError, OverflowError) as error:
            raise self._nothing(f"what isn't HTTP ({error!r:.100})", asked, missing) from None
        finally:
            connection.close()
        wire.received(self.who, answer.in_words())
        return answer

    def _own(self, target: str) -> str:
        """Return the path and the query of an address, which must be of this server."""
        with contextlib.suppress(ValueError):
            parts = urlsplit(urljoin(self.server.url, target))
            own = parts.path + (f"?{parts.query}" if parts.query else "")
            if parts.netloc == self.server.host and SENDABLE.fullmatch(own):
                return own
        raise Unmet(f"an address on {self.server.url}", target)

    def _nothing(self, what: str, asked: str, missing: str) -> Unmet:
        self.server.stage.wire.received(self.who, what)
        trouble = self.server.trouble(f"{asked} had no {missing}")
        expected = "an answer" if missing == "answer" else f"the whole answer to {asked}"
        return Unmet(expected, f"{what}. {trouble}", where=trouble.where)

    def _too_much(self, what: str, asked: str) -> Unmet:
        self.server.stage.wire.received(self.who, what)
        expected = f"an answer to {asked} of at most {LARGEST_IN_WORDS}"
        return Unmet(expected, what, where=self.server.trouble("").where)


def read_body(response: http.client.HTTPResponse) -> bytes:
    """Return a body. Raises TooMuch if it says to be larger than a grader reads."""
    if (response.length or 0) > LARGEST:
        raise TooMuch(f"Content-Length: {response.length}")
    blocks = []
    while block := response.read(BLOCK):
        blocks.append(block)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(blocks)


class Answer:
    """An HTTP answer, with what one may expect of it."""

    def __init__(
        self,
        server: str,
        method: str,
        target: str,
        response: http.client.HTTPResponse,
        body: bytes,
    ) -> None:
        self.method, self.target, self.url = method, target, server + target
        self.status, self.reason = response.status, response.reason
        self.headers, self.body = response.headers, body

    @property
    def content_type(self) -> str:
        """The media type without its parameters, or ""."""
        return self.headers.get_content_type() if "Content-Type" in self.headers else ""

    def in_words(self) -> str:
        """Return status and body as one line."""
        body = body_in_words(self.body, self.content_type)
        tag = f" (ETag: {self.headers['ETag']})" if "ETag" in self.headers else ""
        return f"{self.status} {self.reason}{tag} {body}".rstrip()

    def expect_status(self, status: int, next: str = "") -> None:
        """Expect this status."""
        if self.status != status:
            expected = f"{_status(status)} to {self.method} {shown(self.target, 200)}"
            raise Unmet(expected, _status(self.status), next)

    def json(self, status: int = 200) -> object:
        """Expect this status and JSON, and return the parsed body."""
        self.expect_status(status)
        if self.content_type != "application/json":
            got = self.content_type or "no Content-Type"
            raise Unmet("Content-Type: application/json", got, "Flask does this for a dict.")
        return self._parsed()

    def _parsed(self) -> object:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            text = self.body.decode("utf-8", "replace")
            raise Unmet("a body that is JSON", shown(text)) from None

    def expect_json(self, expected: object, status: int = 200, next: str = "") -> None:
        """Expect this status and this JSON. Values are compared by their exact type."""
        got = self.json(status)
        if not equal(got, expected):
            raise Unmet(shown(expected), shown(got), next)

    def expect_problem(self, status: int, next: str = "") -> None:
        """Expect a refusal: this status, and a problem document (RFC 9457, section 3)."""
        self.expect_status(status, next)
        if self.content_type != "application/problem+json":
            got = self.content_type or "no Content-Type"
            raise Unmet("Content-Type: application/problem+json", got)
        document = self._parsed()
        if not isinstance(document, dict):
            raise Unmet("a JSON object as the problem", shown(document))
        if not equal(document.get("status", status), status):
            raise Unmet(f'"status": {status} in the problem', shown(document))
        said = [document[name] for name in ("title", "detail") if name in document]
        if not said or not all(isinstance(text, str) and text.strip() for text in said):
            raise Unmet('"title" or "detail" as a sentence in the problem', shown(document))


def _request_in_words(method: str, target: str, data: bytes, headers: dict) -> str:
    """Return a request as one line, with what is unusual about its body before it."""
    content_type = headers.get("Content-Type", "")
    odd = [] if content_type in ("", "application/json") else [content_type]
    odd += [f"{len(data):,} bytes"] if len(data) > LONG_BODY else []
    said = sorted(headers.items(), key=lambda header: (*FIRST, header[0]).index(header[0]))
    odd += [f"{name}: {_begin(name, value)}" for name, value in said if name not in UNSAID]
    said = f" ({', '.join(odd)})" if odd else ""
    return f"{method} {target}{said} {body_in_words(data, content_type)}".rstrip()


def _begin(name: str, value: str) -> str:
    """Return a header's value, or the beginning of one that has a long secret."""
    return f"{value[:16]}…" if name in SECRETS and len(value) > 24 else value


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
