"""A small world for tests: a deployment in which people and terminals sign genuine statements.

`World` signs each statement with the values that a correct ceremony would have, and takes an
override for every field and for the signer. What comes back is a `Verified` statement: it was
signed and its signature checked, so `.text`, `.digest`, `.payload` are what the system would see.

    world = World.make()
    request = world.request()
    application = world.application(request)
    decision = world.decision(application)
    confirmation = world.confirmation(application)
    receipt = world.receipt(confirmation, token_digest=..., kcv=...)

The clock stands still until `world.pass_time(seconds)`; nonces count. Keys are made once in a
test process and shared by its worlds.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ceremony.codes import TypedCode
from ceremony.qr import QrContents, current, qr_digest, qr_text
from ceremony.release_rule import Statements
from ceremony.statements import (
    ApplicationPayload,
    CancellationPayload,
    ConfirmationPayload,
    DecisionPayload,
    LoginPayload,
    Payload,
    ReceiptPayload,
    RequestBound,
    RequestPayload,
    request_id_of,
)
from ceremony.verification import Verified, verify
from tests.support.deployment import Deployment
from tests.support.identities import ORIGIN, Administrator, Signer, Terminal

P = TypeVar("P", bound=Payload)

FORMATS: Final = ("oaep-jws",)
SAMPLE_DIGEST: Final = "5a" * 32
SAMPLE_KCV: Final = "a1b2c3"


@dataclass
class World(Deployment):
    """A deployment with statements; use `make`, and pass what differs to each method."""

    def shown_qr(self, request: Verified[RequestPayload]) -> QrContents:
        """What the terminal's QR code seals now, for a request opened at its `iat`."""
        said = request.payload
        return current(
            request_id_of(request.digest), said.terminal_no, opened_at=said.iat, now=self.now
        )

    def qr_token(self, request: Verified[RequestPayload]) -> str:
        """The token in the QR code that the terminal shows now."""
        return self.qr.token(self.shown_qr(request))

    def qr_text(self, request: Verified[RequestPayload]) -> str:
        """The text of the QR code that the terminal shows now."""
        return qr_text(ORIGIN, self.qr_token(request))

    def sms_code(self, request: Verified[RequestPayload], n: int = 1) -> str:
        """SMS code n of this request."""
        scope = self.standing(self._about(request)).code_scope(request_id_of(request.digest))
        return self.codes.sms_code(scope, n)

    def approval_code(self, request: Verified[RequestPayload]) -> str:
        """The approval code of this request."""
        scope = self.standing(self._about(request)).code_scope(request_id_of(request.digest))
        return self.codes.approval_code(scope)

    def typed(
        self, statement: Verified[ApplicationPayload] | Verified[ConfirmationPayload], code: str
    ) -> TypedCode:
        """A code typed with a statement, as it travels: SMS code 1, or the approval code."""
        request_id = statement.payload.request_id
        if isinstance(statement.payload, ApplicationPayload):
            return self.edge.seal("sms", request_id, 1, statement.digest, code)
        return self.edge.seal("approval", request_id, 0, statement.digest, code)

    def signed(self, payload: P, signer: Signer) -> Verified[P]:
        """Sign any payload and verify it against its own signer's key."""
        return verify(
            signer.sign(payload),
            type(payload),
            [signer.enrolled],
            audience=payload.aud,
            passkeys=self.trust.passkeys,
        )

    def request(
        self, *, about: Terminal | None = None, signer: Signer | None = None, **fields: Any
    ) -> Verified[RequestPayload]:
        """The terminal asks for a key."""
        one = about or self.terminal
        payload = {
            **self.common(),
            "terminal_no": one.terminal_no,
            "epp_fingerprint": one.epp.fingerprint,
            "formats": FORMATS,
            "challenge": self.challenges.issue(self.now),
            "current_kcv": None,
            "reload_reason": "planned replacement",
            **fields,
        }
        return self.signed(RequestPayload(**payload), signer or one.device)

    def application(
        self,
        request: Verified[RequestPayload],
        *,
        signer: Signer | None = None,
        **fields: Any,
    ) -> Verified[ApplicationPayload]:
        """The first administrator applies, for ten hours, having scanned the code now shown."""
        one = self._about(request)
        payload = {
            **self.common(),
            "request_id": request_id_of(request.digest),
            "terminal_no": one.terminal_no,
            "administrator": self.first.staff_no,
            "epp_fingerprint": one.epp.fingerprint,
            "registry_digest": fields.get("registry_digest") or self.standing(one).registry_digest,
            "qr_digest": fields.get("qr_digest") or qr_digest(self.qr_token(request)),
            "expires_at": self.now + 36_000,
            **fields,
        }
        return self.signed(ApplicationPayload(**payload), signer or self.first.signer)

    def decision(
        self,
        application: Verified[ApplicationPayload],
        *,
        signer: Signer | None = None,
        **fields: Any,
    ) -> Verified[DecisionPayload]:
        """The second administrator decides about an application: approves, unless told else."""
        said = application.payload
        payload = {
            **self._follow(said),
            "administrator": self.second.staff_no,
            "epp_fingerprint": said.epp_fingerprint,
            "registry_digest": said.registry_digest,
            "application_digest": application.digest,
            "decision": "approve",
            "reason_code": None,
            "reason": None,
            "expires_at": self.now + 3_600,
            **fields,
        }
        return self.signed(DecisionPayload(**payload), signer or self.second.signer)

    def confirmation(
        self,
        application: Verified[ApplicationPayload],
        *,
        signer: Signer | None = None,
        **fields: Any,
    ) -> Verified[ConfirmationPayload]:
        """The terminal confirms an application; the EPP's nonce is new each time."""
        said = application.payload
        payload = {
            **self._follow(said),
            "administrator": said.administrator,
            "epp_fingerprint": said.epp_fingerprint,
            "qr_digest": said.qr_digest,
            "krd_nonce": self.nonce(),
            **fields,
        }
        return self.signed(ConfirmationPayload(**payload), signer or self._device(said))

    def receipt(
        self,
        about: Verified[ConfirmationPayload],
        *,
        signer: Signer | None = None,
        **fields: Any,
    ) -> Verified[ReceiptPayload]:
        """The terminal's receipt: loaded, with a sample KCV, unless told else."""
        said = about.payload
        refused = fields.get("outcome") == "refused"
        payload = {
            **self._follow(said),
            "epp_fingerprint": said.epp_fingerprint,
            "token_digest": SAMPLE_DIGEST,
            "outcome": "loaded",
            "kcv": None if refused else SAMPLE_KCV,
            "error": "DuplicateKey" if refused else None,
            "epp_proof": None,
            **fields,
        }
        return self.signed(ReceiptPayload(**payload), signer or self._device(said))

    def cancellation(
        self, request: Verified[RequestPayload], *, signer: Signer | None = None, **fields: Any
    ) -> Verified[CancellationPayload]:
        """The terminal, or another `signer`, cancels."""
        payload = {
            **self.common(),
            "request_id": request_id_of(request.digest),
            "terminal_no": request.payload.terminal_no,
            "reason_code": "not-needed",
            "reason": None,
            **fields,
        }
        return self.signed(CancellationPayload(**payload), signer or self._about(request).device)

    def login(self, who: Administrator | None = None, **fields: Any) -> Verified[LoginPayload]:
        """An administrator signs in."""
        one = who or self.first
        payload = {
            **self.common(),
            "administrator": one.staff_no,
            "challenge": self.challenges.issue(self.now),
            **fields,
        }
        return self.signed(LoginPayload(**payload), one.signer)

    def release_case(
        self,
        request: Verified[RequestPayload],
        application: Verified[ApplicationPayload],
        decision: Verified[DecisionPayload],
        confirmation: Verified[ConfirmationPayload],
        **fields: Any,
    ) -> Statements:
        """What the key worker is asked with: the four texts, the QR code, the right codes."""
        shown = self.shown_qr(request)
        case = {
            "request": request.text,
            "application": application.text,
            "decision": decision.text,
            "confirmation": confirmation.text,
            "qr_n": shown.n,
            "qr_expires_at": shown.expires_at,
            "sms_code": self.typed(application, self.sms_code(request)),
            "approval_code": self.typed(confirmation, self.approval_code(request)),
            **fields,
        }
        return Statements(**case)

    def _about(self, request: Verified[RequestPayload]) -> Terminal:
        return self._terminal_of(request.payload.terminal_no)

    def _device(self, said: RequestBound) -> Signer:
        return self._terminal_of(said.terminal_no).device

    def _terminal_of(self, terminal_no: str) -> Terminal:
        return self.other if terminal_no == self.other.terminal_no else self.terminal

    def _follow(self, said: RequestBound) -> dict[str, Any]:
        return {
            **self.common(),
            "request_id": said.request_id,
            "terminal_no": said.terminal_no,
        }
