"""Exporting keys to the ATM back office: which are due, their blocks, and their delivery.

The key worker makes the blocks (`KeyExporting`, on its queue); the ceremony worker finds out what
is due and delivers it (`KeyDeliveries`), and holds neither key.
"""

import hmac
import time
from collections.abc import Callable
from typing import Final, Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from ceremony.keyexport import (
    ExportAnswer,
    ExportMessage,
    ExportProblem,
    ExportRefused,
    ExportState,
    ExportUnavailable,
)
from ceremony.messages import (
    DueExports,
    DueKey,
    ExportCommand,
    ExportDelivery,
    ExportOutcome,
    ExportPage,
)
from keymanagement.journalrows import HeldKey
from keymanagement.keyexport import KeyExport
from keymanagement.port import ExportedKey
from records import audit, keyexports, keystore
from records.database import Database
from records.tables.audit_event import ActorKind
from records.tables.key import KeyRow, KeyState
from records.tables.key_export import KeyExportRow

MOST_DUE: Final = 100
"""Of a page: a workflow's message stays small."""


class BackOffice(Protocol):
    """The back office as its gateway speaks to it."""

    def deliver(self, message: ExportMessage) -> ExportAnswer:
        """Send an export, and give what the back office says it stored.

        Raises:
            ExportRefused: it will never take it.
            ExportUnavailable: nothing is known; the same message again, later.
        """
        ...


class ExportRecords:
    """Answers `keymanagement.keyexport.ExportArchive` from the records."""

    def __init__(self, database: Database) -> None:
        """Bind the records."""
        self._database = database

    def publish_export(
        self, terminal_no: str, key: HeldKey, exported: ExportedKey, now: int
    ) -> str:
        """Publish a block unless the request has one; give the published one's digest."""
        with self._database.write() as session:
            row, new = keyexports.publish(
                session,
                KeyExportRow(
                    request_id=key.request_id,
                    terminal_no=terminal_no,
                    algorithm=key.algorithm.value,
                    block=exported.block.decode("ascii"),
                    block_digest=exported.digest,
                    export_key_check=exported.check,
                    state=ExportState.PENDING,
                    exported_at=now,
                ),
            )
            if new:
                audit.write(
                    session,
                    "key-exported",
                    at=now,
                    actor_kind=ActorKind.KEY_WORKER,
                    request_id=key.request_id,
                    terminal_no=terminal_no,
                    detail={"block": exported.digest, "export_key": exported.check},
                )
        return row.block_digest

    def withdraw_export(self, request_id: str, now: int) -> None:
        """Take away what was not confirmed of a key that may not be exported."""
        with self._database.write() as session:
            keyexports.withdraw(session, request_id, now=now)


class KeyExporting:
    """The key worker's activity; whoever asks is believed for nothing."""

    def __init__(self, export: KeyExport) -> None:
        """Bind the export."""
        self._export = export

    @activity.defn(no_thread_cancel_exception=True)
    def export_key(self, command: ExportCommand) -> ExportOutcome:
        """Wrap an active key for the back office, or say why not."""
        return self._export.export(command)


class KeyDeliveries:
    """The ceremony worker's activities: what is due, and bringing it to the back office."""

    def __init__(
        self,
        database: Database,
        office: BackOffice | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind the records and the back office; None where exports are fetched as files."""
        self._database = database
        self._office = office
        self._clock = clock

    @activity.defn(no_thread_cancel_exception=True)
    def due_exports(self, page: ExportPage) -> DueExports:
        """The next proved keys that the back office does not have, by request id."""
        with self._database.read() as session:
            rows = keyexports.due(session, after=page.after, limit=MOST_DUE)
        keys = tuple(DueKey(request_id=one.request_id, wrapped=one.wrapped) for one in rows)
        return DueExports(keys=keys, after=rows[-1].request_id if len(rows) == MOST_DUE else None)

    @activity.defn(no_thread_cancel_exception=True)
    def deliver_export(self, command: ExportCommand) -> ExportDelivery:
        """Send one export and note the answer; the same call again sends the same bytes.

        Raises:
            ApplicationError: the back office cannot be reached or does not know; Temporal asks
                again. Not to be tried again if no back office is configured.
        """
        if self._office is None:
            raise ApplicationError("no back office is configured", non_retryable=True)
        found = self._begin(command.request_id)
        if found is None:
            return self._standing(command.request_id)
        export, key = found
        try:
            answer = self._office.deliver(message_of(export))
        except ExportRefused as error:
            return self._settle(export, ExportState.REFUSED, str(error))
        except ExportUnavailable as error:
            raise ApplicationError(f"the back office: {error}", type="ExportUnavailable") from None
        return self._judge(answer, export, key)

    def take_answer(self, answer: ExportAnswer) -> ExportDelivery:
        """Note an answer that came by another way than HTTP, and give where the export stands."""
        with self._database.read() as session:
            export = keyexports.find(session, answer.request_id)
            key = keystore.key(session, answer.request_id)
        if export is None or key is None:
            return ExportDelivery(state=None)
        return self._judge(answer, export, key)

    def _judge(self, answer: ExportAnswer, export: KeyExportRow, key: KeyRow) -> ExportDelivery:
        problem = _problem(answer, export, key)
        if problem is not None:
            return self._settle(export, ExportState.REFUSED, problem)
        return self._settle(export, ExportState.CONFIRMED, None)

    def _begin(self, request_id: str) -> tuple[KeyExportRow, KeyRow] | None:
        """Note the attempt; None if there is nothing to send, or no key that may be brought."""
        with self._database.write() as session:
            export, key = keyexports.find(session, request_id), keystore.key(session, request_id)
            if export is None or key is None:
                return None
            if key.state is not KeyState.ACTIVE or key.kcv is None:
                return None
            if not keyexports.sent(session, request_id, now=int(self._clock())):
                return None
        return export, key

    def _settle(
        self, export: KeyExportRow, state: ExportState, reason: str | None
    ) -> ExportDelivery:
        now = int(self._clock())
        with self._database.write() as session:
            if keyexports.settle(
                session, export.request_id, export.block_digest, state, reason, now=now
            ):
                audit.write(
                    session,
                    f"key-export-{state}",
                    at=now,
                    actor_kind=ActorKind.BACK_OFFICE,
                    request_id=export.request_id,
                    terminal_no=export.terminal_no,
                    reason=reason,
                    detail={"block": export.block_digest},
                )
        return self._standing(export.request_id)

    def _standing(self, request_id: str) -> ExportDelivery:
        with self._database.read() as session:
            row = keyexports.find(session, request_id)
        return ExportDelivery(
            state=None if row is None else row.state, reason=None if row is None else row.reason
        )


def message_of(export: KeyExportRow) -> ExportMessage:
    """What the back office is sent of an export, over HTTP or in a file."""
    return ExportMessage(
        request_id=export.request_id,
        terminal_no=export.terminal_no,
        algorithm=export.algorithm,
        key_block=export.block,
        key_block_digest=export.block_digest,
        exported_at=export.exported_at,
    )


def _problem(answer: ExportAnswer, export: KeyExportRow, key: KeyRow) -> ExportProblem | None:
    if answer.request_id != export.request_id:
        return ExportProblem.WRONG_REQUEST
    if not hmac.compare_digest(answer.key_block_digest, export.block_digest):
        return ExportProblem.WRONG_DIGEST
    if key.kcv is None or not hmac.compare_digest(answer.kcv, key.kcv):
        return ExportProblem.WRONG_KCV
    return None
