"""Every statement, at every stage, from everyone: the documented reason, and nothing changes.

One table over stage x actor x statement, and the same statements about another request, about
another terminal, and expired. A signer's own mistakes may use up a count; the rare refusals that
end a request are named in `ENDS`.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pytest

from ceremony.reasons import Reason
from ceremony.stages import FINAL, OPEN, TRANSITIONS, Stage
from ceremony.state import CeremonyState
from ceremony.statements import Kind
from ceremony.verification import Verified
from tests.support.drive import Drive, drive_to
from tests.support.world import World

KINDS: Final = (
    Kind.REQUEST,
    Kind.APPLICATION,
    Kind.DECISION,
    Kind.CONFIRMATION,
    Kind.RECEIPT,
    Kind.CANCELLATION,
)
ACTORS: Final = ("terminal", "other", "first", "second", "third")
RIGHTFUL: Final = {
    Kind.REQUEST: {"terminal"},
    Kind.APPLICATION: {"first"},
    Kind.DECISION: {"second"},
    Kind.CONFIRMATION: {"terminal"},
    Kind.RECEIPT: {"terminal"},
    Kind.CANCELLATION: {"terminal", "first", "second"},
}
NOT_RIGHTFUL: Final = {
    Kind.REQUEST: Reason.WRONG_SIGNATORY,
    Kind.APPLICATION: Reason.NOT_FIRST_ADMINISTRATOR,
    Kind.DECISION: Reason.NOT_SECOND_ADMINISTRATOR,
    Kind.CONFIRMATION: Reason.WRONG_SIGNATORY,
    Kind.RECEIPT: Reason.WRONG_SIGNATORY,
    Kind.CANCELLATION: Reason.WRONG_SIGNATORY,
}
COUNTED: Final = {"attempts_left", "tries_left"}
ENDS: Final = {(Stage.AWAITING_CONFIRMATION, Kind.CONFIRMATION)}
"""A confirmation by the terminal itself that is no slip of the finger ends the request (row 5)."""


@dataclass(frozen=True)
class Cell:
    """One cell of the table."""

    stage: Stage
    actor: str
    kind: Kind

    @property
    def in_place(self) -> bool:
        """Whether the transition table names this kind at this stage."""
        return (self.stage, self.kind) in TRANSITIONS

    @property
    def reason(self) -> Reason | None:
        """The documented reason; None where the statement is accepted."""
        if not self.in_place:
            return Reason.WRONG_STAGE
        return None if self.actor in RIGHTFUL[self.kind] else NOT_RIGHTFUL[self.kind]


CELLS: Final = [Cell(s, a, k) for s in Stage for a in ACTORS for k in KINDS]


@cache
def _prepared(stage: Stage) -> Drive:
    return drive_to(stage, World.make())


def _drive(stage: Stage) -> Drive:
    """A fresh copy of a request at this stage: states are values, so sharing the past is safe."""
    past = _prepared(stage)
    drive = Drive(past.world, past.request, past.state, past.standing)
    drive.application, drive.confirmation = past.application, past.confirmation
    if stage is Stage.AWAITING_APPLICATION:
        drive.code_sent()
    return drive


def _say(drive: Drive, cell: Cell, **fields: Any) -> Verified[Any]:
    world = drive.world
    one = getattr(world, cell.actor)
    signer = one.device if cell.actor in {"terminal", "other"} else one.signer
    said: dict[str, Any] = {"signer": signer, **fields}
    if cell.kind is Kind.REQUEST:
        return world.request(**said)
    if cell.kind is Kind.CANCELLATION:
        return world.cancellation(drive.request, **said)
    if cell.kind is Kind.APPLICATION:
        return world.application(drive.request, **said)
    application = drive.application or world.application(drive.request)
    if cell.kind is Kind.DECISION:
        return world.decision(application, **said)
    if cell.kind is Kind.CONFIRMATION:
        return world.confirmation(application, **said)
    confirmation = drive.confirmation or world.confirmation(application)
    return world.receipt(confirmation, **said)


def _changed(before: CeremonyState, after: CeremonyState) -> set[str]:
    return {
        name for name in CeremonyState.model_fields if getattr(before, name) != getattr(after, name)
    }


def test_the_table_is_whole() -> None:
    """Ten stages, five actors, six kinds; each kind has a rightful signer and a reason."""
    assert len(CELLS) == 10 * 5 * 6
    assert set(RIGHTFUL) == set(NOT_RIGHTFUL) == set(KINDS) == {kind for _, kind in TRANSITIONS}


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("actor", ACTORS)
def test_every_statement_by_everyone_at_every_stage(stage: Stage, actor: str) -> None:
    """Accepted in its stage from its rightful signer; else the reason, and the state unchanged."""
    for cell in (Cell(stage, actor, kind) for kind in KINDS):
        drive = _drive(stage)
        before = drive.state
        verdict = drive.submit(_say(drive, cell))
        assert verdict.reason is cell.reason, cell
        if not verdict.accepted:
            assert drive.state == before, cell


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Kind.REQUEST])
def test_a_statement_about_another_request(stage: Stage, kind: Kind) -> None:
    """`wrong-request` from everyone at every stage, and nothing changes, no count either."""
    for actor in ACTORS:
        drive = _drive(stage)
        before = drive.state
        statement = _say(drive, Cell(stage, actor, kind), request_id="A" * 24)
        assert drive.submit(statement).reasons == (Reason.WRONG_REQUEST,)
        assert drive.state == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_statement_about_another_terminal(kind: Kind) -> None:
    """Where the kind is in place: a refusal that names the terminal, from whoever says it."""
    for stage in OPEN:
        for actor in ACTORS:
            cell = Cell(stage, actor, kind)
            drive = _drive(stage)
            before = drive.state
            verdict = drive.submit(_say(drive, cell, terminal_no="ATM-0002"))
            assert not verdict.accepted
            if not cell.in_place:
                assert verdict.reasons == (Reason.WRONG_STAGE,)
            else:
                assert {Reason.WRONG_TERMINAL, Reason.TERMINAL_NUMBER_WRONG} & set(verdict.reasons)
            if actor in RIGHTFUL[kind] and (stage, kind) in ENDS:
                assert drive.state.stage is Stage.FAILED
            else:
                assert _changed(before, drive.state) <= COUNTED


@pytest.mark.parametrize("kind", [Kind.APPLICATION, Kind.DECISION])
def test_an_expired_statement(kind: Kind) -> None:
    """Where the kind is in place: `statement-expired`, and nothing but a count changes."""
    for stage in OPEN:
        for actor in ACTORS:
            cell = Cell(stage, actor, kind)
            drive = _drive(stage)
            before = drive.state
            verdict = drive.submit(_say(drive, cell, expires_at=drive.world.now))
            if cell.in_place:
                assert Reason.STATEMENT_EXPIRED in verdict.reasons
            else:
                assert verdict.reasons == (Reason.WRONG_STAGE,)
            assert _changed(before, drive.state) <= COUNTED


def test_an_expired_approval_ends_the_request() -> None:
    """A confirmation after the approval's hour is refused for that, and final (row 5)."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    drive.world.pass_time(3_600)
    drive.confirm()
    assert drive.verdicts[-1].reason is Reason.APPROVAL_EXPIRED
    assert (drive.state.stage, drive.state.reason) == (Stage.FAILED, Reason.APPROVAL_EXPIRED)


@pytest.mark.parametrize("stage", sorted(FINAL))
def test_an_ended_request_answers_everything(stage: Stage) -> None:
    """Every statement to an ended request is `wrong-stage`, from everyone."""
    for cell in (cell for cell in CELLS if cell.stage is stage):
        drive = _drive(stage)
        before = drive.state
        assert drive.submit(_say(drive, cell)).reasons == (Reason.WRONG_STAGE,)
        assert drive.state == before
