"""Where a registry entry stands beside what the journal remembers of its subject.

In effect, for each subject, is one entry; behind it may wait one change, which takes effect by
itself when its time has come. Every function works on a draft, within the caller's transaction.
"""

from enum import Enum, auto

from ceremony.revocations import Subject
from keymanagement.changerows import ASSIGNMENTS, CHANGES, Cooling
from keymanagement.journaldraft import JournalDraft
from keymanagement.journalfile import JournalFile, Row
from keymanagement.journalrows import ENTRIES, EPP_KEYS, RELEASES, Reliance, row_of


class Place(Enum):
    """Where an entry stands beside what is remembered of its subject.

    NEWER takes effect at once. KEYS_UNSIGNED needs an officer, UNSIGNED more of them. COOLS is a
    change that was never seen before, COOLING one that waits, WITHDRAWN one that will never take
    effect.
    """

    OLDER = auto()
    KNOWN = auto()
    FORKED = auto()
    NEWER = auto()
    KEYS_UNSIGNED = auto()
    UNSIGNED = auto()
    COOLS = auto()
    COOLING = auto()
    WITHDRAWN = auto()


def place_of(draft: JournalDraft, entry: Reliance, cooling: Cooling) -> Place:
    """Find an entry's place: older, known, forked, newer, or a change and how it stands."""
    known = in_effect(draft, entry.kind, entry.name, cooling)
    if known is not None and entry.seq < known["seq"]:
        return Place.OLDER
    if known is not None and entry.seq == known["seq"]:
        return Place.KNOWN if row_of(entry, ENTRIES) == known else Place.FORKED
    change = draft.get(CHANGES, kind=entry.kind, name=entry.name)
    later = change if change is not None and is_above(change, known) else None
    if later is not None and entry.seq == later["seq"]:
        if row_of(entry, ENTRIES) != {name: later[name] for name in ENTRIES.columns}:
            return Place.FORKED
        return Place.WITHDRAWN if later["withdrawn"] else Place.COOLING
    return _place_of_new(draft, entry, known, later, cooling)


def _place_of_new(
    draft: JournalDraft, entry: Reliance, known: Row | None, later: Row | None, cooling: Cooling
) -> Place:
    changed = known is not None and known["identity_digest"] != entry.identity_digest
    if changed and not entry.may_change:
        return Place.KEYS_UNSIGNED
    if entry.kind == Subject.TERMINAL.value:
        if known is None or not _is_reassigned(draft, entry):
            return Place.NEWER
        if not entry.may_reassign:
            return Place.UNSIGNED
    if later is not None and entry.seq < later["seq"]:
        return Place.OLDER
    return Place.NEWER if cooling.seconds == 0 else Place.COOLS


def _is_reassigned(draft: JournalDraft, entry: Reliance) -> bool:
    # Whoever was never remembered may be anybody: then it takes the officers.
    held = draft.get(ASSIGNMENTS, terminal_no=entry.name)
    return held is None or held["assignment_digest"] != entry.assignment_digest


def in_effect(draft: JournalDraft, kind: str, name: str, cooling: Cooling) -> Row | None:
    """The entry in effect now: a change whose time has come is from here on."""
    known = draft.get(ENTRIES, kind=kind, name=name)
    change = draft.get(CHANGES, kind=kind, name=name)
    if change is None or change["withdrawn"] or not is_above(change, known):
        return known
    if not cooling.is_due(change["seen_at"]):
        return known
    take_effect(
        draft,
        Reliance(
            kind=kind,
            name=name,
            seq=change["seq"],
            digest=change["digest"],
            identity_digest=change["identity_digest"],
            epp_key=change["epp_key"],
            assignment_digest=change["assignment_digest"],
        ),
    )
    return draft.get(ENTRIES, kind=kind, name=name)


def is_above(change: Row, known: Row | None) -> bool:
    """Whether a change is newer than the entry in effect."""
    return known is None or bool(change["seq"] > known["seq"])


def note(draft: JournalDraft, entry: Reliance, place: Place, seen_at: int) -> None:
    """Remember an entry that is NEWER, or that COOLS from `seen_at` on; it replaces a change."""
    if place is Place.NEWER:
        take_effect(draft, entry)
    else:
        put_change(draft, entry, seen_at)


def put_change(
    draft: JournalDraft, entry: Reliance, seen_at: int, *, withdrawn: bool = False
) -> None:
    """Remember an entry as its subject's newest change, that waits or never takes effect."""
    change = {
        **row_of(entry, ENTRIES),
        "assignment_digest": entry.assignment_digest,
        "epp_key": entry.epp_key,
        "seen_at": seen_at,
        "withdrawn": int(withdrawn),
    }
    draft.put(CHANGES, change)


def latest(file: JournalFile, cooling: Cooling) -> int:
    """The time now, or of the last change or release if that is later: a clock went back since."""
    changes = file.find(CHANGES, "seen_at = (SELECT max(seen_at) FROM changes) LIMIT 1")
    releases = file.find(RELEASES, "rowid = (SELECT max(rowid) FROM releases)")
    seen = [row["seen_at"] for row in changes] + [row["intent_at"] for row in releases]
    return max(cooling.now, 0, *map(int, seen))


def take_effect(draft: JournalDraft, entry: Reliance) -> None:
    """Make an entry the one in effect, with its administrators and its EPP's key."""
    draft.put(ENTRIES, row_of(entry, ENTRIES))
    if entry.kind == Subject.TERMINAL.value:
        held = {"terminal_no": entry.name, "assignment_digest": entry.assignment_digest}
        draft.put(ASSIGNMENTS, held)
    if not entry.epp_key:
        return
    row = {"terminal_no": entry.name, "seq": entry.seq, "key_fingerprint": entry.epp_key}
    known = draft.get(EPP_KEYS, terminal_no=entry.name)
    if known is None or known["seq"] < entry.seq:
        draft.put(EPP_KEYS, row)
