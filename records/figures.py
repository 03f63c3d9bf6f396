"""Figures: how many of what the records hold, for those who run Keyfill. Counts, ages, no names."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import case, func
from sqlmodel import Session, col, select

from ceremony.spraying import Alarm
from ceremony.stages import FINAL, OPEN, Stage
from records import alarms
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.key import KeyRow, KeyState
from records.tables.loading_request import LoadingRequestRow
from records.tables.registry_change import ChangeState, RegistryChangeRow
from records.tables.sms_message import SmsMessageRow, SmsStatus
from records.tables.sync_run import SyncRunRow

HOUR: Final = 3600
DAY: Final = 86_400
LONGEST: Final = 2 * DAY
"""No loading request is open for longer (all deadlines of the ceremony together: 29 h 15 min)."""
MOST_RUNS: Final = 1000
"""Of the synchronisation, among which one that was applied is looked for."""


class SyncOutcome(StrEnum):
    """How a synchronisation ended; refused: some rows of the feed were; stopped: all of it was."""

    APPLIED = "applied"
    REFUSED = "refused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """Loading requests at one open stage: how many, and since when (Unix seconds) the oldest is."""

    count: int
    since: int | None


@dataclass(frozen=True, slots=True)
class Lately:
    """How many within the last hour, and within the last day."""

    hour: int
    day: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the records say at one moment; times are Unix seconds.

    `open` and `ended` (within a day) hold every open and every final stage. `applied_at` is the
    end of the last synchronisation that was not stopped, None without one among the last
    `MOST_RUNS`; `last_sync` is how the last one ended.
    """

    at: int
    open: Mapping[Stage, OpenRequests]
    ended: Mapping[Stage, int]
    messages: Mapping[tuple[str, SmsStatus], Lately]
    pending_enrolments: int
    cooling_changes: int
    unconfirmed_keys: int
    alarms: Mapping[Alarm, Lately]
    applied_at: int | None
    last_sync: SyncOutcome | None


def read(session: Session, *, now: int) -> Figures:
    """Take all figures in one snapshot; each is a range of an index, but for the open requests."""
    runs = session.exec(
        select(SyncRunRow)
        .where(col(SyncRunRow.finished_at).is_not(None))
        .order_by(col(SyncRunRow.started_at).desc())
        .limit(MOST_RUNS)
    )
    last, applied_at = None, None
    for run in runs:
        last = last or _outcome(run)
        if run.note is None:
            applied_at = run.finished_at
            break
    return Figures(
        at=now,
        open=_open(session),
        ended=_ended(session, now),
        messages=_messages(session, now),
        pending_enrolments=session.exec(
            select(func.count())
            .select_from(CredentialEntryRow)
            .where(col(CredentialEntryRow.state) == CredentialState.PENDING)
        ).one(),
        cooling_changes=session.exec(
            select(func.count())
            .select_from(RegistryChangeRow)
            .where(col(RegistryChangeRow.state) == ChangeState.COOLING)
        ).one(),
        unconfirmed_keys=session.exec(
            select(func.count())
            .select_from(KeyRow)
            .where(col(KeyRow.state) == KeyState.UNCONFIRMED)
        ).one(),
        alarms=_alarms(session, now),
        applied_at=applied_at,
        last_sync=last,
    )


def _open(session: Session) -> Mapping[Stage, OpenRequests]:
    stage = col(LoadingRequestRow.stage)
    rows = session.exec(
        select(stage, func.count(), func.min(LoadingRequestRow.stage_since))
        .where(stage.in_(OPEN))
        .group_by(stage)
    )
    found = {stage: OpenRequests(count, since) for stage, count, since in rows}
    return {stage: found.get(stage, OpenRequests(0, None)) for stage in OPEN}


def _ended(session: Session, now: int) -> Mapping[Stage, int]:
    stage = col(LoadingRequestRow.stage)
    rows = session.exec(
        select(stage, func.count())
        .where(
            stage.in_(FINAL),
            # The index is by this; what was opened before has ended before.
            col(LoadingRequestRow.opened_at) >= now - DAY - LONGEST,
            col(LoadingRequestRow.stage_since) >= now - DAY,
        )
        .group_by(stage)
    )
    return dict.fromkeys(FINAL, 0) | dict(rows.all())


def _messages(session: Session, now: int) -> Mapping[tuple[str, SmsStatus], Lately]:
    purpose, status = col(SmsMessageRow.purpose), col(SmsMessageRow.status)
    begun = col(SmsMessageRow.created_at)
    lately = func.sum(case((begun >= now - HOUR, 1), else_=0))
    rows = session.exec(
        select(purpose, status, lately, func.count())
        .where(begun >= now - DAY)
        .group_by(purpose, status)
    )
    return {(purpose, status): Lately(int(hour), day) for purpose, status, hour, day in rows}


def _alarms(session: Session, now: int) -> Mapping[Alarm, Lately]:
    day, hour = (alarms.counts(session, since=now - span) for span in (DAY, HOUR))
    return {alarm: Lately(hour[alarm], day[alarm]) for alarm in Alarm}


def _outcome(run: SyncRunRow) -> SyncOutcome:
    if run.note is not None:
        return SyncOutcome.STOPPED
    return SyncOutcome.APPLIED if run.refused_json == "[]" else SyncOutcome.REFUSED
