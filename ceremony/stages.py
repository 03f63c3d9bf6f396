"""Stages of a loading request, and the one table of the statements that may move it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from ceremony.statements import Kind


class Stage(StrEnum):
    """Where a loading request stands; the workflow's own state, and the only one."""

    AWAITING_APPLICATION = "AWAITING_APPLICATION"
    AWAITING_REVIEW = "AWAITING_REVIEW"
    AWAITING_CONFIRMATION = "AWAITING_CONFIRMATION"
    AWAITING_RECEIPT = "AWAITING_RECEIPT"
    LOADED = "LOADED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    UNCONFIRMED = "UNCONFIRMED"


OPEN = frozenset(
    {
        Stage.AWAITING_APPLICATION,
        Stage.AWAITING_REVIEW,
        Stage.AWAITING_CONFIRMATION,
        Stage.AWAITING_RECEIPT,
    }
)
FINAL = frozenset(Stage) - OPEN
BEFORE_RELEASE = OPEN - {Stage.AWAITING_RECEIPT}

_A, _V, _C, _R = (
    Stage.AWAITING_APPLICATION,
    Stage.AWAITING_REVIEW,
    Stage.AWAITING_CONFIRMATION,
    Stage.AWAITING_RECEIPT,
)

TRANSITIONS: Mapping[tuple[Stage, Kind], frozenset[Stage]] = MappingProxyType(
    {
        (_A, Kind.REQUEST): frozenset({_A}),
        (_V, Kind.REQUEST): frozenset({_V}),
        (_C, Kind.REQUEST): frozenset({_C}),
        (_R, Kind.REQUEST): frozenset({_R}),
        (_A, Kind.APPLICATION): frozenset({_A, _V, Stage.FAILED}),
        (_V, Kind.DECISION): frozenset({_V, _C, Stage.REJECTED}),
        (_C, Kind.CONFIRMATION): frozenset({_C, _R, Stage.FAILED}),
        (_R, Kind.CONFIRMATION): frozenset({_R}),
        (_R, Kind.RECEIPT): frozenset({_R, Stage.LOADED, Stage.UNCONFIRMED}),
        (_A, Kind.CANCELLATION): frozenset({_A, Stage.CANCELLED}),
        (_V, Kind.CANCELLATION): frozenset({_V, Stage.CANCELLED}),
        (_C, Kind.CANCELLATION): frozenset({_C, Stage.CANCELLED}),
    }
)
"""The transition table: (stage, kind of statement) to the stages that may follow.

A pair that is absent is refused as `wrong-stage`. A stage that follows itself is a refusal that
changes nothing but its count, a repeat, or a re-wrap.
"""

EXPIRES_TO: Mapping[Stage, Stage] = MappingProxyType(
    {_A: Stage.EXPIRED, _V: Stage.EXPIRED, _C: Stage.EXPIRED, _R: Stage.UNCONFIRMED}
)
"""What a passed deadline makes of each open stage: after release a key is never destroyed."""


def permits(stage: Stage, kind: Kind) -> bool:
    """Say whether a statement of this kind is in place at this stage."""
    return (stage, kind) in TRANSITIONS
