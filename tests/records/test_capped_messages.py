"""The SMS caps' counts: exact when two workers send at once, on both databases."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from ceremony.smscaps import Cap, SmsCaps
from ceremony.spraying import DAY, HOUR
from records import messages, migration
from records.database import Database
from records.engines import Limits, Use, open_engine
from records.messages import Recipient
from records.tables.sms_message import SmsMessageRow, SmsStatus

NOW = 1_800_000_000
CAPS = SmsCaps(
    person_hour=3, person_day=5, terminal_hour=4, terminal_day=6, all_hour=10, all_day=12
)
RIVALS = 6


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[Database, Database]]:
    """The same database through two doors, as two workers have it."""
    doors = tuple(Database(database_url, limits=Limits(lock_ms=20_000)) for _ in range(2))
    yield doors[0], doors[1]
    for door in doors:
        door.close()


def begin(
    database: Database,
    step: str,
    *,
    person: str = "p1",
    terminal_no: str = "T-1",
    purpose: str = "sms-code",
    now: int = NOW,
) -> SmsMessageRow:
    """Begin one message."""
    with database.write() as session:
        return messages.begin(
            session,
            step,
            request_id="r1",
            purpose=purpose,
            to=Recipient(person, terminal_no, "***"),
            caps=CAPS,
            now=now,
        )[0]


def met(
    database: Database,
    step: str,
    *,
    person: str = "p1",
    terminal_no: str = "T-1",
    purpose: str = "sms-code",
) -> str | None:
    """The cap that a message met."""
    row = begin(database, step, person=person, terminal_no=terminal_no, purpose=purpose)
    assert (row.status is SmsStatus.CAPPED) is (row.error is not None)
    return row.error


def test_a_person_a_terminal_and_all_have_caps(database: Database) -> None:
    """The fourth to a person, the fifth about a terminal, the eleventh of all are not sent."""
    assert [met(database, f"a{n}") for n in range(4)] == [None] * 3 + [Cap.PERSON_HOUR]
    assert met(database, "b1", person="p2") is None
    assert met(database, "b2", person="p2") == Cap.TERMINAL_HOUR
    others = [met(database, f"c{n}", person=f"q{n}", terminal_no=f"U-{n}") for n in range(7)]
    assert others == [None] * 6 + [Cap.ALL_HOUR]


def test_a_step_keeps_its_outcome(database: Database) -> None:
    """A retry finds its message as it was: capped stays capped later, and an intent is one."""
    for n in range(4):
        begin(database, f"a{n}")
    assert begin(database, "a3", now=NOW + DAY).status is SmsStatus.CAPPED
    assert begin(database, "a0").status is SmsStatus.INTENT
    with database.write() as session:
        assert not messages.finish(session, "a3", SmsStatus.SENT, now=NOW)
        assert not messages.forget(session, "a3")


def test_an_hour_later_the_days_cap_counts(database: Database) -> None:
    """After an hour three more, but five a day; what was capped, or not sent, is not counted."""
    for n in range(4):
        begin(database, f"a{n}")
    later = NOW + HOUR
    assert begin(database, "b0", now=later).error is None
    with database.write() as session:
        assert messages.forget(session, "b0")
    got = [begin(database, f"c{n}", now=later).error for n in range(3)]
    assert got == [None, None, Cap.PERSON_DAY]
    assert begin(database, "d", now=NOW + DAY).error is None


def test_codes_starve_no_notice(database: Database) -> None:
    """With all codes of a person and terminal used up, review, approval and end are still told."""
    for n in range(4):
        begin(database, f"a{n}")
    assert [met(database, one, purpose=one) for one in ("review", "approved", "ended")] == [
        None
    ] * 3
    assert [met(database, f"e{n}", purpose="ended") for n in range(3)] == [
        None,
        None,
        Cap.PERSON_HOUR,
    ]
    assert met(database, "approved-2", purpose="approved") is None


def test_what_the_provider_refused_outright_is_not_counted(database: Database) -> None:
    """A wrong account uses no cap up; what was taken, and failed on its way, has cost its price."""
    for n in range(4):
        begin(database, f"a{n}")
        with database.write() as session:
            messages.finish(session, f"a{n}", SmsStatus.FAILED, now=NOW, error="20003")
    for n in range(3):
        assert begin(database, f"b{n}").error is None
        with database.write() as session:
            messages.finish(session, f"b{n}", SmsStatus.SENT, now=NOW, provider_sid=f"SM{n}")
            messages.delivery(session, f"SM{n}", SmsStatus.FAILED, now=NOW)
    assert begin(database, "c").error == Cap.PERSON_HOUR


def test_nothing_starves_an_approvals_code(database: Database) -> None:
    """Whoever has a person sent reviews, or news of ends, to the cap: their own loads go on."""
    for flood in ("sms-code", "review", "ended", "change"):
        about = {"person": f"of {flood}", "terminal_no": f"T-{flood}"}
        told = [met(database, f"{flood}-{n}", purpose=flood, **about) for n in range(4)]
        assert told == [None] * 3 + [Cap.PERSON_HOUR]
        assert met(database, f"{flood}-approved", purpose="approved", **about) is None


def test_two_workers_cannot_pass_a_cap_together(two: tuple[Database, Database]) -> None:
    """Six threads of two workers send at once: three are sent, whoever they are."""
    start = threading.Barrier(RIVALS)

    def run(n: int) -> bool:
        start.wait(30)
        return begin(two[n % 2], f"a{n}").status is SmsStatus.INTENT

    with ThreadPoolExecutor(RIVALS) as pool:
        assert sum(pool.map(run, range(RIVALS))) == CAPS.person_hour


def test_former_messages_count_for_their_people(empty_url: str) -> None:
    """The migration finds of each message its terminal and person; back down, capped is failed."""
    migration.upgrade(empty_url, "0007")
    execute(
        empty_url,
        "INSERT INTO loading_requests (request_id, terminal_no, workflow_id, stage, version, "
        "model, branch, epp_fingerprint, registry_digest, first_person, second_person, "
        "first_staff_no, second_staff_no, opened_at, stage_since, request_digest) VALUES "
        "('r1', 'T-1', 'w', 'LOADED', 1, 'M', 'B', '', '', 'p1', 'p2', 'A1', 'A2', 1, 1, 'd')",
        "INSERT INTO sms_messages "
        "(step, request_id, purpose, to_masked, status, created_at, updated_at) VALUES "
        "('r1/sms-code', 'r1', 'sms-code', '*', 'sent', 1, 1), "
        "('r1/review', 'r1', 'review', '*', 'sent', 1, 1), "
        "('gone/ended', 'gone', 'ended', '*', 'sent', 1, 1)",
    )
    migration.upgrade(empty_url)
    found = execute(empty_url, "SELECT step, terminal_no, person FROM sms_messages ORDER BY step")
    assert found == [
        ("gone/ended", "", ""),
        ("r1/review", "T-1", "p2"),
        ("r1/sms-code", "T-1", "p1"),
    ]
    execute(empty_url, "UPDATE sms_messages SET status = 'capped' WHERE step = 'r1/review'")
    migration.downgrade(empty_url, "0007")
    found = execute(empty_url, "SELECT step, status FROM sms_messages ORDER BY step")
    assert found == [("gone/ended", "sent"), ("r1/review", "failed"), ("r1/sms-code", "sent")]


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Execute SQL; gives the rows of the last statement, if it has any."""
    engine = open_engine(url, Use.MIGRATE)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows
