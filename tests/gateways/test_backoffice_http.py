"""Claims about the back office's HTTP feed, against a small HTTP server on loopback."""

import gzip
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

import httpx
import pytest

import gateways.httpfeed
from ceremony.feed import FeedError, FeedReading, NotModified
from ceremony.reasons import Reason
from gateways.backoffice import MAX_ENTRY_BYTES
from gateways.httpfeed import MAX_PAGE_BYTES, HttpFeed
from tests.support.loopbackserver import LoopbackServer


class Answer(NamedTuple):
    """One answer of the back office; `pause` is seconds before each part of the body."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pause: float = 0.0


def page(entries: list[object], following: str | None = None, etag: str | None = None) -> Answer:
    """A page as the contract has it."""
    headers = () if etag is None else (("ETag", etag),)
    return Answer(json.dumps({"entries": entries, "next": following}).encode(), headers=headers)


class BackOffice:
    """A back office with a memory: answers by path with query, 304 for an ETag that it knows."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        memory = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                memory.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                answer = memory.answers.get(self.path, Answer(b"", 404))
                etag = dict(answer.headers).get("ETag")
                if etag is not None and self.headers["If-None-Match"] == etag:
                    answer = Answer(b"", 304)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                try:
                    size = 1 if answer.pause else 65536
                    for start in range(0, len(answer.body), size):
                        time.sleep(answer.pause)
                        self.wfile.write(answer.body[start : start + size])
                except OSError:
                    self.close_connection = True

        self.server = LoopbackServer(Handler)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.server.origin

    def close(self) -> None:
        """Stop and wait for it."""
        self.server.close()


@pytest.fixture
def office() -> Iterator[BackOffice]:
    """A back office on a free loopback port."""
    server = BackOffice()
    yield server
    server.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """The worker's client; it would follow redirects if it were let."""
    with httpx.Client(follow_redirects=True, headers={"Authorization": "Bearer feed"}) as one:
        yield one


def envelope(name: str) -> dict[str, object]:
    """An envelope as far as a feed looks into one."""
    return {"statements": [name]}


def feed(office: BackOffice, client: httpx.Client, timeout: float = 5.0) -> HttpFeed:
    """The feed at the office's usual address."""
    return HttpFeed(f"{office.origin}/terminals", client, timeout=timeout)


def reading(source: HttpFeed, known: str | None = None) -> FeedReading:
    """A reading of a source that did change."""
    one = source.read(known)
    assert isinstance(one, FeedReading)
    return one


def failure(source: HttpFeed) -> str:
    """The code with which a whole reading fails."""
    with pytest.raises(FeedError) as caught:
        list(reading(source).items)
    assert caught.value.args == (caught.value.code,)
    return caught.value.code


def test_pages_follow_each_other(office: BackOffice, client: httpx.Client) -> None:
    """All pages are read, by absolute and relative links, and each entry says where it stood."""
    office.answers = {
        "/terminals?page=1": page([envelope("a"), envelope("b")], "/terminals?page=2", '"v1"'),
        "/terminals?page=2": page([], f"{office.origin}/terminals?page=3"),
        "/terminals?page=3": page([json.dumps(envelope("c"), indent=1)]),
    }
    items = list(reading(feed(office, client)).items)
    assert [item.position for item in items] == [
        "page 1 entry 1",
        "page 1 entry 2",
        "page 3 entry 1",
    ]
    assert [item.envelope for item in items] == [
        '{"statements":["a"]}',
        '{"statements":["b"]}',
        json.dumps(envelope("c"), indent=1),
    ]
    assert all(headers["authorization"] == "Bearer feed" for _, headers in office.asked)
    assert all(headers["accept-encoding"] == "identity" for _, headers in office.asked)


def test_an_unchanged_feed_is_not_modified(office: BackOffice, client: httpx.Client) -> None:
    """The ETag of one reading makes the next one a 304, and a new ETag does not."""
    office.answers = {"/terminals?page=1": page([envelope("a")], etag='"v1"')}
    source = feed(office, client)
    tag = reading(source).tag
    assert tag is not None
    assert source.read(tag) == NotModified(tag)
    assert office.asked[-1][1]["if-none-match"] == '"v1"'
    office.answers = {"/terminals?page=1": page([envelope("a")], etag='"v2"')}
    assert reading(source, tag).tag != tag


def test_a_tag_is_good_for_its_address_only(office: BackOffice, client: httpx.Client) -> None:
    """Another feed with the same ETag, or a file's digest, is not taken for this one."""
    office.answers = {
        "/terminals?page=1": page([], etag='"1"'),
        "/other?page=1": page([], etag='"1"'),
    }
    tag = reading(feed(office, client)).tag
    other = HttpFeed(f"{office.origin}/other", client)
    assert isinstance(other.read(tag), FeedReading)
    assert isinstance(other.read("file:00"), FeedReading)
    assert "if-none-match" not in office.asked[-1][1]


def test_a_feed_without_etag_is_read_each_time(office: BackOffice, client: httpx.Client) -> None:
    """Without an ETag, or with one of unseemly size, there is no tag to remember."""
    office.answers = {"/terminals?page=1": page([])}
    assert reading(feed(office, client)).tag is None
    office.answers = {"/terminals?page=1": page([], etag='"' + "x" * 300 + '"')}
    assert reading(feed(office, client)).tag is None


