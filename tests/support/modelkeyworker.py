"""A model of the key worker: the real release rule, and a dictionary for its journal."""

from dataclasses import dataclass, field

from ceremony.encoding import sha256_hex
from ceremony.reasons import Reason
from ceremony.release_rule import (
    Entries,
    Grant,
    ReleaseRefused,
    ReleaseSecrets,
    Statements,
    may_release,
    may_rewrap,
)
from ceremony.state import REWRAPS
from ceremony.statements import ReceiptPayload
from ceremony.trust import Trust


@dataclass
class JournalRow:
    """One key: what it was granted for, and its tokens by the digest of the confirmation."""

    key: str
    grant: Grant
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def kcv(self) -> str:
        """The key's check value."""
        return self.key[:6]


@dataclass
class ModelKeyWorker:
    """Makes at most one key a request, and only if the release rule grants it."""

    trust: Trust
    secrets: ReleaseSecrets
    journal: dict[str, JournalRow] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def release(self, case: Statements, entries: Entries, request_id: str, *, now: int) -> str:
        """Give the token's digest for this confirmation; the same one for the same.

        Raises:
            ReleaseRefused: if the rule does not grant it, or the re-wraps are used up.
        """
        row = self.journal.get(request_id)
        if row is None:
            grant = may_release(case, entries, self.trust, self.secrets, now=now)
            if grant.request_id != request_id:
                raise ReleaseRefused(Reason.WRONG_REQUEST)
            row = JournalRow(sha256_hex(f"key {request_id}".encode()), grant)
            self.journal[request_id] = row
            self.made.append(request_id)
        else:
            grant = may_rewrap(case, entries, self.trust, self.secrets, now=now)
        confirmation = grant.confirmation.digest
        if confirmation not in row.tokens:
            if len(row.tokens) > REWRAPS:
                raise ReleaseRefused(Reason.REWRAPS_EXHAUSTED)
            row.tokens[confirmation] = sha256_hex(f"{row.key} {confirmation}".encode())
        return row.tokens[confirmation]

    def active(self, receipt: ReceiptPayload) -> bool:
        """Whether this receipt proves the key."""
        row = self.journal[receipt.request_id]
        return receipt.outcome == "loaded" and receipt.kcv == row.kcv
