r"""The life of a key: its states, and the one table of who may move it where.

    released -> active -> retired -> destroyed
         \-> unconfirmed -/       any of them but `destroyed` -> compromised -> destroyed

A terminal's active key stays active until the receipt of the next one; only then it retires. What
gives a key standing, or takes its last copy away for ever, needs the trust file's threshold of
officers (two at least); marking a key compromised grants nothing, so one officer suffices.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class KeyState(StrEnum):
    """Where a key stands: released until a receipt, or its absence, says more.

    A terminal has at most one active key. A retired key was active, or two officers settled that
    it was never loaded. Of a destroyed key the host has no copy left; a compromised one is never
    used, wrapped or activated again.
    """

    RELEASED = "released"
    UNCONFIRMED = "unconfirmed"
    ACTIVE = "active"
    RETIRED = "retired"
    DESTROYED = "destroyed"
    COMPROMISED = "compromised"


class KeyActor(StrEnum):
    """Who moves a key: each proves it by a signature, but for time and the next key."""

    TERMINAL = "terminal"
    DEADLINE = "deadline"
    SUCCESSOR = "successor"
    OFFICER = "officer"
    OFFICERS = "officers"


class KeyAct(StrEnum):
    """What is said of a key. The last four are what a `key-order` statement may order."""

    LOADED = "loaded"
    NOT_PROVED = "not-proved"
    SUCCEEDED = "succeeded"
    SETTLE_LOADED = "settle-loaded"
    SETTLE_NOT_LOADED = "settle-not-loaded"
    REVOKE = "revoke"
    DESTROY = "destroy"


OFFICERS_OF: Final[Mapping[KeyAct, KeyActor]] = MappingProxyType(
    {
        KeyAct.SETTLE_LOADED: KeyActor.OFFICERS,
        KeyAct.SETTLE_NOT_LOADED: KeyActor.OFFICERS,
        KeyAct.REVOKE: KeyActor.OFFICER,
        KeyAct.DESTROY: KeyActor.OFFICERS,
    }
)
"""Who gives each order: one officer, or as many as the trust file's threshold."""

_RELEASED, _UNCONFIRMED, _ACTIVE, _RETIRED, _DESTROYED, _COMPROMISED = KeyState
_TERMINAL, _DEADLINE, _SUCCESSOR, _OFFICER, _OFFICERS = KeyActor

TRANSITIONS: Final[Mapping[tuple[KeyState, KeyActor, KeyAct], KeyState]] = MappingProxyType(
    {
        (_RELEASED, _TERMINAL, KeyAct.LOADED): _ACTIVE,
        (_RELEASED, _TERMINAL, KeyAct.NOT_PROVED): _UNCONFIRMED,
        (_RELEASED, _DEADLINE, KeyAct.NOT_PROVED): _UNCONFIRMED,
        (_UNCONFIRMED, _TERMINAL, KeyAct.LOADED): _ACTIVE,
        (_UNCONFIRMED, _TERMINAL, KeyAct.NOT_PROVED): _UNCONFIRMED,
        (_ACTIVE, _TERMINAL, KeyAct.LOADED): _ACTIVE,
        (_ACTIVE, _SUCCESSOR, KeyAct.SUCCEEDED): _RETIRED,
        (_UNCONFIRMED, _OFFICERS, KeyAct.SETTLE_LOADED): _ACTIVE,
        (_UNCONFIRMED, _OFFICERS, KeyAct.SETTLE_NOT_LOADED): _RETIRED,
        (_RELEASED, _OFFICER, KeyAct.REVOKE): _COMPROMISED,
        (_UNCONFIRMED, _OFFICER, KeyAct.REVOKE): _COMPROMISED,
        (_ACTIVE, _OFFICER, KeyAct.REVOKE): _COMPROMISED,
        (_RETIRED, _OFFICER, KeyAct.REVOKE): _COMPROMISED,
        (_UNCONFIRMED, _OFFICERS, KeyAct.DESTROY): _DESTROYED,
        (_ACTIVE, _OFFICERS, KeyAct.DESTROY): _DESTROYED,
        (_RETIRED, _OFFICERS, KeyAct.DESTROY): _DESTROYED,
        (_COMPROMISED, _OFFICERS, KeyAct.DESTROY): _DESTROYED,
    }
)
"""The transition table: (state, who, what) to the state that follows.

What is absent is refused. A released key is not destroyed, since its terminal may be loading it
at this moment: its receipt or the deadline comes first, or an officer marks it compromised. An
active key is confirmed anew only if it was officers, not a receipt, who settled it.
"""

LOST: Final = frozenset({KeyState.DESTROYED, KeyState.COMPROMISED})
"""States of keys that never go out again."""


def after(state: KeyState, actor: KeyActor, act: KeyAct) -> KeyState | None:
    """The state that follows; None if this actor may not do that to a key in this state."""
    return TRANSITIONS.get((state, actor, act))
