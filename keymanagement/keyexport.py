"""The key worker's export of a key to the ATM back office: only of one that its terminal proved.

Whoever can write to Temporal may ask for it; the journal alone says whether the key is active. What
goes out is a key block under the export key, which nobody but the back office opens; that it
leaves the key worker at all is why an operator has to give it an export key.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from ceremony.keyexport import ExportProblem
from ceremony.messages import ExportCommand, ExportOutcome
from keymanagement.exporter import KeyExporter
from keymanagement.journal import Journal
from keymanagement.journalrows import HeldKey, KeyState
from keymanagement.port import ExportedKey, HostCopyInvalid, KeyBinding

_log = logging.getLogger("keyfill.keyexport")


class ExportArchive(Protocol):
    """Where exported blocks are published, find-or-create."""

    def publish_export(
        self, terminal_no: str, key: HeldKey, exported: ExportedKey, now: int
    ) -> str:
        """Publish a block unless the request has one; the digest of the one that is published."""
        ...

    def withdraw_export(self, request_id: str, now: int) -> None:
        """Take away the request's block, unless the back office confirmed it."""
        ...


class KeyExport:
    """Wraps keys that their terminals proved for the back office, once each."""

    def __init__(
        self,
        *,
        journal: Journal,
        exporter: KeyExporter | None,
        archive: ExportArchive,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind what an export needs; no `exporter` if there is no export key, or no way to wrap."""
        self._journal = journal
        self._exporter = exporter
        self._archive = archive
        self._clock = clock

    def export(self, command: ExportCommand) -> ExportOutcome:
        """Wrap and publish a request's key, or say why not; repeatable.

        A key that officers settled is not exported before its terminal's receipt: no KCV on record
        would tell the back office's right answer from a wrong one.

        Raises:
            JournalCorrupt: if the journal fails.
        """
        held = self._journal.key_of(command.request_id)
        release = self._journal.release_of(command.request_id)
        if held is None or release is None:
            return ExportOutcome(refused=ExportProblem.KEY_NOT_ACTIVE)
        if not _is_proved(held):
            return self._withdrawn(command.request_id)
        if self._exporter is None:
            return ExportOutcome(refused=ExportProblem.EXPORT_OFF)
        binding = KeyBinding(release.terminal_no, command.request_id)
        try:
            exported = self._exporter.export(held.host_block, held.algorithm, binding)
        except HostCopyInvalid:
            _log.exception(
                "key of request %(request_id)s is not exported",
                {"request_id": command.request_id},
            )
            return ExportOutcome(refused=ExportProblem.HOST_COPY_INVALID)
        digest = self._archive.publish_export(
            release.terminal_no, held, exported, int(self._clock())
        )
        # Published beside an order or a receipt, it would be a copy that nothing takes away.
        if not _is_proved(self._journal.key_of(command.request_id)):
            return self._withdrawn(command.request_id)
        if digest == exported.digest:
            _log.info(
                "key of request %(request_id)s exported as block %(digest)s",
                {"request_id": command.request_id, "digest": digest},
            )
        return ExportOutcome(block_digest=digest)

    def _withdrawn(self, request_id: str) -> ExportOutcome:
        self._archive.withdraw_export(request_id, int(self._clock()))
        return ExportOutcome(refused=ExportProblem.KEY_NOT_ACTIVE)


def _is_proved(held: HeldKey | None) -> bool:
    return held is not None and held.state is KeyState.ACTIVE and held.receipt_digest is not None
