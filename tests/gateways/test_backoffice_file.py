"""Claims about the back office's file: a bad line stops nothing, a bad file stops everything."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateways.backoffice
from ceremony.feed import FeedError, FeedItem, FeedReading, NotModified
from ceremony.reasons import Reason
from gateways.backoffice import (
    MAX_ENTRY_BYTES,
    JsonLinesFeed,
    text_item,
)


def envelope(name: str) -> str:
    """An envelope as far as a feed looks into one."""
    return json.dumps({"statements": [name]})


def read(path: Path, known: str | None = None) -> FeedReading:
    """A reading of a file that is not the known one."""
    reading = JsonLinesFeed(path).read(known)
    assert isinstance(reading, FeedReading)
    return reading


def test_each_line_is_an_envelope_verbatim(tmp_path: Path) -> None:
    """Envelopes come as they stand in the file, with their lines, past blanks and line ends."""
    path = tmp_path / "feed"
    first, second = ' {"statements" : ["ä"]}', envelope("b")
    path.write_bytes(b"\xef\xbb\xbf" + f"{first}\r\n\n  \n{second}".encode())
    assert list(read(path).items) == [
        FeedItem("line 1", first, None),
        FeedItem("line 4", second, None),
    ]


def test_a_bad_line_stops_nothing(tmp_path: Path) -> None:
    """Each kind of bad line is handed over as a problem, and the lines after it still come."""
    huge = b'{"statements":["' + b"x" * (3 * MAX_ENTRY_BYTES) + b'"]}'
    bad = {
        b"{not json": Reason.MALFORMED,
        b"[1]": Reason.MALFORMED,
        b'"text"': Reason.MALFORMED,
        b'{"a":NaN}': Reason.MALFORMED,
        b'{"a":"\\ud800"}': Reason.MALFORMED,
        b'{"a":"\xff"}': Reason.MALFORMED,
        b"[" * 60_000: Reason.MALFORMED,
        b"\x00": Reason.MALFORMED,
        huge: Reason.TOO_LARGE,
    }
    path = tmp_path / "feed"
    lines = [envelope("first").encode(), *bad, envelope("last").encode()]
    path.write_bytes(b"\n".join(lines) + b"\n")
    items = list(read(path).items)
    assert [item.position for item in items] == [f"line {n}" for n in range(1, len(lines) + 1)]
    assert items[0].envelope == envelope("first")
    assert items[-1].envelope == envelope("last")
    assert [(item.envelope, item.problem) for item in items[1:-1]] == [
        (None, reason) for reason in bad.values()
    ]


@pytest.mark.parametrize("extra", range(-3, 4))
def test_the_size_of_a_line_is_capped_exactly(tmp_path: Path, extra: int) -> None:
    """An entry of 64 KiB passes, one byte more does not, with any line end and none."""
    frame = len('{"a":""}')
    line = '{"a":"' + "x" * (MAX_ENTRY_BYTES - frame + extra) + '"}'
    for end in ("", "\n", "\r\n"):
        path = tmp_path / "feed"
        path.write_text(line + end, newline="")
        (item,) = read(path).items
        assert (item.problem is None) == (extra <= 0)


def test_an_unchanged_file_is_not_modified(tmp_path: Path) -> None:
    """The digest of the content decides, not the time; a changed byte is a new content."""
    path = tmp_path / "feed"
    path.write_text(envelope("a"))
    tag = read(path).tag
    assert tag is not None
    os.utime(path, (1, 1))
    assert JsonLinesFeed(path).read(tag) == NotModified(tag)
    path.write_text(envelope("b"))
    assert read(path, tag).tag != tag


def test_a_file_that_changes_while_it_is_read_is_given_up(tmp_path: Path) -> None:
    """Half of the old and half of the new list is no list."""
    path = tmp_path / "feed"
    path.write_text(envelope("a"))
    reading = read(path)
    path.write_text(envelope("b"))
    with pytest.raises(FeedError, match="changed-while-reading"):
        list(reading.items)


def test_what_is_no_file_is_unreadable(tmp_path: Path) -> None:
    """A missing path, a folder and a pipe (which would block for ever) are refused alike."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "missing", tmp_path, pipe):
        with pytest.raises(FeedError, match="unreadable"):
            JsonLinesFeed(path).read()


def test_the_number_of_entries_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list longer than the cap is given up as a whole, not cut."""
    monkeypatch.setattr(gateways.backoffice, "MAX_ENTRIES", 3)
    path = tmp_path / "feed"
    path.write_text("{}\n\n{}\n{}\n")
    assert len(list(read(path).items)) == 3
    path.write_text("{}\n{}\n{}\nbad\n")
    with pytest.raises(FeedError, match="too-many-entries"):
        list(read(path).items)


def test_the_size_of_the_file_is_capped(tmp_path: Path) -> None:
    """A file over 1 GiB is refused before a byte of it is read."""
    path = tmp_path / "feed"
    with path.open("wb") as file:
        file.truncate(gateways.backoffice.MAX_FILE_BYTES + 1)
    with pytest.raises(FeedError, match="too-large"):
        JsonLinesFeed(path).read()


@given(st.text(max_size=300))
def test_any_text_is_an_envelope_or_a_problem(text: str) -> None:
    """No text makes the reader fail: it is an object, or it has a problem."""
    item = text_item("here", text)
    assert (item.envelope is None) != (item.problem is None)
    if item.envelope is not None:
        assert isinstance(json.loads(item.envelope), dict)
