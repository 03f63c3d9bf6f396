"""Planning of a registry synchronisation: what a feed would change, decided before anything is.

The rules are the design's ("Trust"). What grants is signed and checked row by row; what takes
away needs no signature, so its extent is limited instead: a run that would remove more than 5 %
of the terminals in force stops. One terminal may always be removed, since in a registry of fewer
than twenty 5 % is none at all. A feed in which not one row was believed removes nothing, whoever
orders it: that is a broken feed, not an empty bank.

Other administrators of a known terminal need a threshold of officers' signatures, and wait for the
cooling-off time: such a row is planned apart, and the entry in force stays.

The outcome does not depend on the order of the rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ceremony.keyclaims import Claim, KeyRole, foreign_claims, key_claims
from ceremony.reasons import Reason
from ceremony.registry import VerifiedTerminal
from ceremony.syncrows import FeedRow, IndexedTerminal, RefusedRow


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """How many terminals one run may remove: a share of those in force, but at least a floor."""

    removal_percent: int = 5
    removal_floor: int = 1

    def allowance(self, in_force: int) -> int:
        """The largest number of removals that needs no order."""
        return max(self.removal_floor, in_force * self.removal_percent // 100)


DEFAULT_LIMITS: Final = SyncLimits()
_FOREIGN: Final = {
    KeyRole.EPP: Reason.FOREIGN_EPP_KEY,
    KeyRole.DEVICE: Reason.FOREIGN_DEVICE_KEY,
}


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a run does. Every row is one of added, changed, waiting, unchanged or refused.

    `removed` are terminals in force, or with an entry that waits, that no row names.
    `waiting` are entries that give a known terminal other administrators: they take effect after
    the cooling-off time, and until then the terminal keeps the entry in force, if it has one.
    A terminal in force that has only refused rows keeps its entry. `added` holds terminals new to
    the registry and removed ones that come back (then perhaps with an entry that is stored
    already). `ends_requests` names the terminals whose open loading request must end: EPP
    certificate, device key or an administrator changed, or removed.
    """

    added: tuple[VerifiedTerminal, ...]
    changed: tuple[VerifiedTerminal, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    refused: tuple[RefusedRow, ...]
    ends_requests: tuple[str, ...]
    waiting: tuple[VerifiedTerminal, ...] = ()


class SyncStopped(Exception):
    """The whole run is refused and nothing of it may be applied; an officer has to look at it."""

    def __init__(self, reason: Reason, *, removals: int, in_force: int) -> None:
        """Keep the reason and the two numbers that show it."""
        super().__init__(f"{reason}: {removals} of {in_force}")
        self.reason = reason
        self.removals = removals
        self.in_force = in_force


def plan_unmodified(index: Iterable[IndexedTerminal]) -> SyncPlan:
    """The plan for a source that said `not modified`: everything stays."""
    unchanged = sorted(known.terminal_no for known in index if known.in_force)
    return SyncPlan((), (), tuple(unchanged), (), (), ())


def plan_sync(
    index: Iterable[IndexedTerminal],
    rows: Iterable[FeedRow],
    *,
    limits: SyncLimits = DEFAULT_LIMITS,
    removals_ordered: bool = False,
    cooling_off: bool = False,
) -> SyncPlan:
    """Decide what a complete reading of the feed changes.

    Args:
        index: one for each terminal ever known.
        rows: all rows of the reading.
        limits: how much may be removed without an order.
        removals_ordered: an officer signed an order for this run; the caller verified it.
        cooling_off: whether other administrators wait; without, they are changed at once.

    Raises:
        SyncStopped: too many removals, or any removal by a feed without a believed row.
    """
    known = {terminal.terminal_no: terminal for terminal in index}
    rows = list(rows)
    refused = [
        RefusedRow(row.position, row.terminal_no, row.reason or Reason.MALFORMED)
        for row in rows
        if row.terminal is None
    ]
    newest = _newest_rows(rows, known, refused)
    candidates = _candidates(newest, known, refused)
    named = {row.terminal_no for row in rows}
    removed = sorted(no for no, one in known.items() if _claims(one) and no not in named)
    _check_removals(removed, known, bool(newest), limits, removals_ordered)

    for no, reason in _foreign_keys(known, set(removed), candidates).items():
        refused.append(RefusedRow(candidates.pop(no)[0], no, reason))
    entries = {no: terminal for no, (_, terminal) in candidates.items()}
    waiting = {
        no: new
        for no, new in entries.items()
        if cooling_off and no in known and _reassigned(known[no], new)
    }
    accepted = [(new, known.get(no)) for no, new in entries.items() if no not in waiting]
    changed = [(new, old) for new, old in accepted if old is not None and old.in_force]
    return SyncPlan(
        added=tuple(new for new, old in accepted if old is None or not old.in_force),
        changed=tuple(new for new, _ in changed),
        unchanged=tuple(
            sorted(
                no
                for no, row in newest.items()
                if no in known and _is_current(known[no], row.terminal)
            )
        ),
        removed=tuple(removed),
        refused=tuple(refused),
        ends_requests=tuple(
            sorted([*removed, *(old.terminal_no for new, old in changed if _ends(old, new))])
        ),
        waiting=tuple(waiting.values()),
    )


class _Candidate(NamedTuple):
    position: str
    terminal: VerifiedTerminal


def _newest_rows(
    rows: list[FeedRow], known: Mapping[str, IndexedTerminal], refused: list[RefusedRow]
) -> dict[str, _Candidate]:
    by_terminal: defaultdict[str, list[_Candidate]] = defaultdict(list)
    for row in rows:
        if row.terminal is not None:
            by_terminal[row.terminal.entry.terminal_no].append(
                _Candidate(row.position, row.terminal)
            )
    newest: dict[str, _Candidate] = {}
    for no, several in by_terminal.items():
        winner = _winner(several, known.get(no))
        if winner is not None:
            newest[no] = winner
        refused.extend(
            RefusedRow(one.position, no, Reason.DUPLICATE_TERMINAL)
            for one in several
            if one is not winner
        )
    return newest


def _winner(several: list[_Candidate], old: IndexedTerminal | None) -> _Candidate | None:
    top = max(one.terminal.entry.seq for one in several)
    best = [one for one in several if one.terminal.entry.seq == top]
    if len({one.terminal.digest for one in best}) == 1:
        # The same entry twice may differ in its officers' signatures.
        return max(best, key=lambda one: len(one.terminal.officers))
    # Two entries of one seq: unless the registry knows one of them, neither can be believed.
    return next(
        (one for one in best if old is not None and one.terminal.digest == old.digest), None
    )


def _candidates(
    newest: Mapping[str, _Candidate],
    known: Mapping[str, IndexedTerminal],
    refused: list[RefusedRow],
) -> dict[str, _Candidate]:
    candidates: dict[str, _Candidate] = {}
    for no, row in newest.items():
        old = known.get(no)
        if old is not None and _is_current(old, row.terminal):
            continue
        reason = _row_refusal(old, row.terminal)
        if reason is None:
            candidates[no] = row
        else:
            refused.append(RefusedRow(row.position, no, reason))
    return candidates


def _is_current(old: IndexedTerminal, new: VerifiedTerminal) -> bool:
    if old.later is not None and old.later.cooling and old.later.digest == new.digest:
        return True
    return old.in_force and old.digest == new.digest


def _row_refusal(old: IndexedTerminal | None, new: VerifiedTerminal) -> Reason | None:
    if new.entry.first == new.entry.second:
        return Reason.SAME_PERSON
    if old is None:
        return None
    if old.digest == new.digest:
        return None if old.later is None else Reason.SEQ_LOWERED
    if old.later is not None and old.later.digest == new.digest:
        return Reason.ENTRY_WITHDRAWN
    if new.entry.seq <= (old.seq if old.later is None else old.later.seq):
        return Reason.SEQ_LOWERED
    if _identity_changed(old, new) and not new.officers:
        return Reason.OFFICER_REQUIRED
    if _reassigned(old, new) and not new.may_reassign:
        return Reason.OFFICERS_MISSING
    return None


def _identity_changed(old: IndexedTerminal, new: VerifiedTerminal) -> bool:
    return (old.epp_fingerprint, old.device_kid) != (
        new.epp.fingerprint,
        new.device_key.public_key.kid,
    )


def _reassigned(old: IndexedTerminal, new: VerifiedTerminal) -> bool:
    return (old.first, old.second) != (new.entry.first, new.entry.second)


def _ends(old: IndexedTerminal, new: VerifiedTerminal) -> bool:
    return _identity_changed(old, new) or _reassigned(old, new)


def _check_removals(
    removed: list[str],
    known: Mapping[str, IndexedTerminal],
    believed: bool,
    limits: SyncLimits,
    ordered: bool,
) -> None:
    in_force = sum(one.in_force for one in known.values())
    excessive = len(removed) > limits.allowance(in_force) and not ordered
    if removed and (excessive or not believed):
        raise SyncStopped(Reason.TOO_MANY_REMOVED, removals=len(removed), in_force=in_force)


def _claims(known: IndexedTerminal) -> tuple[Claim, ...]:
    claims: tuple[Claim, ...] = ()
    if known.in_force:
        claims += key_claims(known.epp_key_fingerprint, known.device_kid)
    if known.later is not None and known.later.cooling:
        claims += known.later.claims
    return claims


def _foreign_keys(
    known: Mapping[str, IndexedTerminal],
    removed: set[str],
    candidates: Mapping[str, _Candidate],
) -> dict[str, Reason]:
    held = {no: _claims(one) for no, one in known.items() if no not in removed}
    wanted = {
        no: key_claims(row.terminal.epp.key_fingerprint, row.terminal.device_key.public_key.kid)
        for no, row in candidates.items()
    }
    return {no: _FOREIGN[claim.role] for no, claim in foreign_claims(held, wanted).items()}
