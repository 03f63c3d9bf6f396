"""Which terminal may hold which key: no key belongs to two terminals."""

from collections import defaultdict, deque
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class KeyRole(Enum):
    """What a terminal uses a key for."""

    EPP = "epp"
    DEVICE = "device"


class Claim(NamedTuple):
    """A terminal's claim to a key: its fingerprint, in one role."""

    role: KeyRole
    key: str


def key_claims(epp_key_fingerprint: str, device_kid: str) -> tuple[Claim, Claim]:
    """The two claims of a terminal entry."""
    return Claim(KeyRole.EPP, epp_key_fingerprint), Claim(KeyRole.DEVICE, device_kid)


def foreign_claims(
    held: Mapping[str, tuple[Claim, ...]], wanted: Mapping[str, tuple[Claim, ...]]
) -> dict[str, Claim]:
    """Find the terminals that want a key of another one, as things would be afterwards.

    A key that its holder gives up may move to another terminal at once. A terminal whose wish is
    refused falls back on what it holds, which may refuse others in turn. Of two terminals that
    both newly want a key neither gets it. The answer does not depend on any order.

    Args:
        held: terminal_no to the claims in force, of every terminal that stays.
        wanted: terminal_no to new claims, replacing what that terminal holds.

    Returns:
        terminal_no to the claim that is another's, for each terminal refused.
    """
    owner = {claim: no for no, claims in held.items() for claim in claims}
    holders: defaultdict[Claim, set[str]] = defaultdict(set)
    for no, claims in {**held, **wanted}.items():
        for claim in claims:
            holders[claim].add(no)

    refused: dict[str, Claim] = {}
    queue = deque(wanted)
    while queue:
        no = queue.popleft()
        taken = _taken(no, wanted[no], holders, owner)
        if no in refused or taken is None:
            continue
        refused[no] = taken
        for claim in held.get(no, ()):
            holders[claim].add(no)
            queue.extend(other for other in holders[claim] if other in wanted)
    return refused


def _taken(
    no: str,
    claims: tuple[Claim, ...],
    holders: Mapping[Claim, set[str]],
    owner: Mapping[Claim, str],
) -> Claim | None:
    for claim in claims:
        if len(holders[claim]) > 1 and owner.get(claim) != no:
            return claim
    return None
