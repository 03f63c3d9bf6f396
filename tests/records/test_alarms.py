"""Alarms: one an hour and kind, whichever processes see the signs, on both databases."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func
from sqlmodel import Session, select

from ceremony.smscaps import SmsCaps
from ceremony.spraying import DAY, ENOUGH, HOUR, MANY, UNDECIDED_SECONDS, Alarm
from ceremony.stages import Stage
from records import alarms, audit, messages, projection
from records.database import Database
from records.engines import Limits
from records.messages import Recipient
from records.tables.alarm import AlarmSignRow
from records.tables.loading_request import LoadingRequestRow

NOW = 1_800_000_000 // HOUR * HOUR
KIND = Alarm.CODES_MANY_PERSONS
FEW, MORE = MANY[KIND]
WIDE = SmsCaps(10_000, 10_000, 10_000, 10_000, 10_000, 10_000)


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[Database, Database]]:
    """The same database through two doors, as two processes have it."""
    doors = tuple(Database(database_url, limits=Limits(lock_ms=20_000)) for _ in range(2))
    yield doors[0], doors[1]
    for door in doors:
        door.close()


def sign(database: Database, subject: str, now: int = NOW) -> bool:
    """One person had trouble."""
    with database.write() as session:
        return alarms.sign(session, KIND, subject, now=now)


def events(database: Database) -> list[str]:
    """The alarms in the audit trail."""
    with database.read() as session:
        return [one.event for one in audit.since(session, limit=1000)]


def test_the_alarm_is_raised_by_the_last_different_one(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """One person's trouble thirty times is none; the fifth person's is: audited and logged."""
    for _ in range(30):
        assert not sign(database, "p0")
    for n in range(1, FEW - 1):
        assert not sign(database, f"p{n}")
    assert sign(database, "last")
    assert events(database) == [f"alarm-{KIND}"]
    record = caplog.records[-1]
    assert (record.name, record.levelno) == ("keyfill.alarms", logging.ERROR)
    assert record.getMessage() == f"alarm {KIND}: {FEW} within {HOUR} s"


def test_an_alarm_is_one_in_an_hour_and_comes_again_in_the_next(database: Database) -> None:
    """Further signs of the same hour raise nothing; while it goes on, each hour has its alarm."""
    for n in range(3 * FEW):
        sign(database, f"p{n}", NOW + 60)
    assert events(database) == [f"alarm-{KIND}"]
    assert sign(database, "late", NOW + HOUR)
    with database.read() as session:
        assert alarms.counts(session)[KIND] == 2
        assert alarms.counts(session, since=NOW + HOUR)[KIND] == 1
        assert set(alarms.counts(session, since=NOW + DAY).values()) == {0}
        newest, oldest = alarms.latest(session, limit=10)
    assert (newest.raised_at, oldest.raised_at) == (NOW + HOUR, NOW + 60)


def test_slow_spraying_is_seen_within_a_day_and_none_over_two(database: Database) -> None:
    """One person an hour is alarming after twenty; of the day before, nothing counts or stays."""
    raised = [sign(database, f"p{n}", NOW + n * HOUR) for n in range(MORE)]
    assert raised == [False] * (MORE - 1) + [True]
    with database.write() as session:
        assert not alarms.sign(session, KIND, "alone", now=NOW + 3 * DAY)
        assert session.exec(select(func.count()).select_from(AlarmSignRow)).one() == 1


def test_an_attacker_does_not_fill_the_table(database: Database) -> None:
    """Beyond a hundred different ones within an hour, none is noted any more."""
    with database.write() as session:
        for n in range(ENOUGH + 20):
            alarms.sign(session, KIND, f"p{n}", now=NOW)
        assert session.exec(select(func.count()).select_from(AlarmSignRow)).one() == ENOUGH


def test_processes_that_see_the_last_signs_at_once_raise_one_alarm(
    two: tuple[Database, Database],
) -> None:
    """Each of them brings one person, none sees enough by itself: exactly one raises it."""
    start = threading.Barrier(FEW)

    def run(n: int) -> bool:
        start.wait(30)
        return sign(two[n % 2], f"p{n}")

    with ThreadPoolExecutor(FEW) as pool:
        assert sorted(pool.map(run, range(FEW))) == [False] * (FEW - 1) + [True]
    assert events(two[0]) == [f"alarm-{KIND}"]


def test_codes_that_nobody_uses_raise_an_alarm(database: Database) -> None:
    """Twenty loading requests had a code and no application: raised, unless enough were used."""
    sent_at = NOW - UNDECIDED_SECONDS - 60
    with database.write() as session:
        for n in range(20):
            _sent(session, n, used=n < 6, at=sent_at)
        assert not alarms.watch_conversion(session, now=NOW)
        for n in range(20, 30):
            _sent(session, n, used=False, at=sent_at)
        assert alarms.watch_conversion(session, now=NOW)
        assert not alarms.watch_conversion(session, now=NOW + 60)
    assert events(database) == [f"alarm-{Alarm.SMS_CONVERSION}"]


def test_young_and_old_codes_say_nothing(database: Database) -> None:
    """Who still has time to apply, and who had it the day before yesterday, is not counted."""
    with database.write() as session:
        for n in range(60):
            _sent(session, n, used=False, at=NOW - 60)
        for n in range(60, 120):
            _sent(session, n, used=False, at=NOW - 2 * DAY)
        assert not alarms.watch_conversion(session, now=NOW)


def _sent(session: Session, n: int, *, used: bool, at: int) -> None:
    projection.open_request(
        session,
        LoadingRequestRow(
            request_id=f"r{n}",
            terminal_no=f"T-{n}",
            workflow_id=f"w{n}",
            stage=Stage.AWAITING_APPLICATION,
            version=1,
            model="M",
            branch="B",
            epp_fingerprint="",
            registry_digest="",
            first_person="p1",
            second_person="p2",
            first_staff_no="A1",
            second_staff_no="A2",
            opened_at=at,
            stage_since=at,
            request_digest=f"d{n}",
            application_digest=f"a{n}" if used else None,
        ),
    )
    messages.begin(
        session,
        f"r{n}/sms/code-1",
        request_id=f"r{n}",
        purpose="sms-code",
        to=Recipient(f"p{n}", f"T-{n}", "***"),
        caps=WIDE,
        now=at,
    )
