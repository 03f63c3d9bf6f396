"""The journal's table of officers' orders about keys, and the typed form of its rows.

Times are Unix seconds, digests lower-case hex.
"""

from dataclasses import dataclass
from typing import Final, Self

from ceremony.keylife import KeyAct, KeyActor, KeyState
from ceremony.reasons import Reason
from keymanagement.journalfile import Row, Table

KEY_ORDERS: Final = Table(
    "key_orders",
    {
        "digest": "TEXT NOT NULL",
        "request_id": "TEXT NOT NULL",
        "terminal_no": "TEXT NOT NULL",
        "act": "TEXT NOT NULL",
        "intent_at": "INTEGER NOT NULL",
        "state": "TEXT",
        "refused": "TEXT",
        "done_at": "INTEGER",
    },
    ("digest",),
    since=3,
)


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """Officers' verified order about a request's key, before it is carried out."""

    digest: str
    request_id: str
    terminal_no: str
    act: KeyAct
    actor: KeyActor
    intent_at: int


@dataclass(frozen=True, slots=True)
class CarriedOrder:
    """An order as the journal remembers it: not done yet, done, or refused, for ever.

    `state` is where the key stood by it, `refused` why it changed nothing; neither is set before
    `done_at`.
    """

    digest: str
    request_id: str
    terminal_no: str
    act: KeyAct
    intent_at: int
    state: KeyState | None
    refused: Reason | None
    done_at: int | None

    @classmethod
    def of_row(cls, row: Row) -> Self:
        """Read a verified row."""
        members = dict(row)
        members["act"] = KeyAct(row["act"])
        members["state"] = None if row["state"] is None else KeyState(row["state"])
        members["refused"] = None if row["refused"] is None else Reason(row["refused"])
        return cls(**members)
