"""The archive port: where the key worker reads what it will verify, and publishes what it did.

What comes out of an archive is believed for nothing: texts are verified, codes recomputed. What
goes in is a copy for others; the journal alone decides.
"""

from dataclasses import dataclass
from typing import Protocol

from ceremony.codes import TypedCode
from ceremony.keyorders import KeyOrder
from ceremony.release_rule import Entries
from ceremony.revocations import Subject
from keymanagement.journalrows import HeldKey, IssuedToken
from keymanagement.orderrows import CarriedOrder


@dataclass(frozen=True, slots=True)
class ArchivedStatement:
    """A statement text as received, the typed code that came with it, and its QR code's numbers."""

    text: str
    code: TypedCode | None = None
    qr_n: int | None = None
    qr_expires_at: int | None = None


class Archive(Protocol):
    """Reads statements and registry entries, and publishes keys and tokens, find-or-create."""

    def statement(self, digest: str) -> ArchivedStatement | None:
        """The statement stored under this digest."""
        ...

    def entries(self, terminal_no: str) -> Entries | None:
        """The envelopes in force for a terminal and its two administrators."""
        ...

    def terminal_entry(self, terminal_no: str) -> str | None:
        """The envelope in force for a terminal, whatever became of its administrators."""
        ...

    def entry(self, subject: Subject, digest: str) -> str | None:
        """The envelope of this digest, unless it waits for signatures or was withdrawn."""
        ...

    def withdrawn_entry(self, subject: Subject, digest: str) -> str | None:
        """The envelope of this digest, if it was withdrawn before it took effect."""
        ...

    def newest(self, subject: Subject, after: str, limit: int) -> list[tuple[str, int]]:
        """Names and highest `seq` in the index, of the next subjects by name."""
        ...

    def entries_above(self, subject: Subject, name: str, seq: int) -> list[str]:
        """The envelopes of a subject's entries above a `seq`, lowest first, newest if too many."""
        ...

    def revocations_of(self, subject: Subject, name: str) -> list[str]:
        """The texts of the revocations on record about a terminal or a person."""
        ...

    def revocations(self, after: str, limit: int) -> list[tuple[str, str]]:
        """Digests and texts of the next revocations, by digest."""
        ...

    def has_ended(self, request_id: str) -> bool:
        """Whether the records say that the loading request has ended, for instance cancelled."""
        ...

    def publish_token(self, terminal_no: str, key: HeldKey, token: IssuedToken) -> None:
        """Publish a released key (host's copy, release record) and one of its tokens."""
        ...

    def publish_settlement(
        self, key: HeldKey, kcv: str | None, retired: tuple[HeldKey, ...], now: int
    ) -> None:
        """Publish a key's state, its KCV if it was confirmed, and the keys it retired."""
        ...

    def publish_order(
        self,
        order: KeyOrder,
        carried: CarriedOrder,
        key: HeldKey | None,
        retired: tuple[HeldKey, ...],
        now: int,
    ) -> None:
        """Publish what an order came to, and where its key stands now; once in the audit trail.

        A lost key's tokens are withdrawn, a destroyed key's block is erased.
        """
        ...

    def publish_duplicate(self, request_id: str, terminal_no: str, first: str, now: int) -> None:
        """Tell the audit trail, once, that a request's key was that of another request."""
        ...
