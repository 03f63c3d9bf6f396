"""What the journal remembers of the registry: an old registry put back grants nothing.

For each subject it keeps the highest `seq` that a release relied on or that the key worker was
shown, and the highest `seq` that an officer's revocation took away (design, section 3, Trust).
Neither is ever lowered. Every function works within the caller's transaction.
"""

from collections.abc import Iterable

from keymanagement.journalerrors import (
    EntryForked,
    EntryRevoked,
    EntryRolledBack,
    EppKeyForeign,
    IdentityChanged,
)
from keymanagement.journalfile import JournalFile, Row
from keymanagement.journalrows import (
    ENTRIES,
    EPP_KEYS,
    REVOCATIONS,
    Observed,
    Reliance,
    Revoked,
    Sighting,
    row_of,
)


def rely_on(file: JournalFile, entry: Reliance) -> None:
    """Remember one entry that a release relies on.

    Raises:
        EntryRevoked: if an officer's revocation took it away.
        EntryRolledBack: if a higher `seq` was relied on or shown before.
        EntryForked: if another entry of the same `seq` was.
    """
    revoked = file.get(REVOCATIONS, kind=entry.kind, name=entry.name)
    if revoked is not None and entry.seq <= revoked["seq"]:
        raise EntryRevoked("an officer revoked this entry")
    row = row_of(entry, ENTRIES)
    known = file.get(ENTRIES, kind=entry.kind, name=entry.name)
    if known is None:
        file.insert(ENTRIES, row)
    elif entry.seq < known["seq"]:
        raise EntryRolledBack("a newer entry is known")
    elif entry.seq > known["seq"]:
        file.update(ENTRIES, row)
    elif row != known:
        raise EntryForked("another entry of the same seq is known")
    _note_epp_keys(file, (entry,))


def require_own_epp_key(file: JournalFile, entry: Reliance) -> None:
    """Pass only if no other terminal's newest known entry has the EPP key of this one.

    An entry that an officer revoked holds nothing: that is how the EPP of a terminal that was given
    up comes to another, if no newer entry of the former terminal names another EPP.

    Raises:
        EppKeyForeign: if one has.
    """
    if not entry.epp_key:
        return
    for row in file.find(EPP_KEYS, "key_fingerprint = :epp_key", epp_key=entry.epp_key):
        if row["terminal_no"] == entry.name:
            continue
        revoked = file.get(REVOCATIONS, kind=entry.kind, name=row["terminal_no"])
        if revoked is None or revoked["seq"] < row["seq"]:
            raise EppKeyForeign("the EPP's key is another terminal's")


def observe(file: JournalFile, sightings: Iterable[Sighting]) -> Observed:
    """Remember the entries that were shown and are newer than those known, whoever showed them.

    An older entry, or the known one again, changes nothing. Refused, and not remembered, is another
    entry of the known `seq`, and one of another identity whose signatures do not allow that.
    """
    stored: dict[tuple[str, str], Row | None] = {}
    newer: dict[tuple[str, str], Row] = {}
    shown: dict[tuple[str, str], Reliance] = {}
    noted = refused = 0
    for sighting in sightings:
        entry = sighting.entry
        subject = (entry.kind, entry.name)
        if subject not in stored:
            stored[subject] = file.get(ENTRIES, kind=entry.kind, name=entry.name)
        try:
            if not _is_newer(newer.get(subject, stored[subject]), sighting):
                continue
        except (EntryForked, IdentityChanged):
            refused += 1
            continue
        newer[subject] = row_of(entry, ENTRIES)
        shown[subject] = entry
        noted += 1
    file.insert_all(ENTRIES, [row for one, row in newer.items() if stored[one] is None])
    for subject, row in newer.items():
        if stored[subject] is not None:
            file.update(ENTRIES, row)
    _note_epp_keys(file, shown.values())
    return Observed(noted, refused)


def revoke(file: JournalFile, revoked: Revoked) -> bool:
    """Remember what a revocation takes away; give whether that is more than before."""
    row = row_of(revoked, REVOCATIONS)
    known = file.get(REVOCATIONS, kind=revoked.kind, name=revoked.name)
    if known is None:
        file.insert(REVOCATIONS, row)
        return True
    if revoked.seq <= known["seq"]:
        return False
    file.update(REVOCATIONS, row)
    return True


def _note_epp_keys(file: JournalFile, entries: Iterable[Reliance]) -> None:
    fresh: list[Row] = []
    for entry in entries:
        if not entry.epp_key:
            continue
        row = {"terminal_no": entry.name, "seq": entry.seq, "key_fingerprint": entry.epp_key}
        known = file.get(EPP_KEYS, terminal_no=entry.name)
        if known is None:
            fresh.append(row)
        elif known["seq"] < entry.seq:
            file.update(EPP_KEYS, row)
    file.insert_all(EPP_KEYS, fresh)


def _is_newer(known: Row | None, sighting: Sighting) -> bool:
    entry = sighting.entry
    if known is None:
        return True
    if entry.seq < known["seq"] or row_of(entry, ENTRIES) == known:
        return False
    if entry.seq == known["seq"]:
        raise EntryForked("another entry of the same seq is known")
    if entry.identity_digest != known["identity_digest"] and not sighting.may_change:
        raise IdentityChanged("a known terminal's keys changed without an officer's signature")
    return True