def test_a_bad_entry_stops_nothing(office: BackOffice, client: httpx.Client) -> None:
    """Entries that are no envelope, too large or ambiguous are problems; the rest comes."""
    body = (
        b'{"entries":[{"statements":["a"]},7,null,["x"],"not json",{"a":1,"a":2},'
        b'{"a":{"b":1,"b":2}},{"a":"\\ud800"},{"a":NaN},{"a":"'
        + b"x" * MAX_ENTRY_BYTES
        + b'"},{"statements":["z"]}],"next":null}'
    )
    office.answers = {"/terminals?page=1": Answer(body)}
    items = list(reading(feed(office, client)).items)
    assert items[0].envelope == '{"statements":["a"]}'
    assert items[-1].envelope == '{"statements":["z"]}'
    assert [item.problem for item in items[1:-1]] == [Reason.MALFORMED] * 8 + [Reason.TOO_LARGE]
    assert all(item.envelope is None for item in items[1:-1])


@pytest.mark.parametrize(
    "link",
    [
        "https://{host}/terminals?page=2",
        "http://localhost:1/terminals?page=2",
        "http://127.0.0.1/terminals?page=2",
        "//evil.example/terminals?page=2",
        "http://user@{host}/terminals?page=2",
        "file:///etc/passwd",
        "http://[",
        "http://{host}:99999/",
    ],
)
def test_a_foreign_next_is_refused(office: BackOffice, client: httpx.Client, link: str) -> None:
    """`next` never leads the worker, and its credentials, to another origin."""
    host = office.origin.removeprefix("http://")
    link = link.replace("{host}:9", "127.0.0.1:9").replace("{host}", host)
    office.answers = {"/terminals?page=1": page([], link)}
    assert failure(feed(office, client)) == "foreign-next"
    assert len(office.asked) == 1


def test_a_circle_of_pages_ends(office: BackOffice, client: httpx.Client) -> None:
    """A page that was read is not read again, nor are there more pages than the limit."""
    office.answers = {
        "/terminals?page=1": page([], "?page=2"),
        "/terminals?page=2": page([], "?page=1"),
    }
    assert failure(feed(office, client)) == "page-repeated"
    office.answers = {f"/terminals?page={n}": page([], f"?page={n + 1}") for n in range(1, 9)}
    source = HttpFeed(f"{office.origin}/terminals", client, max_pages=3)
    assert failure(source) == "too-many-pages"
    assert len(office.asked) == 5


def test_a_redirect_is_refused(office: BackOffice, client: httpx.Client) -> None:
    """A redirect is not followed, whatever the client is set to."""
    office.answers = {"/terminals?page=1": Answer(b"", 302, (("Location", "/terminals?page=2"),))}
    assert failure(feed(office, client)) == "redirected"
    assert len(office.asked) == 1


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500])
def test_only_200_is_a_page(office: BackOffice, client: httpx.Client, status: int) -> None:
    """Any other status fails the reading, on the first page and later ones."""
    office.answers = {"/terminals?page=1": Answer(b"", status)}
    assert failure(feed(office, client)) == f"http-{status}"
    office.answers = {
        "/terminals?page=1": page([envelope("a")], "?page=2"),
        "/terminals?page=2": Answer(b"", status),
    }
    assert failure(feed(office, client)) == f"http-{status}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"entries":[]}',
        b'{"next":null}',
        b'{"entries":{},"next":null}',
        b'{"entries":[],"next":7}',
        b'{"entries":[],"entries":[],"next":null}',
        b'{"entries":[' + b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_malformed_page_fails_the_reading(
    office: BackOffice, client: httpx.Client, body: bytes
) -> None:
    """A page that may be cut or is none at all is never half used."""
    office.answers = {"/terminals?page=1": Answer(body)}
    assert failure(feed(office, client)) == "page-malformed"


def test_sizes_are_capped(
    office: BackOffice, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page over 8 MiB, a compressed one and too many entries fail the reading."""
    office.answers = {"/terminals?page=1": Answer(b" " * (MAX_PAGE_BYTES + 1))}
    assert failure(feed(office, client)) == "page-too-large"
    bomb = gzip.compress(b" " * MAX_PAGE_BYTES)
    office.answers = {"/terminals?page=1": Answer(bomb, headers=(("Content-Encoding", "gzip"),))}
    assert failure(feed(office, client)) == "encoded"
    monkeypatch.setattr(gateways.httpfeed, "MAX_ENTRIES", 3)
    office.answers = {
        "/terminals?page=1": page([1, 2], "?page=2"),
        "/terminals?page=2": page([3, 4]),
    }
    assert failure(feed(office, client)) == "too-many-entries"


def test_a_feed_that_changes_between_pages_is_given_up(
    office: BackOffice, client: httpx.Client
) -> None:
    """Pages of two contents are no list, for what lies between them would be removed."""
    office.answers = {
        "/terminals?page=1": page([envelope("a")], "?page=2", '"v1"'),
        "/terminals?page=2": page([envelope("b")]),
    }
    items = reading(feed(office, client)).items
    next(items)
    office.answers["/terminals?page=1"] = page([], "?page=2", '"v2"')
    with pytest.raises(FeedError, match="changed-while-reading"):
        list(items)


def test_a_slow_feed_times_out(office: BackOffice, client: httpx.Client) -> None:
    """A page that trickles in is given up in time, though each part of it comes quickly."""
    office.answers = {"/terminals?page=1": page([envelope("abcdefghij")])._replace(pause=0.1)}
    started = time.monotonic()
    assert failure(feed(office, client, timeout=0.4)) == "timeout"
    assert time.monotonic() - started < 2


def test_a_feed_that_is_away_is_unreachable(office: BackOffice, client: httpx.Client) -> None:
    """A refused connection is a feed error like any other."""
    source = feed(office, client)
    office.close()
    assert failure(source) == "unreachable"


@pytest.mark.parametrize("url", ["", "terminals", "ftp://x/y", "https://user:pw@x/y"])
def test_an_unfit_address_is_refused(client: httpx.Client, url: str) -> None:
    """A feed's address is http or https and holds no credentials."""
    with pytest.raises(ValueError, match="feed's URL"):
        HttpFeed(url, client)
