"""The figures for those who run Keyfill: counted as the rows say, on both databases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from ceremony.spraying import Alarm
from ceremony.stages import FINAL, OPEN, Stage
from records import alarms, figures, syncruns
from records.database import Database
from records.figures import DAY, HOUR, Lately, OpenRequests, SyncOutcome
from records.tables.credential_entry import CredentialEntryRow
from records.tables.key import KeyRow, KeyState
from records.tables.loading_request import LoadingRequestRow
from records.tables.registry_change import ChangeState, RegistryChangeRow
from records.tables.sms_message import SmsMessageRow, SmsStatus
from tests.support.databases import make_database
from workflows.policies import STAGE_DEADLINES

NOW = 1_800_000_000


def message(step: str, purpose: str, status: SmsStatus, at: int) -> SmsMessageRow:
    """One SMS."""
    return SmsMessageRow(
        step=step,
        request_id="r1",
        terminal_no="T-1",
        person="p1",
        purpose=purpose,
        to_masked="…01",
        status=status,
        created_at=at,
        updated_at=at,
    )


def test_an_empty_database_has_figures(database: Database) -> None:
    """Every stage is there with none, and nothing was ever synchronised."""
    with database.read() as session:
        found = figures.read(session, now=NOW)
    assert found.open == dict.fromkeys(OPEN, OpenRequests(0, None))
    assert found.ended == dict.fromkeys(FINAL, 0)
    assert found.alarms == dict.fromkeys(Alarm, Lately(0, 0))
    assert (found.messages, found.pending_enrolments, found.unconfirmed_keys) == ({}, 0, 0)
    assert (found.applied_at, found.last_sync) == (None, None)


def test_requests_are_counted_by_stage(
    database: Database, request_row: Callable[..., LoadingRequestRow]
) -> None:
    """Open ones with the age of the oldest, ended ones of the last day only."""
    rows = [
        ("a", Stage.AWAITING_REVIEW, NOW - 60),
        ("b", Stage.AWAITING_REVIEW, NOW - 600),
        ("c", Stage.AWAITING_RECEIPT, NOW - DAY),
        ("d", Stage.LOADED, NOW - DAY),
        ("e", Stage.LOADED, NOW - DAY - 1),
        ("f", Stage.REJECTED, NOW - 5),
    ]
    with database.write() as session:
        for number, (name, stage, since) in enumerate(rows):
            session.add(
                request_row(
                    name,
                    terminal_no=f"T-{number}",
                    stage=stage,
                    stage_since=since,
                    # As long ago as the deadlines allow: it still counts as of the last day.
                    opened_at=since
                    - int(sum(one.total_seconds() for one in STAGE_DEADLINES.values())),
                )
            )
    with database.read() as session:
        found = figures.read(session, now=NOW)
    assert found.open[Stage.AWAITING_REVIEW] == OpenRequests(2, NOW - 600)
    assert found.open[Stage.AWAITING_RECEIPT] == OpenRequests(1, NOW - DAY)
    assert found.open[Stage.AWAITING_APPLICATION] == OpenRequests(0, None)
    assert {stage: count for stage, count in found.ended.items() if count} == {
        Stage.LOADED: 1,
        Stage.REJECTED: 1,
    }


def test_messages_are_counted_by_hour_and_day(database: Database) -> None:
    """By purpose and status; what was begun before the last day is not counted."""
    sent, ambiguous = SmsStatus.SENT, SmsStatus.AMBIGUOUS
    with database.write() as session:
        session.add(message("1", "sms-code", sent, NOW - 10))
        session.add(message("2", "sms-code", sent, NOW - HOUR))
        session.add(message("3", "sms-code", sent, NOW - HOUR - 1))
        session.add(message("4", "review", ambiguous, NOW - DAY))
        session.add(message("5", "review", ambiguous, NOW - DAY - 1))
    with database.read() as session:
        found = figures.read(session, now=NOW)
    assert found.messages == {("sms-code", sent): Lately(2, 3), ("review", ambiguous): Lately(0, 1)}


def test_what_waits_for_people_is_counted(
    database: Database, credential_row: Callable[..., CredentialEntryRow]
) -> None:
    """Enrolments without officers, keys that nobody is sure of, alarms that were raised."""
    with database.write() as session:
        session.add(credential_row("p1"))
        session.add(credential_row("p2"))
        for name, state in (("r1", KeyState.UNCONFIRMED), ("r2", KeyState.RETIRED)):
            session.add(
                KeyRow(
                    request_id=name,
                    terminal_no="T-1",
                    algorithm="AES-128",
                    host_block=b"block",
                    state=state,
                    release_record="a.b.c",
                    released_at=NOW,
                )
            )
        for name, waiting in (("p1", ChangeState.COOLING), ("p2", ChangeState.EFFECTIVE)):
            session.add(
                RegistryChangeRow(
                    digest=name, subject="person", name=name, seq=2, state=waiting, begun_at=NOW
                )
            )
        for n in range(1000):
            if alarms.sign(session, Alarm.LOGINS_MANY_KEYS, f"key-{n}", now=NOW - HOUR - 1):
                break
    with database.read() as session:
        found = figures.read(session, now=NOW)
    assert (found.pending_enrolments, found.unconfirmed_keys, found.cooling_changes) == (2, 1, 1)
    assert found.alarms[Alarm.LOGINS_MANY_KEYS] == Lately(0, 1)


@pytest.mark.parametrize(
    ("note", "refused", "outcome", "applied_at"),
    [
        (None, [], SyncOutcome.APPLIED, NOW),
        (None, [("T-1", "unsigned")], SyncOutcome.REFUSED, NOW),
        ("too-many-removed", [], SyncOutcome.STOPPED, NOW - 900),
    ],
)
def test_the_last_synchronisation_is_told(
    database: Database,
    note: str | None,
    refused: list[tuple[str, str]],
    outcome: SyncOutcome,
    applied_at: int,
) -> None:
    """How it ended, and when one last changed the registry; one under way is not the last."""
    counts: dict[str, Any] = {"added": 0, "changed": 0, "removed": 0, "unchanged": 1}
    with database.write() as session:
        for name, at in (("before", NOW - 900), ("last", NOW), ("under-way", NOW + 900)):
            syncruns.start(session, name, now=at)
        syncruns.finish(session, "before", now=NOW - 900, refused=[], **counts)
        syncruns.finish(session, "last", now=NOW, refused=refused, note=note, **counts)
    with database.read() as session:
        found = figures.read(session, now=NOW + 1000)
    assert (found.last_sync, found.applied_at) == (outcome, applied_at)


def test_no_figure_reads_a_whole_table(tmp_path: Path) -> None:
    """Each goes along an index, so that a scrape costs little however long Keyfill has run."""
    database = Database(make_database(tmp_path, "sqlite"))
    with database.read() as session:
        connection = session.connection()
        asked: list[tuple[str, Any]] = []
        event.listen(
            connection.engine,
            "before_cursor_execute",
            lambda _, __, statement, parameters, *___: asked.append((statement, parameters)),
        )
        figures.read(session, now=NOW)
        plans = [
            f"{row[-1]}: {statement}"
            for statement, parameters in list(asked)
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    database.close()
    assert len(asked) >= 7
    searched = {plan.split()[1] for plan in plans if plan.startswith("SEARCH")}
    assert searched >= {"loading_requests", "sms_messages", "keys", "credential_entries", "alarms"}
    for plan in plans:
        # Of the synchronisation's runs the latest are read, in their order.
        assert not plan.startswith("SCAN") or "sync_runs USING INDEX" in plan, plan
