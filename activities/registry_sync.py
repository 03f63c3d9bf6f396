"""Synchronising the registry with the ATM back office: read, verify, plan, apply, report.

The source is the worker's, never the caller's. Every entry is verified before it is planned;
one bad row never stops the rest; the whole plan is applied in one transaction or not at all.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Final, Protocol

from sqlmodel import Session
from temporalio import activity

from ceremony.eppcertificate import EntryError
from ceremony.feed import FeedItem, FeedReading, NotModified
from ceremony.keyclaims import key_claims
from ceremony.messages import ChangeOrder, SyncOrder, SyncRefusal, SyncReport
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, read_terminal_entry
from ceremony.revocations import Subject
from ceremony.statements import RemovalOrderPayload, TerminalEntry
from ceremony.syncplan import (
    DEFAULT_LIMITS,
    SyncLimits,
    SyncPlan,
    SyncStopped,
    plan_sync,
    plan_unmodified,
)
from ceremony.syncrows import FeedRow, IndexedTerminal, LaterEntry
from ceremony.trust import Trust
from ceremony.verification import StatementError, Verified, peek, verify
from records import (
    attempts,
    audit,
    projection,
    registrychanges,
    revocations,
    syncruns,
    terminalentries,
)
from records.database import Database
from records.entryrows import terminal_row
from records.tables.audit_event import ActorKind
from records.tables.sync_run import SyncRunRow
from records.tables.terminal_entry import TerminalEntryRow
from records.turns import Turn, take_turn

MAX_REPORTED: Final = 1000
MAX_STARTED: Final = 200
"""Changes that one run starts again, first those that nobody was shown; the next starts others."""


class RegistrySource(Protocol):
    """Where terminal entries come from."""

    def read(self, known: str | None = None) -> FeedReading | NotModified:
        """Start a reading, or find the source as it was when it gave the tag `known`.

        Raises:
            FeedError: the source cannot be read as a whole; the items may raise it too.
        """
        ...


class RegistrySynchroniser:
    """The ceremony worker's activity that brings the registry up to the back office's word."""

    def __init__(
        self,
        database: Database,
        trust: Trust,
        source: RegistrySource,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind the records, the trust file, the source and a clock."""
        self._database = database
        self._trust = trust
        self._source = source
        self._clock = clock

    @activity.defn
    def synchronise(self, order: SyncOrder) -> SyncReport:
        """Read the source once and apply what it says.

        Raises:
            FeedError: the source cannot be read; nothing was changed, Temporal asks again.
        """
        return self.run(order, activity.info().workflow_run_id or "")

    def run(self, order: SyncOrder, run_id: str) -> SyncReport:
        """Do the synchronisation of this run; a run that has finished is reported, not repeated.

        Raises:
            FeedError: the source cannot be read; nothing was changed.
        """
        now = int(self._clock())
        with self._database.write() as session:
            started, _ = syncruns.start(session, run_id, now=now)
            if started.finished_at is not None:
                return _as_finished(session, started)
            known = syncruns.latest_tag(session)
        rows, tag = self._rows(known, now)
        with self._database.write() as session:
            take_turn(session, Turn.TERMINALS)
            try:
                plan = self._plan(session, rows, order, now)
            except SyncStopped as stopped:
                changes = _waiting(session)
                report = SyncReport(run_id=run_id, stopped=stopped.reason, changes=changes)
                self._finish(session, report, None, now)
                return report
            ended = self._apply(session, plan, run_id, now)
            report = _report(run_id, plan, ended, _waiting(session))
            self._finish(session, report, None if plan.refused else tag, now)
            return report

    def _rows(self, known: str | None, now: int) -> tuple[list[FeedRow] | None, str | None]:
        reading = self._source.read(known)
        if isinstance(reading, NotModified):
            return None, reading.tag
        with self._database.read() as session:
            taken = revocations.highest_of(session, self._trust, Subject.TERMINAL)
        return [self._row(item, taken, now) for item in reading.items], reading.tag

    def _row(self, item: FeedItem, taken: Mapping[str, int], now: int) -> FeedRow:
        if item.envelope is None:
            return FeedRow.refused(item.position, item.problem or Reason.MALFORMED)
        try:
            terminal = read_terminal_entry(item.envelope, self._trust, now=now)
        except EntryError as error:
            return FeedRow.refused(item.position, error.reason, _claimed(item.envelope))
        number = terminal.entry.terminal_no
        if terminal.entry.seq <= taken.get(number, -1):
            return FeedRow.refused(item.position, Reason.ENTRY_REVOKED, number)
        return FeedRow.read(item.position, terminal)

    def _plan(
        self, session: Session, rows: list[FeedRow] | None, order: SyncOrder, now: int
    ) -> SyncPlan:
        index = _index(session)
        if rows is None:
            return plan_unmodified(index)
        cooling_off = self._trust.cooling_off_seconds > 0
        try:
            return plan_sync(index, rows, cooling_off=cooling_off)
        except SyncStopped:
            said = self._ordered(order, now)
            if said is None:
                raise
            most = max(said.payload.most, DEFAULT_LIMITS.removal_floor)
            plan = plan_sync(index, rows, limits=SyncLimits(0, most), cooling_off=cooling_off)
            # One order, one run: it may not be kept for another day.
            if attempts.use(session, f"removal-order/{said.digest}", 1) is None:
                raise
            return plan

    def _ordered(self, order: SyncOrder, now: int) -> Verified[RemovalOrderPayload] | None:
        if order.order is None:
            return None
        try:
            said = verify(
                order.order,
                RemovalOrderPayload,
                self._trust.officer_keys,
                audience=self._trust.audience,
            )
        except StatementError:
            return None
        return None if said.payload.expires_at <= now else said

    def _apply(self, session: Session, plan: SyncPlan, run_id: str, now: int) -> tuple[str, ...]:
        concerned: list[str] = []
        for event, terminals in (("added", plan.added), ("changed", plan.changed)):
            for terminal in terminals:
                terminalentries.put_terminal_entry(session, terminal_row(terminal, now=now))
                self._audit(session, f"terminal-{event}", terminal.entry.terminal_no, run_id, now)
                concerned.append(terminal.entry.terminal_no)
        for terminal in plan.waiting:
            row = terminal_row(terminal, now=now)
            terminalentries.put_waiting_terminal(session, row, now=now)
            self._audit(session, "terminal-change-begun", terminal.entry.terminal_no, run_id, now)
        for terminal_no in plan.removed:
            terminalentries.withdraw_terminal(session, terminal_no, now=now)
            self._audit(session, "terminal-removed", terminal_no, run_id, now)
            concerned.append(terminal_no)
        return _with_open_request(session, concerned)

    def _audit(self, session: Session, event: str, terminal_no: str, run_id: str, now: int) -> None:
        audit.write(
            session,
            event,
            at=now,
            actor_kind=ActorKind.BACK_OFFICE,
            terminal_no=terminal_no,
            detail={"run": run_id},
        )

    def _finish(self, session: Session, report: SyncReport, tag: str | None, now: int) -> None:
        syncruns.finish(
            session,
            report.run_id,
            now=now,
            added=report.added,
            changed=report.changed,
            removed=report.removed,
            unchanged=report.unchanged,
            refused=[(one.terminal_no or one.position, one.reason) for one in report.refused],
            note=report.stopped,
            tag=tag,
        )


