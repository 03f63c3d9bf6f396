"""Driving the pure ceremony in tests: a state, the facts of the moment, and every stage."""

from dataclasses import dataclass, field
from typing import Any

from ceremony.checks import Facts
from ceremony.reasons import Reason
from ceremony.reducer import (
    advance,
    code_sent,
    expired,
    open_request,
    release_refused,
    released,
    settled,
)
from ceremony.stages import Stage
from ceremony.standing import Standing
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import (
    ApplicationPayload,
    ConfirmationPayload,
    DecisionPayload,
    RequestPayload,
)
from ceremony.verification import Verified
from tests.support.world import FORMATS, SAMPLE_DIGEST, SAMPLE_KCV, World


@dataclass
class Drive:
    """One loading request of a world's `terminal`, driven without workflow or database.

    `state` is where it stands; the accepted statements are kept as they come. `facts` are what a
    correct system would find now, with overrides.
    """

    world: World
    request: Verified[RequestPayload]
    state: CeremonyState
    standing: Standing
    application: Verified[ApplicationPayload] | None = None
    decision: Verified[DecisionPayload] | None = None
    confirmation: Verified[ConfirmationPayload] | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    @classmethod
    def open(cls, world: World) -> "Drive":
        """Open a request."""
        standing = world.standing()
        request = world.request()
        facts = Facts(
            now=world.now,
            terminal=standing.terminal,
            standing=standing,
            formats=frozenset(FORMATS),
        )
        return cls(world, request, open_request(request, facts).state, standing)

    def facts(self, **found: Any) -> Facts:
        """The facts of this moment for any statement: right codes, the QR code now shown."""
        facts: dict[str, Any] = {
            "now": self.world.now,
            "terminal": self.standing.terminal,
            "standing": self.standing,
            "qr": self.world.shown_qr(self.request),
            "code_n": len(self.state.codes_sent_at),
            "code_right": True,
            "tokens": frozenset({self.state.token_digest} - {None}),
            "formats": frozenset(FORMATS),
            **found,
        }
        return Facts(**facts)

    def submit(self, statement: Verified[Any], **found: Any) -> Verdict:
        """Advance by a statement, keep what came of it, and give the verdict."""
        after = advance(self.state, statement, self.facts(**found))
        self.state = after.state
        self.verdicts.append(after.verdict)
        return after.verdict

    def code_sent(self) -> None:
        """Send the next SMS code."""
        self.state = code_sent(self.state, self.world.now)

    def apply(self) -> None:
        """Let the first administrator apply."""
        self.code_sent()
        self.application = self.world.application(self.request)
        self.submit(self.application)

    def decide(self, decision: str = "approve") -> None:
        """Let the second administrator decide."""
        assert self.application is not None
        self.decision = self.world.decision(self.application, decision=decision)
        self.submit(self.decision)

    def confirm(self) -> None:
        """Let the terminal confirm."""
        assert self.application is not None
        self.confirmation = self.world.confirmation(self.application)
        self.submit(self.confirmation)

    def release(self, token_digest: str = SAMPLE_DIGEST) -> None:
        """Let the key worker release."""
        assert self.confirmation is not None
        self.state = released(self.state, self.confirmation.digest, token_digest)

    def mistype(self, tries: int = 0) -> None:
        """Let the terminal confirm with an approval code that the key worker finds wrong."""
        self.confirm()
        self.state = release_refused(self.state, Reason.APPROVAL_CODE_WRONG, tries)

    def settle(self, *, active: bool = True) -> None:
        """Let the terminal's receipt arrive and the key worker settle it."""
        assert self.confirmation is not None
        self.submit(self.world.receipt(self.confirmation))
        self.state = settled(
            self.state,
            active=active,
            reason=Reason.LOADED if active else Reason.KCV_WRONG,
            kcv=SAMPLE_KCV if active else None,
        )


def drive_to(stage: Stage, world: World | None = None) -> Drive:
    """Drive a request to a stage by the shortest way; the clock does not move."""
    drive = Drive.open(world or World.make())
    if stage is Stage.CANCELLED:
        drive.submit(drive.world.cancellation(drive.request))
    elif stage is Stage.FAILED:
        _fail(drive)
    elif stage is not Stage.AWAITING_APPLICATION:
        drive.apply()
        _go_on(drive, stage)
    assert drive.state.stage is stage
    return drive


def _fail(drive: Drive) -> None:
    drive.code_sent()
    for _ in range(drive.state.attempts_left):
        drive.submit(drive.world.application(drive.request), code_right=False)


def _go_on(drive: Drive, stage: Stage) -> None:
    if stage is Stage.AWAITING_REVIEW:
        return
    if stage is Stage.EXPIRED:
        drive.state = expired(drive.state)
        return
    drive.decide("reject" if stage is Stage.REJECTED else "approve")
    if stage in {Stage.REJECTED, Stage.AWAITING_CONFIRMATION}:
        return
    drive.confirm()
    drive.release()
    if stage is not Stage.AWAITING_RECEIPT:
        drive.settle(active=stage is Stage.LOADED)
