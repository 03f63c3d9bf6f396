"""Sessions by hand: who is signed in, and a sign-out."""

import json
import time
from contextlib import closing

import pytest

from commands.homefolder import HomeFolder
from records import audit, sessions
from records.database import Database
from records.tables.session import SessionRow, SessionSource
from settings import Settings
from tests.support.commandline import Keyfill, Lines

REFUSED = 3


@pytest.fixture
def signed_in(home: HomeFolder) -> str:
    """Two sessions of Dora's and one of Ana's are open, one more of each is over; gives the URL."""
    url, now = Settings.unchecked(home=home.path).database, int(time.time())
    with closing(Database(url)) as database, database.write() as session:
        for n, (staff_no, left) in enumerate(
            [("A1001", 900), ("D2001", 600), ("D2001", 1_200), ("A1001", -1), ("D2001", -1)]
        ):
            sessions.create(
                session,
                SessionRow(
                    token_digest=f"{n}",
                    source=SessionSource.OPENID_CONNECT,
                    staff_no=staff_no,
                    name=staff_no,
                    roles='["auditor"]',
                    created_at=now + n,
                    expires_at=now + left,
                    seal="",
                ),
            )
    return url


def open_sessions(lines: Lines) -> list[str]:
    """Whose sessions are listed."""
    return [one["staff_no"] for one in lines("sessions", "list")]


def test_somebody_is_signed_out_everywhere_and_nobody_else(
    signed_in: str, keyfill: Keyfill, lines: Lines
) -> None:
    """All open sessions of the staff number end at once; the audit trail says how many."""
    assert open_sessions(lines) == ["D2001", "D2001", "A1001"]
    assert "openid-connect" in keyfill("sessions", "list").stdout
    result = keyfill("sessions", "end", "D2001")
    assert (result.exit_code, result.stdout) == (0, "D2001 is signed out of 2 sessions.\n")
    assert open_sessions(lines) == ["A1001"]
    with closing(Database(signed_in)) as database, database.read() as session:
        for token in ("1", "2"):
            assert sessions.find_valid(session, token, int(time.time())) is None
        (event,) = audit.latest(session, event="sessions-ended", limit=9)
    assert json.loads(event.detail) == {"sessions": 2, "staff_no": "D2001"}


def test_who_is_not_signed_in_is_told_so(signed_in: str, keyfill: Keyfill, lines: Lines) -> None:
    """A mistyped number ends nobody's session and is no success."""
    for staff_no in ("D2002", "d2001"):
        assert keyfill("sessions", "end", staff_no).exit_code == REFUSED
    assert open_sessions(lines) == ["D2001", "D2001", "A1001"]
