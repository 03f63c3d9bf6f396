"""The recording activities called as a workflow calls them, over a real database, without Temporal.

recording = Recording.make(tmp_path)
recording.open()
recording.apply()
recording.decide()
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activities.ceremony_records import CeremonyRecords
from activities.facts import FactFinder
from ceremony.messages import (
    Opening,
    Recorded,
    ReleaseCommand,
    ReleaseStep,
    StatementStep,
    Submission,
)
from ceremony.reducer import code_sent
from ceremony.state import CeremonyState
from ceremony.statements import (
    ApplicationPayload,
    ConfirmationPayload,
    DecisionPayload,
    RequestPayload,
    request_id_of,
)
from ceremony.verification import Verified
from records import attempts, audit, verdicts
from records.tables.audit_event import AuditEventRow
from records.tables.verdict import VerdictRow
from tests.support.backstage import Backstage
from tests.support.world import World


@dataclass
class Recording:
    """One loading request at a time; `state` is what its workflow would hold."""

    stage: Backstage
    world: World
    records: CeremonyRecords
    request: Verified[RequestPayload]
    state: CeremonyState
    application: Verified[ApplicationPayload] | None = None
    decision: Verified[DecisionPayload] | None = None
    confirmation: Verified[ConfirmationPayload] | None = None

    @classmethod
    def make(cls, folder: Path, world: World | None = None) -> "Recording":
        """Make a database with the world's registry, and open a request."""
        world = world or World.make()
        stage = Backstage.make(folder, world, clock=lambda: world.now)
        return cls.opened(stage)

    @classmethod
    def opened(
        cls, stage: Backstage, request: Verified[RequestPayload] | None = None
    ) -> "Recording":
        """Open a request on a stage, by this statement or a new one."""
        world = stage.world
        records = CeremonyRecords(
            stage.database, FactFinder(world.trust, world.codes, world.edge), stage.clock
        )
        asked = request or world.request()
        stage.file(asked)
        recorded = records.record_opening(opening_of(asked))
        return cls(stage, world, records, asked, recorded.state)

    @property
    def request_id(self) -> str:
        """The loading request's id."""
        return request_id_of(self.request.digest)

    def record(self, submission: Submission) -> Recorded:
        """Record a filed statement against the state, and adopt what comes back."""
        step = StatementStep(state=self.state, digest=submission.digest)
        recorded = self.records.record_statement(step)
        self.state = recorded.state
        return recorded

    def code(self) -> None:
        """Let the first administrator ask for the next SMS code, and send it."""
        self.stage.note_asked(self.request, len(self.state.codes_sent_at) + 1)
        self.state = code_sent(self.state, self.world.now)

    def guess(self, code: str, **bent: Any) -> Recorded:
        """Record an application with this SMS code."""
        return self.record(self.filed_application(code, **bent))

    def filed_application(self, code: str, *, n: int = 1, **bent: Any) -> Submission:
        """File an application with this SMS code."""
        self.application = self.world.application(self.request, **bent)
        return self.stage.file_application(self.request, self.application, code=code, n=n)

    def apply(self, **bent: Any) -> Recorded:
        """Send a code and record the first administrator's application with it."""
        self.code()
        return self.guess(self.world.sms_code(self.request), **bent)

    def decide(self, **bent: Any) -> Recorded:
        """Record the second administrator's decision."""
        assert self.application is not None
        self.decision = self.world.decision(self.application, **bent)
        return self.record(self.stage.file(self.decision))

    def filed_confirmation(self, code: str | None = None, **bent: Any) -> Submission:
        """File a confirmation with the right approval code, or with this one."""
        assert self.application is not None
        self.confirmation = self.world.confirmation(self.application, **bent)
        typed = code or self.world.approval_code(self.request)
        return self.stage.file_confirmation(self.confirmation, code=typed)

    def confirm(self, code: str | None = None, **bent: Any) -> Recorded:
        """Record a confirmation, up to the key worker's part."""
        return self.record(self.filed_confirmation(code, **bent))

    def command(self) -> ReleaseCommand:
        """What the workflow asks the key worker."""
        assert self.confirmation is not None
        return ReleaseCommand(
            request_id=self.request_id,
            terminal_no=self.state.terminal_no,
            request=self.state.request_digest,
            application=self.state.application_digest or "",
            decision=self.state.decision_digest or "",
            confirmation=self.confirmation.digest,
        )

    def release(self) -> Recorded:
        """Let the key worker release, and record its answer."""
        assert self.confirmation is not None
        outcome = self.stage.release().release(self.command())
        step = ReleaseStep(state=self.state, digest=self.confirmation.digest, outcome=outcome)
        recorded = self.records.record_release(step)
        self.state = recorded.state
        return recorded

    def tried(self, code: str | None = None, **bent: Any) -> Recorded:
        """Record a confirmation with this approval code, and what the key worker answers."""
        checked = self.confirm(code, **bent)
        return self.release() if checked.verdict.accepted else checked

    def released(self) -> Recorded:
        """Go all the way to a released key."""
        self.apply()
        self.decide()
        self.confirm()
        return self.release()

    def filed_receipt(self, **bent: Any) -> Submission:
        """File the terminal's receipt, right unless bent."""
        assert self.confirmation is not None
        said = {
            "token_digest": self.state.token_digest,
            "kcv": self.stage.journal.kcv_of(self.request_id),
            **bent,
        }
        return self.stage.file(self.world.receipt(self.confirmation, **said))

    def verdict(self, digest: str) -> VerdictRow | None:
        """The stored verdict on a statement."""
        with self.stage.database.read() as session:
            return verdicts.find(session, digest)

    def events(self) -> list[AuditEventRow]:
        """The audit trail of the request."""
        with self.stage.database.read() as session:
            return list(audit.of_request(session, self.request_id))

    def used(self, scope: str) -> int:
        """How many attempts of a scope are used."""
        with self.stage.database.read() as session:
            return attempts.used(session, scope)


def opening_of(request: Verified[RequestPayload]) -> Opening:
    """What the API starts a workflow with."""
    return Opening(
        request_id=request_id_of(request.digest),
        terminal_no=request.payload.terminal_no,
        digest=request.digest,
    )
