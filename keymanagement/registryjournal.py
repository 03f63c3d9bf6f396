"""The part of the journal that remembers the registry: what is in effect, waits, and is revoked.

The rules are `keymanagement.reliance`'s; here each is one transaction of the journal's file.
Methods block for as long as the disk does; call them off the event loop.
"""

from collections.abc import Iterable

from ceremony.revocations import Subject
from keymanagement.changerows import ASSIGNMENTS, Cooling
from keymanagement.journalfile import JournalFile
from keymanagement.journalrows import ENTRIES, Observed, Reliance, Revoked
from keymanagement.reliance import (
    observe,
    recall_assignment,
    rely_on,
    revoke,
    sight,
    withdraw,
    withdraw_unseen,
)


class RegistryJournal:
    """What the key worker relied on, was shown, and was told that it is taken away."""

    def __init__(self, file: JournalFile) -> None:
        """Keep it in this file."""
        self._file = file

    def rely_on(
        self, entries: Iterable[Reliance], *, cooling: Cooling, releasing: bool = False
    ) -> None:
        """Remember the registry entries of one release or settlement, all of them or none.

        A release, which gives out a key, asks that the EPP's key be no other terminal's too. Of a
        change that has to wait, the time begins with this call although it is refused.

        Raises:
            EntryRevoked: if an officer's revocation took one of them away.
            EntryRolledBack: if a higher `seq` of one of them was relied on or shown before.
            EntryForked: if another entry of the same `seq` was.
            EntryCooling: if one of them is a change whose cooling-off time is not over.
            EntryWithdrawn: if one of them is a change that was withdrawn.
            IdentityChanged: if one gives a known terminal other keys, unsigned.
            AssignmentChanged: if one gives a known terminal other administrators, unsigned.
            EppKeyForeign: when releasing, if another terminal holds a terminal's EPP key.
        """
        with self._file.transaction():
            refused = rely_on(self._file, entries, cooling, releasing=releasing)
        # Outside the transaction: the time of what has to wait goes on.
        if refused is not None:
            raise refused

    def observe(self, entries: Iterable[Reliance], cooling: Cooling) -> Observed:
        """Remember each entry that was shown, if none of its `seq` or a higher one is known.

        The caller has verified their signatures. One that is refused keeps no other from being
        remembered.
        """
        with self._file.transaction():
            return observe(self._file, entries, cooling)

    def sight(self, entry: Reliance, cooling: Cooling) -> int | None:
        """Remember one entry that was shown; give when it takes effect, or None if it has.

        The caller has verified its signatures.

        Raises:
            EntryRefused: if it neither is in effect nor ever will be.
        """
        with self._file.transaction():
            return sight(self._file, entry, cooling)

    def withdraw(self, kind: str, name: str, digest: str, cooling: Cooling) -> bool:
        """Have a change that waits never take effect; False if it does not wait any more."""
        with self._file.transaction():
            return withdraw(self._file, kind, name, digest, cooling)

    def withdraw_unseen(self, entry: Reliance, cooling: Cooling) -> bool:
        """Have a change that was never shown never take effect; False if it is no newer one.

        The caller has verified its signatures.
        """
        with self._file.transaction():
            return withdraw_unseen(self._file, entry, cooling)

    def unassigned(self, terminal_no: str) -> tuple[int, str] | None:
        """Return `seq` and digest of a known terminal's entry whose administrators are not known.

        None for a terminal that was never seen, and for one whose administrators are remembered.
        """
        with self._file.transaction(write=False):
            known = self._file.get(ENTRIES, kind=Subject.TERMINAL.value, name=terminal_no)
            held = self._file.get(ASSIGNMENTS, terminal_no=terminal_no)
        return None if known is None or held is not None else (known["seq"], known["digest"])

    def recall_assignment(self, terminal_no: str, digest: str, assignment: str) -> bool:
        """Remember the administrators of a terminal's known entry, if they were not remembered."""
        with self._file.transaction():
            return recall_assignment(self._file, terminal_no, digest, assignment)

    def revoke(self, revoked: Revoked) -> bool:
        """Remember what a revocation takes away; a lower one never lowers a higher one.

        The caller has verified it. Gives whether it took anything more away.
        """
        with self._file.transaction():
            return revoke(self._file, revoked)

    def known_seqs(self, kind: str, names: Iterable[str]) -> dict[str, int]:
        """The highest `seq` in effect of each of these subjects; those without are left out."""
        with self._file.transaction(write=False):
            rows = [self._file.get(ENTRIES, kind=kind, name=name) for name in names]
        return {str(row["name"]): int(row["seq"]) for row in rows if row is not None}
