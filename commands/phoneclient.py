"""An administrator's side of the HTTP contract, with an enrolled JWK in place of a passkey.

It shares nothing with the server but the pure rules: what is signed here is put together here,
from what the server shows and from what the person types.
"""

import time
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from ceremony.keys import SigningKey
from ceremony.signing import new_nonce, sign
from ceremony.stages import Stage
from ceremony.statements import ApplicationPayload, DecisionPayload, LoginPayload
from terminal.transport import TROUBLES, Answer, PatientHttp

EXPIRY_SECONDS: Final = 3_600
"""How long an application or a decision is signed for; the server's limit may be sooner."""


class _Challenge(Answer):
    challenge: str


class _Session(Answer):
    session_token: str


class CodeSent(Answer):
    """An SMS code is on its way: code `n`, to a number that is shown masked."""

    sent_to: str
    n: int
    expires_at: int
    resend_after: int


class ApplicationDocument(Answer):
    """What the application must name; the terminal's number is typed, never shown."""

    request_id: str
    administrator: str
    epp_fingerprint: str
    registry_digest: str
    qr_digest: str
    expires_at_max: int


class Applied(Answer):
    """An accepted application."""

    request_id: str
    stage: Stage


class Review(Answer):
    """An application that awaits this administrator."""

    request_id: str
    terminal_no: str
    first_administrator: str


class _Reviews(Answer):
    reviews: tuple[Review, ...]


class ReviewDocument(Answer):
    """What the decision must name."""

    request_id: str
    terminal_no: str
    administrator: str
    epp_fingerprint: str
    registry_digest: str
    application_digest: str
    expires_at_max: int


class Decided(Answer):
    """Where the loading request stands after the decision."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class Reasoned:
    """A decision as the administrator makes it."""

    decision: Literal["approve", "reject"]
    reason_code: str | None = None
    reason: str | None = None


class Phone:
    """One administrator's phone. `audience` is pinned, so that no other deployment is signed for.

    Every method may raise what `PatientHttp.call` raises.
    """

    def __init__(self, http: PatientHttp, key: SigningKey, staff_no: str, audience: str) -> None:
        """Bind server, key and person; `login` comes first."""
        self._http = http
        self._key = key
        self._staff_no = staff_no
        self._audience = audience
        self._headers: dict[str, str] = {}

    def login(self) -> None:
        """Sign in: a session for half an hour."""
        challenge = self._http.call("POST", "/v1/challenges", _Challenge).challenge
        payload = LoginPayload(
            aud=self._audience,
            iat=_now(),
            nonce=new_nonce(),
            administrator=self._staff_no,
            challenge=challenge,
        )
        opened = self._http.call(
            "POST", "/v1/sessions", _Session, json={"statement": sign(payload, self._key)}
        )
        self._headers = {"Authorization": f"Bearer {opened.session_token}"}

    def ask_code(self, qr_text: str) -> CodeSent:
        """Ask for an SMS code after scanning."""
        return self._http.call(
            "POST",
            "/v1/applications/sms-codes",
            CodeSent,
            # Here 202 is the answer: the SMS itself is still under way.
            again=TROUBLES,
            json={"qr_text": qr_text},
            headers=self._headers,
        )

    def document(self, qr_text: str) -> ApplicationDocument:
        """See what the application must name."""
        return self._http.call(
            "POST",
            "/v1/applications/document",
            ApplicationDocument,
            json={"qr_text": qr_text},
            headers=self._headers,
        )

    def apply(
        self, document: ApplicationDocument, qr_text: str, terminal_no: str, sms_code: str
    ) -> Applied:
        """Sign and send an application for the terminal whose number was typed."""
        now = _now()
        payload = ApplicationPayload(
            aud=self._audience,
            iat=now,
            nonce=new_nonce(),
            request_id=document.request_id,
            terminal_no=terminal_no,
            administrator=self._staff_no,
            epp_fingerprint=document.epp_fingerprint,
            registry_digest=document.registry_digest,
            qr_digest=document.qr_digest,
            expires_at=min(document.expires_at_max, now + EXPIRY_SECONDS),
        )
        return self._http.call(
            "POST",
            "/v1/applications",
            Applied,
            json={
                "statement": sign(payload, self._key),
                "qr_text": qr_text,
                "sms_code": sms_code,
            },
            headers=self._headers,
        )

    def reviews(self) -> tuple[Review, ...]:
        """See what awaits this administrator."""
        return self._http.call("GET", "/v1/reviews", _Reviews, headers=self._headers).reviews

    def review(self, request_id: str) -> ReviewDocument:
        """See what the decision must name."""
        path = f"/v1/reviews/{quote(request_id, safe='')}"
        return self._http.call("GET", path, ReviewDocument, headers=self._headers)

    def decide(self, document: ReviewDocument, decided: Reasoned) -> Decided:
        """Sign and send a decision."""
        now = _now()
        payload = DecisionPayload(
            aud=self._audience,
            iat=now,
            nonce=new_nonce(),
            request_id=document.request_id,
            terminal_no=document.terminal_no,
            administrator=self._staff_no,
            epp_fingerprint=document.epp_fingerprint,
            registry_digest=document.registry_digest,
            application_digest=document.application_digest,
            decision=decided.decision,
            reason_code=decided.reason_code,
            reason=decided.reason,
            expires_at=min(document.expires_at_max, now + EXPIRY_SECONDS),
        )
        return self._http.call(
            "POST",
            f"/v1/reviews/{quote(document.request_id, safe='')}/decision",
            Decided,
            json={"statement": sign(payload, self._key)},
            headers=self._headers,
        )


def _now() -> int:
    return int(time.time())
