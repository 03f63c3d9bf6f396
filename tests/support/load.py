"""One loading request, driven over signals on a real Temporal server as people would drive it."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle

from ceremony import names
from ceremony.messages import CodeRequest, LoadingResult
from ceremony.stages import Stage
from ceremony.statements import (
    ApplicationPayload,
    ConfirmationPayload,
    DecisionPayload,
    Kind,
    RequestPayload,
    request_id_of,
)
from ceremony.verification import Verified
from records import audit, keystore
from records.tables.loading_request import LoadingRequestRow
from records.tables.token import TokenRow
from records.tables.verdict import VerdictRow
from tests.support.backstage import PATIENCE, Backstage
from tests.support.identities import Signer, Terminal

WRONG_SMS_CODE: Final = "no code"
WRONG_APPROVAL_CODE: Final = "none"


@dataclass
class Load:
    """A loading request of one of the world's terminals; use `open`.

    Each act stores a statement, signals it, waits for its verdict and gives it. The statements
    that were made last are kept, whatever their verdict.
    """

    stage: Backstage
    handle: WorkflowHandle[Any, LoadingResult]
    request: Verified[RequestPayload]
    codes: int = 0
    made_application: Verified[ApplicationPayload] | None = None
    made_decision: Verified[DecisionPayload] | None = None
    made_confirmation: Verified[ConfirmationPayload] | None = None

    @classmethod
    async def open(
        cls, stage: Backstage, client: Client, *, about: Terminal | None = None, **fields: Any
    ) -> "Load":
        """Let a terminal ask for a key, and wait until the request is open."""
        load = await cls.begin(stage, client, about=about, **fields)
        await stage.verdict(load.request.digest)
        return load

    @classmethod
    async def begin(
        cls, stage: Backstage, client: Client, *, about: Terminal | None = None, **fields: Any
    ) -> "Load":
        """Let a terminal ask for a key; no worker need be there."""
        request = stage.world.request(about=about, **fields)
        return cls(stage, await stage.open(client, request), request)

    @property
    def request_id(self) -> str:
        """The id that follows from the request statement."""
        return request_id_of(self.request.digest)

    @property
    def application(self) -> Verified[ApplicationPayload]:
        """The application that was made last."""
        assert self.made_application is not None
        return self.made_application

    @property
    def decision(self) -> Verified[DecisionPayload]:
        """The decision that was made last."""
        assert self.made_decision is not None
        return self.made_decision

    @property
    def confirmation(self) -> Verified[ConfirmationPayload]:
        """The confirmation that was made last."""
        assert self.made_confirmation is not None
        return self.made_confirmation

    @property
    def row(self) -> LoadingRequestRow:
        """The projection."""
        return self.stage.row(self.request_id)

    async def ask_code(self) -> None:
        """Let the first administrator ask for the next SMS code, and wait until it was sent."""
        await self.stage.ask_code(self.handle, self.request, self.codes + 1)
        self.codes += 1

    async def begin_code(self, n: int = 1) -> None:
        """Let the first administrator ask for SMS code n, and do not wait for it."""
        self.stage.note_asked(self.request, n)
        await self.handle.signal(
            names.SIGNAL_CODE_REQUESTED, CodeRequest(request_id=self.request_id, n=n)
        )

    def sign_application(self, signer: Signer | None = None, **fields: Any) -> None:
        """Make an application without submitting it."""
        self.made_application = self.stage.world.application(self.request, signer=signer, **fields)

    async def apply(
        self, *, code: str | None = None, signer: Signer | None = None, **fields: Any
    ) -> VerdictRow:
        """Let the first administrator apply, with the right SMS code unless told else."""
        if self.codes == 0:
            await self.ask_code()
        self.sign_application(signer, **fields)
        typed = code or self.stage.world.sms_code(self.request, self.codes)
        filed = self.stage.file_application(
            self.request, self.application, code=typed, n=self.codes
        )
        return await self.stage.signal(self.handle, Kind.APPLICATION, filed)

    async def decide(
        self, decision: str = "approve", *, signer: Signer | None = None, **fields: Any
    ) -> VerdictRow:
        """Let the second administrator decide: approve, unless told else."""
        self.made_decision = self.stage.world.decision(
            self.application, signer=signer, decision=decision, **fields
        )
        return await self.stage.signal(
            self.handle, Kind.DECISION, self.stage.file(self.made_decision)
        )

    async def confirm(self, *, code: str | None = None, **fields: Any) -> VerdictRow:
        """Let the terminal confirm, with the right approval code unless told else."""
        self.made_confirmation = self.stage.world.confirmation(self.application, **fields)
        typed = code or self.stage.world.approval_code(self.request)
        filed = self.stage.file_confirmation(self.made_confirmation, code=typed)
        return await self.stage.signal(self.handle, Kind.CONFIRMATION, filed)

    async def receive(self, **fields: Any) -> VerdictRow:
        """Let the terminal answer its newest token: loaded, with the right KCV."""
        said = {
            "token_digest": self.tokens()[-1].token_digest,
            "kcv": self.stage.journal.kcv_of(self.request_id),
            **fields,
        }
        receipt = self.stage.world.receipt(self.confirmation, **said)
        return await self.stage.signal(self.handle, Kind.RECEIPT, self.stage.file(receipt))

    async def cancel(self, signer: Signer | None = None) -> VerdictRow:
        """Let the terminal, or another signer, cancel."""
        cancellation = self.stage.world.cancellation(self.request, signer=signer)
        return await self.stage.signal(
            self.handle, Kind.CANCELLATION, self.stage.file(cancellation)
        )

    async def to(self, stage: Stage) -> "Load":
        """Go on from AWAITING_APPLICATION, by the shortest way, to a later open stage or LOADED."""
        way = (
            (Stage.AWAITING_APPLICATION, None),
            (Stage.AWAITING_REVIEW, self.apply),
            (Stage.AWAITING_CONFIRMATION, self.decide),
            (Stage.AWAITING_RECEIPT, self.confirm),
            (Stage.LOADED, self.receive),
        )
        for reached, act in way:
            if act is not None:
                verdict = await act()
                assert verdict.accepted, verdict.reason
            if reached is stage:
                return self
        raise ValueError(f"{stage} is not on the way")

    async def told(self, what: str) -> None:
        """Wait until this SMS was sent: `code-1`, `review`, `approved` or `ended`."""
        await self.stage.until(lambda: what in self.sms() or None)

    async def result(self) -> LoadingResult:
        """Wait for the workflow's result."""
        async with asyncio.timeout(PATIENCE):
            return await self.handle.result()

    def tokens(self) -> list[TokenRow]:
        """The key tokens that were given, the release's first."""
        with self.stage.database.read() as session:
            return list(keystore.tokens_of(session, self.request_id))

    def events(self) -> list[tuple[str, str | None]]:
        """The audit trail's events and reason codes, in order."""
        with self.stage.database.read() as session:
            return [(one.event, one.reason) for one in audit.of_request(session, self.request_id)]

    def sms(self) -> list[str]:
        """What was sent by SMS about this request, in order."""
        mine = f"{self.request_id}/sms/"
        return [step.removeprefix(mine) for step in self.stage.sent_steps if mine in step]
