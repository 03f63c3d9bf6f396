"""The journal's tables and the typed form of their rows.

Times are Unix seconds; digests, fingerprints and nonces lower-case hex.
"""

from dataclasses import dataclass, field
from typing import Final, Self

from ceremony.keylife import KeyState as KeyState  # noqa: PLC0414 - for callers
from keymanagement.changerows import ASSIGNMENTS, CHANGES
from keymanagement.journalfile import Row, Table
from keymanagement.orderrows import KEY_ORDERS
from keymanagement.port import KeyAlgorithm, KeyToken

RELEASES: Final = Table(
    "releases",
    {
        "request_id": "TEXT NOT NULL",
        "terminal_no": "TEXT NOT NULL",
        "epp_fingerprint": "TEXT NOT NULL",
        "confirmation_digest": "TEXT NOT NULL",
        "intent_at": "INTEGER NOT NULL",
    },
    ("request_id",),
    index="terminal_no",
)
KEYS: Final = Table(
    "keys",
    {
        "request_id": "TEXT NOT NULL REFERENCES releases (request_id)",
        "algorithm": "TEXT NOT NULL",
        "host_block": "BLOB NOT NULL",
        "kcv_sealed": "BLOB NOT NULL",
        "state": "TEXT NOT NULL",
        "record": "TEXT NOT NULL",
        "created_at": "INTEGER NOT NULL",
        "settled_at": "INTEGER",
        "receipt_digest": "TEXT",
    },
    ("request_id",),
)
TOKENS: Final = Table(
    "tokens",
    {
        "confirmation_digest": "TEXT NOT NULL",
        "request_id": "TEXT NOT NULL REFERENCES keys (request_id)",
        "ordinal": "INTEGER NOT NULL CHECK (ordinal BETWEEN 0 AND 3)",
        "krd_nonce": "TEXT NOT NULL",
        "format": "TEXT NOT NULL",
        "value": "BLOB NOT NULL",
        "token_digest": "TEXT NOT NULL UNIQUE",
        "issued_at": "INTEGER NOT NULL",
    },
    ("confirmation_digest",),
    ("UNIQUE (request_id, ordinal)", "UNIQUE (request_id, krd_nonce)"),
)
ENTRIES: Final = Table(
    "entries",
    {
        "kind": "TEXT NOT NULL",
        "name": "TEXT NOT NULL",
        "seq": "INTEGER NOT NULL",
        "digest": "TEXT NOT NULL",
        "identity_digest": "TEXT NOT NULL",
    },
    ("kind", "name"),
)
REVOCATIONS: Final = Table(
    "revocations",
    {
        "kind": "TEXT NOT NULL",
        "name": "TEXT NOT NULL",
        "seq": "INTEGER NOT NULL",
        "digest": "TEXT NOT NULL",
    },
    ("kind", "name"),
    since=2,
)
WRONG_CODES: Final = Table(
    "wrong_codes",
    {"request_id": "TEXT NOT NULL", "used": "INTEGER NOT NULL"},
    ("request_id",),
)
CODE_TRIES: Final = Table(
    "code_tries",
    {
        "confirmation_digest": "TEXT NOT NULL",
        "request_id": "TEXT NOT NULL",
        "typed": "TEXT NOT NULL",
        "wrong": "INTEGER NOT NULL CHECK (wrong IN (0, 1))",
    },
    ("confirmation_digest",),
    index="request_id",
    since=2,
)
EPP_KEYS: Final = Table(
    "epp_keys",
    {
        "terminal_no": "TEXT NOT NULL",
        "seq": "INTEGER NOT NULL",
        "key_fingerprint": "TEXT NOT NULL",
    },
    ("terminal_no",),
    index="key_fingerprint",
    since=3,
)
UNIQUE_KEYS: Final = Table(
    "unique_keys",
    {"digest": "TEXT NOT NULL", "request_id": "TEXT NOT NULL"},
    ("digest",),
    since=3,
)
DUPLICATES: Final = Table(
    "duplicates",
    {"request_id": "TEXT NOT NULL", "first": "TEXT NOT NULL"},
    ("request_id",),
    since=3,
)
TABLES: Final = (
    RELEASES,
    KEYS,
    TOKENS,
    ENTRIES,
    REVOCATIONS,
    WRONG_CODES,
    CODE_TRIES,
    EPP_KEYS,
    UNIQUE_KEYS,
    KEY_ORDERS,
    DUPLICATES,
    CHANGES,
    ASSIGNMENTS,
)