def _with_open_request(session: Session, terminals: Iterable[str]) -> tuple[str, ...]:
    return tuple(no for no in terminals if projection.open_for_terminal(session, no) is not None)


def _as_finished(session: Session, run: SyncRunRow) -> SyncReport:
    # The run that applied it died before it could say so; its open requests must still be told.
    concerned = dict.fromkeys(
        event.terminal_no
        for event in audit.of_detail(session, {"run": run.run_id})
        if event.terminal_no
    )
    return SyncReport(
        run_id=run.run_id,
        added=run.added,
        changed=run.changed,
        unchanged=run.unchanged,
        removed=run.removed,
        refused=tuple(_refusals_of(run)),
        ended=_with_open_request(session, concerned),
        changes=_waiting(session),
        stopped=None if run.note is None else Reason(run.note),
    )


def _refusals_of(run: SyncRunRow) -> Iterator[SyncRefusal]:
    for one in json.loads(run.refused_json):
        yield SyncRefusal(
            position=one["terminal_no"], terminal_no=None, reason=Reason(one["reason"])
        )


def _waiting(session: Session) -> tuple[ChangeOrder, ...]:
    return tuple(
        ChangeOrder(subject=Subject(row.subject), name=row.name, digest=row.digest)
        for row in registrychanges.to_start(session, limit=MAX_STARTED)
    )


def _index(session: Session) -> list[IndexedTerminal]:
    newest = {row.terminal_no: row for row in terminalentries.newest_terminals(session)}
    cooling = registrychanges.cooling_digests(session, Subject.TERMINAL)
    return [
        _indexed(row, _later(newest[row.terminal_no], row, cooling))
        for row in terminalentries.newest_terminals(session, in_effect=True)
    ]


def _later(newest: TerminalEntryRow, row: TerminalEntryRow, cooling: Set[str]) -> LaterEntry | None:
    if newest.seq <= row.seq:
        return None
    claims = key_claims(newest.epp_key_fingerprint, newest.device_kid)
    return LaterEntry(newest.digest, newest.seq, newest.digest in cooling, claims)


def _indexed(row: TerminalEntryRow, later: LaterEntry | None) -> IndexedTerminal:
    return IndexedTerminal(
        terminal_no=row.terminal_no,
        digest=row.digest,
        seq=row.seq,
        epp_key_fingerprint=row.epp_key_fingerprint,
        epp_fingerprint=row.epp_fingerprint,
        device_kid=row.device_kid,
        first=row.first_person,
        second=row.second_person,
        in_force=row.current,
        later=later,
    )


def _claimed(envelope: str) -> str | None:
    try:
        claimed = peek(envelope_statements(envelope)[0]).payload
    except (EntryError, StatementError):
        return None
    return claimed.terminal_no if isinstance(claimed, TerminalEntry) else None


def _report(
    run_id: str, plan: SyncPlan, ended: tuple[str, ...], changes: tuple[ChangeOrder, ...]
) -> SyncReport:
    return SyncReport(
        run_id=run_id,
        added=len(plan.added),
        changed=len(plan.changed),
        unchanged=len(plan.unchanged),
        removed=len(plan.removed),
        refused=tuple(_refusals(plan)),
        ended=ended,
        waiting=len(plan.waiting),
        changes=changes,
    )


def _refusals(plan: SyncPlan) -> Iterator[SyncRefusal]:
    for row in plan.refused[:MAX_REPORTED]:
        yield SyncRefusal(position=row.position, terminal_no=row.terminal_no, reason=row.reason)
