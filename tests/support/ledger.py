"""The ledger: what the key worker and the outbox really did, read where they wrote it.

Keys, tokens and states come from the key worker's own journal, which no attacker of these tests
can write to; what others were shown of it from the records; SMS from the outbox, opened.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from ceremony.sealedsms import OutboxError, OutboxMessage, open_message
from commands.homefolder import HomeFolder
from keymanagement.journal import Journal
from settings import Settings
from tests.support import sqlhand

MOST_CODES: Final = 3
MOST_MESSAGES: Final = 6
"""Three codes, the review, the approval, the end: all that a loading request ever sends."""


@dataclass(frozen=True)
class Account:
    """How a terminal stands: its keys (request to state and the block's digest) and its tokens.

    `tokens` maps each confirmation to its token's digest. Two accounts are equal if no key was
    made, activated, retired or changed between them, and no token given.
    """

    keys: Mapping[str, tuple[str, str]]
    tokens: Mapping[str, str]

    @property
    def states(self) -> list[str]:
        """The keys' states, sorted."""
        return sorted(state for state, _ in self.keys.values())


@dataclass(frozen=True)
class Sms:
    """One message as its phone got it."""

    step: str
    to: str = field(repr=False)
    text: str = field(repr=False)


class Ledger:
    """Reads a home's journal, records and outbox."""

    def __init__(self, home: HomeFolder, settings: Settings) -> None:
        """Bind the home; `settings` hold the outbox key."""
        self._home = home
        self._outbox_key = settings.secret("outbox_key")
        self._records = settings.database

    def account(self, terminal_no: str) -> Account:
        """How a terminal stands now, by the journal."""
        with _reading(self._home.journal) as journal:
            keys = journal.execute(
                "SELECT k.request_id, k.state, k.host_block FROM keys k "
                "JOIN releases r USING (request_id) WHERE r.terminal_no = ?",
                (terminal_no,),
            ).fetchall()
            tokens = journal.execute(
                "SELECT t.confirmation_digest, t.token_digest FROM tokens t "
                "JOIN releases r USING (request_id) WHERE r.terminal_no = ?",
                (terminal_no,),
            ).fetchall()
        return Account(
            keys={one: (state, sha256(block).hexdigest()) for one, state, block in keys},
            tokens=dict(tokens),
        )

    def requests_with_keys(self) -> frozenset[str]:
        """Every loading request for which a key was made."""
        with _reading(self._home.journal) as journal:
            found = journal.execute("SELECT request_id FROM keys").fetchall()
        return frozenset(one for (one,) in found)

    def bereft_terminals(self) -> frozenset[str]:
        """Terminals with a retired key and no active one: nothing ever makes one so."""
        with _reading(self._home.journal) as journal:
            found = journal.execute(
                "SELECT r.terminal_no FROM keys k JOIN releases r USING (request_id) "
                "GROUP BY r.terminal_no HAVING sum(k.state = 'retired') > 0 "
                "AND sum(k.state = 'active') <> 1"
            ).fetchall()
        return frozenset(one for (one,) in found)

    def messages(self, *numbers: str) -> list[Sms]:
        """The SMS to these numbers, or to anybody, oldest first.

        A row that does not open is a forger's, not a message that any phone got.
        """
        with self.records() as records:
            rows = records.execute("SELECT step, sealed FROM sms_outbox ORDER BY id").fetchall()
        opened = [(step, _opened(self._outbox_key, step, sealed)) for step, sealed in rows]
        return [
            Sms(step, one.to, one.text)
            for step, one in opened
            if one is not None and (not numbers or one.to in numbers)
        ]

    def verify_journal(self, kek: bytes) -> None:
        """Check the MAC of every row of the journal.

        Raises:
            JournalCorrupt: if one is not as the key worker wrote it.
        """
        with Journal(self._home.journal, kek) as journal:
            journal.verify()

    @contextmanager
    def records(self) -> Iterator[sqlite3.Connection]:
        """The records database, to read from."""
        with sqlhand.reading(self._records) as connection:
            yield connection


def _opened(key: bytes, step: str, sealed: bytes) -> OutboxMessage | None:
    try:
        return open_message(key, step, sealed)
    except OutboxError:
        return None


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=15)
    try:
        yield connection
    finally:
        connection.close()
