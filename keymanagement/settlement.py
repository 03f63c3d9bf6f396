"""Settlement: what a terminal's receipt, or its absence, makes of a released key."""

import hmac
import time
from collections.abc import Callable
from typing import Final

from ceremony.eppcertificate import EntryError
from ceremony.keylife import LOST
from ceremony.messages import SettleCommand, Settlement
from ceremony.reasons import Reason
from ceremony.registry import read_terminal_entry
from ceremony.statements import ReceiptPayload
from ceremony.trust import Trust
from ceremony.verification import StatementError, Verified, verify
from keymanagement.archive import Archive
from keymanagement.entries import recall_assignment, rely_on_terminal
from keymanagement.journal import Journal
from keymanagement.journalerrors import JournalConflict, KeySuperseded
from keymanagement.journalrows import HeldKey, KeyState, ReleaseIntent
from keymanagement.port import KeyManagementError
from keymanagement.registrymemory import heed_revocations

WRONG_KCVS: Final = 5
"""Wrong KCVs of one key that are looked at: three bytes must not be found by trying."""
_NOT_RELEASED: Final = Settlement(active=False, reason=Reason.RELEASE_REFUSED)
_CONFIRMED: Final = frozenset({KeyState.ACTIVE, KeyState.RETIRED})


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
        held = self._journal.key_of(command.request_id)
        if release is None or held is None:
            return _NOT_RELEASED
        if held.state in LOST:
            return self._lost(held)
        if _is_confirmed(held) and held.receipt_digest == command.receipt:
            # The same receipt, the same answer, whatever the registry says by now.
            return self._settle(command, KeyState.ACTIVE, Reason.LOADED)
        if command.receipt is None:
            return self._settle(command, KeyState.UNCONFIRMED, Reason.RECEIPT_MISSING)
        refused = self._refusal(command.receipt, release)
        if refused is not None:
            return self._settle(command, KeyState.UNCONFIRMED, refused)
        return self._settle(command, KeyState.ACTIVE, Reason.LOADED)

    def _refusal(self, digest: str, release: ReleaseIntent) -> Reason | None:
        stored = self._archive.statement(digest)
        if stored is None:
            return Reason.STATEMENT_MISSING
        # The terminal's entry alone: what its administrators may by now is nothing to its key.
        entry = self._archive.terminal_entry(release.terminal_no)
        if entry is None:
            return Reason.REGISTRY_CHANGED
        try:
            terminal = read_terminal_entry(entry, self._trust, now=int(self._clock()))
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
        if terminal.entry.terminal_no != release.terminal_no:
            return Reason.WRONG_TERMINAL
        heed_revocations(self._trust, self._journal, self._archive, terminal)
        recall_assignment(self._journal, self._archive, release.terminal_no)
        try:
            rely_on_terminal(self._journal, terminal, self._trust, now=int(self._clock()))
        except KeyManagementError as error:
            if error.reason is None:
                raise
            return error.reason
        return self._judge(receipt, release)

    def _judge(self, receipt: Verified[ReceiptPayload], release: ReleaseIntent) -> Reason | None:
        said = receipt.payload
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
        right = hmac.compare_digest(said.kcv, self._journal.kcv_of(release.request_id))
        return None if self._counts(receipt.digest, release, right=right) else Reason.KCV_WRONG

    def _counts(self, receipt: str, release: ReleaseIntent, *, right: bool) -> bool:
        guesses = f"kcv/{release.request_id}"
        held = self._journal.key_of(release.request_id)
        if not right and (held is None or held.receipt_digest != receipt):
            self._journal.count_wrong_code(guesses)
        return right and self._journal.wrong_codes(guesses) < WRONG_KCVS

    def _settle(self, command: SettleCommand, state: KeyState, reason: Reason) -> Settlement:
        now = int(self._clock())
        try:
            settled = self._journal.settle(command.request_id, command.receipt, state, now)
        except KeySuperseded:
            return self._settle(command, KeyState.UNCONFIRMED, Reason.KEY_SUPERSEDED)
        except JournalConflict:
            # Another receipt came first; this one changes nothing, and is told what stands.
            held = self._journal.key_of(command.request_id)
            if held is None or held.state is not KeyState.ACTIVE:
                return Settlement(active=False, reason=Reason.KEY_SUPERSEDED)
            if not _is_confirmed(held):
                return Settlement(active=False, reason=reason)
            return self._confirmed(command.request_id)
        # A key that was retired since had been confirmed, unless officers settled it.
        if not _is_confirmed(settled.key):
            self._archive.publish_settlement(settled.key, None, settled.retired, now)
            return Settlement(active=False, reason=reason)
        answer = self._confirmed(command.request_id)
        self._archive.publish_settlement(settled.key, answer.kcv, settled.retired, now)
        return answer

    def _lost(self, held: HeldKey) -> Settlement:
        self._archive.publish_settlement(held, None, (), int(self._clock()))
        destroyed = held.state is KeyState.DESTROYED
        reason = Reason.KEY_DESTROYED if destroyed else Reason.KEY_COMPROMISED
        return Settlement(active=False, reason=reason)

    def _confirmed(self, request_id: str) -> Settlement:
        kcv = self._journal.kcv_of(request_id)
        return Settlement(active=True, reason=Reason.LOADED, kcv=kcv)


def _is_confirmed(held: HeldKey) -> bool:
    """Whether a receipt proved the key; only then may its check value leave."""
    return held.state in _CONFIRMED and held.receipt_digest is not None
