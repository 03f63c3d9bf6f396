"""The ATM back office's HTTP feed (docs/backoffice-feed.md): pages, with an ETag on the first.

GET <url>?page=1
If-None-Match: <ETag of the last reading>

200 {"entries": [<envelope>, ...], "next": "<url of the next page>" | null}
304 if nothing changed
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from ceremony.feed import FeedError, FeedItem, FeedReading, NotModified
from ceremony.reasons import Reason
from gateways.backoffice import MAX_ENTRIES, text_item

MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
MAX_PAGES: Final = 10_000
_MAX_ETAG: Final = 256


class HttpFeed:
    """An HTTP feed with pages. The client brings authentication and TLS; nothing is retried here.

    Args:
        url: the feed's address, without user information; `page=1` is added to its query.
        client: used with its own headers; its redirect setting is overruled (refused).
        timeout: seconds for each network operation, and for the body of each page as a whole.
        max_pages: pages of one reading at most.
    """

    def __init__(
        self,
        url: str,
        client: httpx.Client,
        *,
        timeout: float = 30.0,
        max_pages: int = MAX_PAGES,
    ) -> None:
        base = httpx.URL(url)
        if base.scheme not in {"http", "https"} or not base.host or base.userinfo:
            raise ValueError("the feed's URL must be http or https, without user information")
        self._first = base.copy_set_param("page", "1").copy_with(fragment=None)
        self._client = client
        self._timeout = timeout
        self._max_pages = max_pages
        # Another feed's tag may look the same: a tag is good for one address only.
        self._prefix = f"http:{hashlib.sha256(url.encode()).hexdigest()[:16]}:"

    def read(self, known: str | None = None) -> FeedReading | NotModified:
        """Fetch the first page, or find its ETag unchanged.

        Raises:
            FeedError: `unreachable`, `timeout`, `redirected`, `http-<status>`, `encoded`,
                `page-too-large`, `page-malformed`; from the items also `foreign-next`,
                `page-repeated`, `too-many-pages`, `too-many-entries`, `changed-while-reading`.
        """
        etag = None
        if known is not None and known.startswith(self._prefix):
            etag = known.removeprefix(self._prefix)
        page = self._fetch(self._first, etag)
        if page is None:
            return NotModified(self._prefix + str(etag))
        tag = None if page.etag is None else self._prefix + page.etag
        return FeedReading(tag, self._items(page))

    def _items(self, page: "_Page") -> Iterator[FeedItem]:
        etag, visited, entries, number = page.etag, {self._first}, 0, 1
        while True:
            for index, value in enumerate(page.entries, start=1):
                entries += 1
                if entries > MAX_ENTRIES:
                    raise FeedError("too-many-entries")
                yield _page_item(f"page {number} entry {index}", value)
            if page.next is None:
                break
            page, number = self._follow(page.next, visited), number + 1
        # Pages fetched one after the other are one content only if the first has not changed.
        if number > 1 and etag is not None and self._fetch(self._first, etag) is not None:
            raise FeedError("changed-while-reading")

    def _follow(self, link: str, visited: set[httpx.URL]) -> "_Page":
        try:
            url = self._first.join(link).copy_with(fragment=None)
        except httpx.InvalidURL as error:
            raise FeedError("foreign-next") from error
        if _origin(url) != _origin(self._first) or url.userinfo:
            raise FeedError("foreign-next")
        if url in visited:
            raise FeedError("page-repeated")
        if len(visited) >= self._max_pages:
            raise FeedError("too-many-pages")
        visited.add(url)
        page = self._fetch(url, None)
        if page is None:
            raise FeedError("http-304")
        return page

    def _fetch(self, url: httpx.URL, etag: str | None) -> "_Page | None":
        # Without compression, for a small body must not become a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if etag is not None:
            headers["If-None-Match"] = etag
        try:
            with self._client.stream(
                "GET", url, headers=headers, timeout=self._timeout, follow_redirects=False
            ) as response:
                if response.status_code == httpx.codes.NOT_MODIFIED and etag is not None:
                    return None
                _check_answer(response)
                body = self._body(response)
        except httpx.TimeoutException as error:
            raise FeedError("timeout") from error
        except httpx.HTTPError as error:
            raise FeedError("unreachable") from error
        return _page(body, response.headers.get("ETag"))

    def _body(self, response: httpx.Response) -> bytes:
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        # No chunk size: httpx would wait for a whole chunk, and a trickle would never be timed.
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_PAGE_BYTES:
                raise FeedError("page-too-large")
            if time.monotonic() > deadline:
                raise FeedError("timeout")
        return bytes(body)


@dataclass(frozen=True, slots=True)
class _Page:
    entries: list[Any]
    next: str | None
    etag: str | None


class _Ambiguous:
    """Stands for a JSON object with a member twice: the item is bad, the page is not."""


def _check_answer(response: httpx.Response) -> None:
    if response.is_redirect or httpx.codes.is_redirect(response.status_code):
        raise FeedError("redirected")
    if response.status_code != httpx.codes.OK:
        raise FeedError(f"http-{response.status_code}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FeedError("encoded")


def _page(body: bytes, etag: str | None) -> _Page:
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_members)
    except (ValueError, RecursionError) as error:
        raise FeedError("page-malformed") from error
    # A page without `next` may be a cut one, and what it leaves out would count as removed.
    if not isinstance(value, dict) or not {"entries", "next"} <= value.keys():
        raise FeedError("page-malformed")
    entries, following = value["entries"], value["next"]
    if not isinstance(entries, list) or not isinstance(following, str | None):
        raise FeedError("page-malformed")
    usable = etag is not None and len(etag) <= _MAX_ETAG and etag.isascii() and etag.isprintable()
    return _Page(entries, following, etag if usable else None)


def _members(pairs: list[tuple[str, Any]]) -> "dict[str, Any] | _Ambiguous":
    members = dict(pairs)
    return members if len(members) == len(pairs) else _Ambiguous()


def _page_item(position: str, value: object) -> FeedItem:
    if isinstance(value, str):
        return text_item(position, value)
    if not isinstance(value, dict):
        return FeedItem(position, None, Reason.MALFORMED)
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return FeedItem(position, None, Reason.MALFORMED)
    return text_item(position, text)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    # httpx drops a default port, so equal origins have equal ports here.
    return url.scheme, url.host, url.port
