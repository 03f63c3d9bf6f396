"""What the journal remembers of the registry: an old registry put back grants nothing.

For each subject it keeps the entry in effect, the highest `seq` that an officer's revocation took
away, and the newest change that waits (design, section 3, Trust; ADR 0022). None is ever lowered.

A person's entry, and one that gives a known terminal other administrators, takes effect only
`cooling_off_seconds` after it was first seen here with all its signatures. Nobody is asked about
that: the time is this journal's. A clock that goes back later makes it longer; one that was back
already gains what has passed since the last change or release, and one that is put forward ends it.
Until then the former entry counts. Every function works within the caller's transaction.
"""

from collections.abc import Iterable

from ceremony.revocations import Subject
from keymanagement.changerows import ASSIGNMENTS, CHANGES, Cooling
from keymanagement.entryplace import (
    Place,
    in_effect,
    is_above,
    latest,
    note,
    place_of,
    put_change,
    take_effect,
)
from keymanagement.journaldraft import JournalDraft
from keymanagement.journalerrors import (
    AssignmentChanged,
    EntryCooling,
    EntryForked,
    EntryRefused,
    EntryRevoked,
    EntryRolledBack,
    EntryWithdrawn,
    EppKeyForeign,
    IdentityChanged,
)
from keymanagement.journalfile import JournalFile
from keymanagement.journalrows import (
    ENTRIES,
    EPP_KEYS,
    REVOCATIONS,
    Observed,
    Reliance,
    Revoked,
    row_of,
)


def rely_on(
    file: JournalFile, entries: Iterable[Reliance], cooling: Cooling, *, releasing: bool
) -> EntryRefused | None:
    """Remember the entries of one release or settlement, or give why none of them is relied on.

    A refused entry that has to wait is remembered all the same: its time begins here. A settlement
    gives out nothing, so it goes by a waiting entry if that leaves the terminal its keys.
    """
    entries, draft = tuple(entries), JournalDraft(file)
    try:
        for entry in entries:
            _rely(draft, entry, cooling, releasing=releasing)
        _begin_cooling(file, draft, entries, cooling)
        draft.write()
        if releasing:
            for entry in entries:
                _require_own_epp_key(file, entry)
    except EppKeyForeign:
        raise
    except EntryRefused as error:
        draft = JournalDraft(file)
        _begin_cooling(file, draft, entries, cooling)
        draft.write()
        return error
    return None


def _rely(draft: JournalDraft, entry: Reliance, cooling: Cooling, *, releasing: bool) -> None:
    _require_unrevoked(draft, entry)
    place = place_of(draft, entry, cooling)
    if place in (Place.NEWER, Place.KNOWN):
        take_effect(draft, entry)
        return
    if place in (Place.COOLS, Place.COOLING) and not releasing:
        known = draft.get(ENTRIES, kind=entry.kind, name=entry.name)
        if known is not None and known["identity_digest"] == entry.identity_digest:
            return
    _refuse(place)


def _require_unrevoked(draft: JournalDraft, entry: Reliance) -> None:
    revoked = draft.get(REVOCATIONS, kind=entry.kind, name=entry.name)
    if revoked is not None and entry.seq <= revoked["seq"]:
        raise EntryRevoked("an officer revoked this entry")


def _refuse(place: Place) -> None:
    match place:
        case Place.OLDER:
            raise EntryRolledBack("a newer entry is known")
        case Place.FORKED:
            raise EntryForked("another entry of the same seq is known")
        case Place.KEYS_UNSIGNED:
            raise IdentityChanged("a known terminal's keys changed without an officer's signature")
        case Place.UNSIGNED:
            raise AssignmentChanged("other administrators without enough officers' signatures")
        case Place.COOLS | Place.COOLING:
            raise EntryCooling("the change waits for its cooling-off time")
        case Place.WITHDRAWN:
            raise EntryWithdrawn("the change was withdrawn")


def _require_own_epp_key(file: JournalFile, entry: Reliance) -> None:
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


def observe(file: JournalFile, entries: Iterable[Reliance], cooling: Cooling) -> Observed:
    """Remember the entries that were shown and are newer than those known, whoever showed them.

    An older entry, or the known one again, changes nothing. Refused, and not remembered, is another
    entry of the known `seq`, and one of another identity or with other administrators whose
    signatures do not allow that.
    """
    draft, seen_at = JournalDraft(file), latest(file, cooling)
    noted = refused = 0
    for entry in entries:
        place = place_of(draft, entry, cooling)
        if place in (Place.FORKED, Place.KEYS_UNSIGNED, Place.UNSIGNED):
            refused += 1
        elif place in (Place.NEWER, Place.COOLS):
            note(draft, entry, place, seen_at)
            noted += 1
    draft.write()
    return Observed(noted, refused)


def sight(file: JournalFile, entry: Reliance, cooling: Cooling) -> int | None:
    """Remember one entry that was shown; give when it takes effect, or None if it has.

    Raises:
        EntryRefused: if it neither is in effect nor ever will be.
    """
    draft = JournalDraft(file)
    _require_unrevoked(draft, entry)
    place = place_of(draft, entry, cooling)
    if place in (Place.NEWER, Place.COOLS):
        note(draft, entry, place, latest(file, cooling))
    draft.write()
    if place in (Place.KNOWN, Place.NEWER):
        return None
    change = draft.get(CHANGES, kind=entry.kind, name=entry.name)
    if place in (Place.COOLS, Place.COOLING) and change is not None:
        return int(change["seen_at"]) + cooling.seconds
    _refuse(place)
    return None


def withdraw_unseen(file: JournalFile, entry: Reliance, cooling: Cooling) -> bool:
    """Have a change that was never shown never take effect; False if it is no newer one."""
    draft = JournalDraft(file)
    if place_of(draft, entry, cooling) not in (Place.NEWER, Place.COOLS):
        return False
    put_change(draft, entry, latest(file, cooling), withdrawn=True)
    draft.write()
    return True


def withdraw(file: JournalFile, kind: str, name: str, digest: str, cooling: Cooling) -> bool:
    """Have a change that waits never take effect; False if it does not wait, or is in effect."""
    draft = JournalDraft(file)
    known = in_effect(draft, kind, name, cooling)
    change = draft.get(CHANGES, kind=kind, name=name)
    if change is None or change["digest"] != digest or not is_above(change, known):
        return False
    draft.put(CHANGES, {**change, "withdrawn": 1})
    draft.write()
    return True


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


def recall_assignment(file: JournalFile, terminal_no: str, digest: str, assignment: str) -> bool:
    """Remember who administers a terminal by its entry in effect, if that is not remembered yet.

    So a journal of before the assignments learns them: `digest` must be the known entry's.
    """
    known = file.get(ENTRIES, kind=Subject.TERMINAL.value, name=terminal_no)
    if known is None or known["digest"] != digest:
        return False
    if file.get(ASSIGNMENTS, terminal_no=terminal_no) is not None:
        return False
    file.insert(ASSIGNMENTS, {"terminal_no": terminal_no, "assignment_digest": assignment})
    return True


def _begin_cooling(
    file: JournalFile, draft: JournalDraft, entries: Iterable[Reliance], cooling: Cooling
) -> None:
    for entry in entries:
        if place_of(draft, entry, cooling) is Place.COOLS:
            note(draft, entry, Place.COOLS, latest(file, cooling))