@dataclass(frozen=True, slots=True)
class ReleaseIntent:
    """That a key is going to be made for a request; the first one written is the only one."""

    request_id: str
    terminal_no: str
    epp_fingerprint: str
    confirmation_digest: str
    intent_at: int

    @classmethod
    def of_row(cls, row: Row) -> Self:
        """Read a verified row."""
        return cls(**row)


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a release made: host's copy, KCV (6 hex digits) and release record (JWS text).

    `uniqueness` are the 32 bytes by which the same key would be known again.
    """

    request_id: str
    algorithm: KeyAlgorithm
    host_block: bytes = field(repr=False)
    kcv: str = field(repr=False)
    record: str = field(repr=False)
    created_at: int
    uniqueness: bytes = field(repr=False)

    def row(self, kcv_sealed: bytes) -> Row:
        """The row of a key just released, its KCV sealed."""
        return {
            "request_id": self.request_id,
            "algorithm": self.algorithm.value,
            "host_block": self.host_block,
            "kcv_sealed": kcv_sealed,
            "state": KeyState.RELEASED.value,
            "record": self.record,
            "created_at": self.created_at,
            "settled_at": None,
            "receipt_digest": None,
        }


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key as the journal holds it; its KCV only through `Journal.kcv_of`.

    `host_block` is empty once the key is destroyed. An active or retired key has the receipt that
    confirmed it, or None if officers settled it.
    """

    request_id: str
    algorithm: KeyAlgorithm
    host_block: bytes = field(repr=False)
    state: KeyState
    record: str = field(repr=False)
    created_at: int
    settled_at: int | None
    receipt_digest: str | None

    @classmethod
    def of_row(cls, row: Row) -> Self:
        """Read a verified row."""
        members = {name: value for name, value in row.items() if name != "kcv_sealed"}
        members["algorithm"] = KeyAlgorithm(row["algorithm"])
        members["state"] = KeyState(row["state"])
        return cls(**members)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made for one confirmation and the EPP nonce that it names."""

    confirmation_digest: str
    request_id: str
    krd_nonce: str
    token: KeyToken
    issued_at: int

    def issued_as(self, ordinal: int) -> "IssuedToken":
        """The token as it is held, with its place among the request's tokens."""
        return IssuedToken(
            self.confirmation_digest,
            self.request_id,
            ordinal,
            self.krd_nonce,
            self.token.format,
            self.token.value,
            self.token.digest,
            self.issued_at,
        )


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token as the journal holds it: the same bytes for the same confirmation, for ever.

    `ordinal` is 0 for the first token of a request and 1 to 3 for those wrapped again.
    """

    confirmation_digest: str
    request_id: str
    ordinal: int
    krd_nonce: str
    format: str
    value: bytes = field(repr=False)
    token_digest: str
    issued_at: int

    @classmethod
    def of_row(cls, row: Row) -> Self:
        """Read a verified row."""
        return cls(**row)


@dataclass(frozen=True, slots=True)
class Reliance:
    """A registry entry that a release relies on, or that the key worker was shown.

    `kind` and `name` name its subject (a terminal, a person), `digest` is the entry's statement
    digest, `identity_digest` digests what only an officer may change: a terminal's EPP
    certificate and device key, a person's key. `epp_key` is SHA-256 over a terminal's EPP key
    (SubjectPublicKeyInfo), empty for a person: one key in two certificates is one key.
    `assignment_digest` digests a terminal's two administrators, empty for a person. `may_change`
    says that the entry's signatures allow another identity than the known one, `may_reassign` that
    they allow other administrators.
    """

    kind: str
    name: str
    seq: int
    digest: str
    identity_digest: str
    epp_key: str = ""
    assignment_digest: str = ""
    may_change: bool = False
    may_reassign: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """How many of the entries shown were newer than the known ones, and how many refused."""

    noted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """What an officer's revocation of this digest takes away: all entries up to `seq`."""

    kind: str
    name: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a key stands after a receipt, and all retired keys of its terminal, oldest first."""

    key: HeldKey
    retired: tuple[HeldKey, ...]


@dataclass(frozen=True, slots=True)
class CodeTry:
    """One try of a request's approval code: its confirmation, and the MAC of what was typed.

    `wrong` is 1 until the code was found right, then 0.
    """

    confirmation_digest: str
    request_id: str
    typed: str
    wrong: int = 1


def row_of(value: ReleaseIntent | IssuedToken | Reliance | Revoked | CodeTry, table: Table) -> Row:
    """Read a table's columns from the dataclass of the same members."""
    return {name: getattr(value, name) for name in table.columns}
