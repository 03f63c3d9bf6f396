"""What surrounds a key worker on a bench: an archive with a memory, a counting manager, a wire."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ceremony.codes import TypedCode
from ceremony.eppcertificate import EntryError
from ceremony.keyorders import KeyOrder
from ceremony.qr import QrContents
from ceremony.registry import envelope_statements
from ceremony.release_rule import Entries
from ceremony.revocations import Subject
from ceremony.verification import Verified, peek
from keymanagement.archive import ArchivedStatement
from keymanagement.journalrows import HeldKey, IssuedToken
from keymanagement.observer import Operation, Outcome
from keymanagement.orderrows import CarriedOrder
from keymanagement.port import CreatedKey, KeyAlgorithm, KeyBinding, KeyUsage
from keymanagement.software import SoftwareKeyManager
from tests.support.keytokens import sample_kdh

KEK: Final = bytes(range(32))


@dataclass
class MemoryArchive:
    """An archive in memory; `tokens`, `keys` and `settled` are what was published, in order.

    `registry` is what is in force; `shown` what else is on record, by subject and `seq`, and
    `revoked` the revocations by digest; `withdrawn` the digests of changes that were withdrawn.
    """

    statements: dict[str, ArchivedStatement] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    registry: dict[str, Entries] = field(default_factory=dict)
    shown: dict[tuple[Subject, str], dict[int, str]] = field(default_factory=dict)
    revoked: dict[str, str] = field(default_factory=dict)
    tokens: list[IssuedToken] = field(default_factory=list)
    keys: list[HeldKey] = field(default_factory=list)
    settled: list[tuple[HeldKey, str | None, tuple[HeldKey, ...]]] = field(default_factory=list)
    orders: list[tuple[KeyOrder, CarriedOrder, HeldKey | None, tuple[HeldKey, ...]]] = field(
        default_factory=list
    )
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)

    def statement(self, digest: str) -> ArchivedStatement | None:
        """See `keymanagement.archive.Archive`."""
        return self.statements.get(digest)

    def entries(self, terminal_no: str) -> Entries | None:
        """See `keymanagement.archive.Archive`."""
        return self.registry.get(terminal_no)

    def terminal_entry(self, terminal_no: str) -> str | None:
        """See `keymanagement.archive.Archive`."""
        entries = self.registry.get(terminal_no)
        return None if entries is None else entries.terminal

    def entry(self, subject: Subject, digest: str) -> str | None:
        """See `keymanagement.archive.Archive`; `digest` is believed, as rows may lie."""
        return None if digest in self.withdrawn else self._entry(subject, digest)

    def withdrawn_entry(self, subject: Subject, digest: str) -> str | None:
        """See `keymanagement.archive.Archive`."""
        return self._entry(subject, digest) if digest in self.withdrawn else None

    def _entry(self, subject: Subject, digest: str) -> str | None:
        rows = (row for (one, _), row in self.shown.items() if one is subject)
        texts = [text for row in rows for text in row.values()]
        return next((text for text in texts if _digest_of(text) == digest), None)

    def newest(self, subject: Subject, after: str, limit: int) -> list[tuple[str, int]]:
        """See `keymanagement.archive.Archive`."""
        found = {name: max(rows) for (one, name), rows in self.shown.items() if one is subject}
        return sorted((name, seq) for name, seq in found.items() if name > after)[:limit]

    def entries_above(self, subject: Subject, name: str, seq: int) -> list[str]:
        """See `keymanagement.archive.Archive`."""
        rows = self.shown.get((subject, name), {})
        return [text for one, text in sorted(rows.items()) if one > seq]

    def revocations_of(self, subject: Subject, name: str) -> list[str]:
        """See `keymanagement.archive.Archive`; here all of them, whoever they are about."""
        del subject, name
        return list(self.revoked.values())

    def revocations(self, after: str, limit: int) -> list[tuple[str, str]]:
        """See `keymanagement.archive.Archive`."""
        return sorted(one for one in self.revoked.items() if one[0] > after)[:limit]

    def has_ended(self, request_id: str) -> bool:
        """See `keymanagement.archive.Archive`."""
        return request_id in self.ended

    def publish_token(self, terminal_no: str, key: HeldKey, token: IssuedToken) -> None:
        """See `keymanagement.archive.Archive`."""
        del terminal_no
        if token not in self.tokens:
            self.keys.append(key)
            self.tokens.append(token)

    def publish_settlement(
        self, key: HeldKey, kcv: str | None, retired: tuple[HeldKey, ...], now: int
    ) -> None:
        """See `keymanagement.archive.Archive`."""
        del now
        self.settled.append((key, kcv, retired))

    def publish_order(
        self,
        order: KeyOrder,
        carried: CarriedOrder,
        key: HeldKey | None,
        retired: tuple[HeldKey, ...],
        now: int,
    ) -> None:
        """See `keymanagement.archive.Archive`."""
        del now
        self.orders.append((order, carried, key, retired))

    def publish_duplicate(self, request_id: str, terminal_no: str, first: str, now: int) -> None:
        """See `keymanagement.archive.Archive`."""
        del terminal_no, now
        self.duplicates.append((request_id, first))

    def file(
        self,
        statement: Verified[Any],
        *,
        code: TypedCode | None = None,
        qr: QrContents | None = None,
        digest: str | None = None,
    ) -> None:
        """Store a statement as it was received, or, by a forger, under another `digest`."""
        self.statements[digest or statement.digest] = ArchivedStatement(
            statement.text, code, qr.n if qr else None, qr.expires_at if qr else None
        )


def _digest_of(envelope: str) -> str | None:
    try:
        return peek(envelope_statements(envelope)[0]).digest
    except EntryError:
        return None


class CountingManager(SoftwareKeyManager):
    """The software key manager, counting the keys that it made."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        """Take the sample KDH."""
        super().__init__(KEK, sample_kdh())
        self.made = 0

    def create(
        self, algorithm: KeyAlgorithm, binding: KeyBinding, usage: KeyUsage = "K1"
    ) -> CreatedKey:
        """Make a key, and count it."""
        self.made += 1
        return super().create(algorithm, binding, usage)


@dataclass
class MemoryObserver:
    """An observer that remembers all but the seconds, which it holds to be a few."""

    calls: list[tuple[Operation, Outcome]] = field(default_factory=list)
    journal: list[Literal["read", "write"]] = field(default_factory=list)
    found: list[Mapping[str, int] | None] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)

    def called(self, operation: Operation, outcome: Outcome, seconds: float) -> None:
        """Remember a call."""
        assert 0 < seconds < 60
        self.calls.append((operation, outcome))

    def journal_used(self, access: Literal["read", "write"], seconds: float) -> None:
        """Remember a transaction."""
        assert 0 < seconds < 60
        self.journal.append(access)

    def compared(self, found: Mapping[str, int] | None) -> None:
        """Remember a comparison."""
        self.found.append(found)

    def certificate_ends(self, name: str, at: int) -> None:
        """Remember a certificate."""
        self.ends[name] = at


class PowerCut(BaseException):
    """The process died here."""


@dataclass
class Wire:
    """Dies at call number `at` (from 1) of what it is laid around: before the act, or after it."""

    at: int
    after: bool
    calls: int = 0

    def around(self, target: Any) -> Any:
        """The target behind this wire."""
        return _Wired(target, self)

    def pull(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make one call, unless it is the last one."""
        self.calls += 1
        if self.calls != self.at:
            return act(*args, **kwargs)
        if self.after:
            act(*args, **kwargs)
        raise PowerCut


class _Wired:
    def __init__(self, target: Any, wire: Wire) -> None:
        self._target = target
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._wire.pull(value, *args, **kwargs)
