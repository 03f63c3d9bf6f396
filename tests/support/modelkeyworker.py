"""A model of the key worker: the real release rule, and dictionaries for its journal."""

from dataclasses import dataclass, field

from ceremony.encoding import sha256_hex
from ceremony.reasons import Reason
from ceremony.release_rule import (
    Entries,
    Grant,
    ReleaseRefused,
    ReleaseSecrets,
    Statements,
    confirmed,
    may_release,
    may_rewrap,
)
from ceremony.state import CONFIRMATION_TRIES, REWRAPS
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
    """Makes at most one key a request, and only if the release rule grants it.

    `wrong` holds, for each request, the confirmations that came with a wrong approval code.
    """

    trust: Trust
    secrets: ReleaseSecrets
    journal: dict[str, JournalRow] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    wrong: dict[str, set[str]] = field(default_factory=dict)

    def release(self, case: Statements, entries: Entries, request_id: str, *, now: int) -> str:
        """Give the token's digest for this confirmation; the same one for the same.

        Raises:
            ReleaseRefused: if the rule does not grant it, or tries or re-wraps are used up.
        """
        row = self.journal.get(request_id)
        rule = may_release if row is None else may_rewrap
        proved = rule(case, entries, self.trust, self.secrets, now=now)
        if proved.request_id != request_id:
            raise ReleaseRefused(Reason.WRONG_REQUEST)
        confirmation = proved.confirmation.digest
        wrong = self.wrong.setdefault(request_id, set())
        if len(wrong | {confirmation}) > CONFIRMATION_TRIES:
            raise ReleaseRefused(Reason.CONFIRMATION_TRIES_EXHAUSTED)
        wrong.add(confirmation)
        grant = confirmed(proved, case.approval_code, self.secrets)
        wrong.remove(confirmation)
        if row is None:
            row = JournalRow(sha256_hex(f"key {request_id}".encode()), grant)
            self.journal[request_id] = row
            self.made.append(request_id)
        if confirmation not in row.tokens:
            if len(row.tokens) > REWRAPS:
                raise ReleaseRefused(Reason.REWRAPS_EXHAUSTED)
            row.tokens[confirmation] = sha256_hex(f"{row.key} {confirmation}".encode())
        return row.tokens[confirmation]

    def active(self, receipt: ReceiptPayload) -> bool:
        """Whether this receipt proves the key."""
        row = self.journal[receipt.request_id]
        return receipt.outcome == "loaded" and receipt.kcv == row.kcv
