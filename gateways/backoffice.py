"""The ATM back office: where terminal entries come from (docs/backoffice-feed.md).

There are two sources of envelopes, which are opaque here: the JSON Lines file of this module and
the HTTP feed of `gateways.httpfeed`.

Each reading is lazy and all or nothing: an item that cannot be read is handed over as a problem
and the rest goes on, but what makes the *reading* incomplete raises `FeedError`, at the latest
after the last item. Plan nothing before the items are exhausted, for a terminal that is missing
from a reading counts as removed.
"""

import hashlib
import json
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from ceremony.feed import FeedError, FeedItem, FeedReading, NotModified
from ceremony.reasons import Reason

MAX_ENTRY_BYTES: Final = 64 * 1024
MAX_FILE_BYTES: Final = 1024 * 1024 * 1024
MAX_ENTRIES: Final = 200_000
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class JsonLinesFeed:
    """A file with one envelope a line (UTF-8, blank lines ignored).

    Args:
        path: a regular file of at most 1 GiB; replace it by renaming, so that a reading never
            meets half of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, known: str | None = None) -> FeedReading | NotModified:
        """Start a reading, or find the file's digest unchanged.

        Raises:
            FeedError: `unreadable`, `too-large`; from the items also `too-many-entries` and
                `changed-while-reading`.
        """
        try:
            file = self._open()
            with file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise FeedError("unreadable") from error
        tag = f"file:{digest}"
        return NotModified(tag) if tag == known else FeedReading(tag, self._items(digest))

    def _open(self) -> BufferedReader:
        status = self._path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FeedError("unreadable")
        if status.st_size > MAX_FILE_BYTES:
            raise FeedError("too-large")
        return self._path.open("rb")

    def _items(self, digest: str) -> Iterator[FeedItem]:
        seen = hashlib.sha256()
        entries = 0
        try:
            with self._open() as file:
                for number, line in enumerate(_lines(file, seen.update), start=1):
                    if line is not None and not line.strip():
                        continue
                    entries += 1
                    if entries > MAX_ENTRIES:
                        raise FeedError("too-many-entries")
                    yield _line_item(f"line {number}", line)
        except OSError as error:
            raise FeedError("unreadable") from error
        if seen.hexdigest() != digest:
            raise FeedError("changed-while-reading")


def _lines(file: BufferedReader, seen: Callable[[bytes], None]) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is too large, passed over in pieces."""
    most = MAX_ENTRY_BYTES + 2
    start = True
    while piece := file.readline(most):
        seen(piece)
        text = piece.rstrip(b"\r\n")
        if start:
            text, start = text.removeprefix(_BYTE_ORDER_MARK), False
        too_large = len(text) > MAX_ENTRY_BYTES
        while len(piece) == most and not piece.endswith(b"\n"):
            too_large = True
            piece = file.readline(most)
            seen(piece)
        yield None if too_large else text


def _line_item(position: str, line: bytes | None) -> FeedItem:
    if line is None:
        return FeedItem(position, None, Reason.TOO_LARGE)
    try:
        return text_item(position, line.decode("utf-8"))
    except UnicodeDecodeError:
        return FeedItem(position, None, Reason.MALFORMED)


def text_item(position: str, text: str) -> FeedItem:
    """An item from a text that should be an envelope: a JSON object of at most 64 KiB."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_ENTRY_BYTES:
        return FeedItem(position, None, Reason.TOO_LARGE)
    try:
        value = json.loads(text)
        # An escaped half of a surrogate pair is JSON, but no text that could be signed or stored.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        return FeedItem(position, None, Reason.MALFORMED)
    if not isinstance(value, dict):
        return FeedItem(position, None, Reason.MALFORMED)
    return FeedItem(position, text, None)
