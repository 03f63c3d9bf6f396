"""Settlement: what a terminal's receipt, or its absence, makes of a released key."""

import hmac
import time
from collections.abc import Callable
from typing import Final

from ceremony.eppcertificate import EntryError
from ceremony.messages import SettleCommand, Settlement
from ceremony.reasons import Reason
from ceremony.registry import read_terminal_entry
from ceremony.statements import ReceiptPayload
from ceremony.trust import Trust
from ceremony.verification import StatementError, verify
from keymanagement.archive import Archive
from keymanagement.journal import Journal
from keymanagement.journalerrors import JournalConflict, KeySuperseded
from keymanagement.journalrows import KeyState, ReleaseIntent

_NOT_RELEASED: Final = Settlement(active=False, reason=Reason.RELEASE_REFUSED)


class KeySettlement:
    """Activates a key whose terminal proved it, retires the one before, or leaves both."""

    def __init__(
        self,
        *,
        trust: Trust,
        journal: Journal,
        archive: Archive,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind what a settlement needs; `clock` gives Unix seconds."""
        self._trust = trust
        self._journal = journal
        self._archive = archive
        self._clock = clock

    def settle(self, command: SettleCommand) -> Settlement:
        """Settle a key; repeatable, and the receipt is verified here whatever others say.

        Raises:
            KeyManagementError: if the journal fails; the call may be repeated.
        """
        release = self._journal.release_of(command.request_id)
        if release is None or self._journal.key_of(command.request_id) is None:
            return _NOT_RELEASED
        if command.receipt is None:
            return self._settle(command, KeyState.UNCONFIRMED, Reason.RECEIPT_MISSING)
        refused = self._refusal(command.receipt, release)
        if refused is not None:
            return self._settle(command, KeyState.UNCONFIRMED, refused)
        return self._settle(command, KeyState.ACTIVE, Reason.LOADED)

    def _refusal(self, digest: str, release: ReleaseIntent) -> Reason | None:
        stored = self._archive.statement(digest)
        entries = self._archive.entries(release.terminal_no)
        if stored is None or entries is None:
            return Reason.STATEMENT_MISSING if stored is None else Reason.REGISTRY_CHANGED
        try:
            terminal = read_terminal_entry(entries.terminal, self._trust, now=int(self._clock()))
            receipt = verify(
                stored.text,
                ReceiptPayload,
                (terminal.device_key,),
                audience=self._trust.audience,
            )
        except (EntryError, StatementError) as error:
            return error.reason
        if receipt.digest != digest:
            return Reason.STATEMENT_MISSING
        return self._judge(receipt.payload, release)

    def _judge(self, said: ReceiptPayload, release: ReleaseIntent) -> Reason | None:
        if said.request_id != release.request_id:
            return Reason.WRONG_REQUEST
        if said.terminal_no != release.terminal_no:
            return Reason.WRONG_TERMINAL
        if said.epp_fingerprint != release.epp_fingerprint:
            return Reason.WRONG_EPP
        tokens = {token.token_digest for token in self._journal.tokens_of(release.request_id)}
        if said.token_digest not in tokens:
            return Reason.TOKEN_UNKNOWN
        if said.outcome == "refused" or said.kcv is None:
            return Reason.TERMINAL_REFUSED
        kcv = self._journal.kcv_of(release.request_id)
        return None if hmac.compare_digest(said.kcv, kcv) else Reason.KCV_WRONG

    def _settle(self, command: SettleCommand, state: KeyState, reason: Reason) -> Settlement:
        now = int(self._clock())
        try:
            settled = self._journal.settle(command.request_id, command.receipt, state, now)
        except KeySuperseded:
            return Settlement(active=False, reason=Reason.KEY_SUPERSEDED)
        except JournalConflict:
            # Another receipt came first; this one changes nothing, and is told what stands.
            held = self._journal.key_of(command.request_id)
            active = held is not None and held.state is KeyState.ACTIVE
            kcv = self._journal.kcv_of(command.request_id) if active else None
            return Settlement(
                active=active, reason=Reason.LOADED if active else reason, kcv=kcv
            )
        active = settled.key.state is KeyState.ACTIVE
        kcv = self._journal.kcv_of(command.request_id) if active else None
        self._archive.publish_settlement(settled.key, kcv, settled.retired, now)
        return Settlement(active=active, reason=Reason.LOADED if active else reason, kcv=kcv)
