"""A genuine loading request over HTTP: what honest people and an honest terminal do, step by step.

Each act signs its statement, posts it and gives the answer; every field, signer and typed code may
be overridden, which is how a dishonest one is made.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx

from ceremony.encoding import from_b64, from_b64url, sha256_hex, strict_json
from ceremony.keys import SigningKey
from ceremony.qr import qr_digest, token_of
from ceremony.signing import new_nonce, sign
from ceremony.stages import Stage
from ceremony.statements import (
    ApplicationPayload,
    CancellationPayload,
    ConfirmationPayload,
    DecisionPayload,
    LoginPayload,
    Payload,
    ReceiptPayload,
    RequestPayload,
)
from ceremony.verification import peek
from terminal.epp import Epp
from tests.support.attacked import AUDIENCE, Bench, Person, Place
from tests.support.authenticator import Passkey
from tests.support.ledger import Account

PATIENCE: Final = 40.0
"""Seconds to wait for what must come; a slow machine needs some of it."""
NOTHING: Final = "0f" * 32
"""The digest of no statement."""
CODE: Final = re.compile(r"SMS code (\d{6})")
APPROVAL: Final = re.compile(r"Approval code (\d{4})")

T = TypeVar("T")
Signer = SigningKey | Passkey


async def eventually(look: Callable[[], T | None], what: str = "it") -> T:
    """Wait until `look` finds something, and give it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come")
        await asyncio.sleep(0.05)


def digest_of(text: str) -> str:
    """The statement digest of a statement text."""
    return peek(text).digest


def signed(payload: Payload, signer: Signer) -> str:
    """A statement's text, as a key or a passkey signs it."""
    return signer.sign(payload) if isinstance(signer, Passkey) else sign(payload, signer)


def written(text: str) -> Any:
    """A statement as it stands in a body: a JWS as a string, a passkey's as an object."""
    return strict_json(text) if text.startswith("{") else text


def common() -> dict[str, Any]:
    """What every statement says, now."""
    return {"aud": AUDIENCE, "iat": int(time.time()), "nonce": new_nonce()}


async def sign_in(http: httpx.AsyncClient, who: Person) -> str:
    """Open a session; gives its token."""
    challenge = (await http.post("/v1/challenges")).json()["challenge"]
    login = LoginPayload(**common(), administrator=who.staff_no, challenge=challenge)
    answer = await http.post("/v1/sessions", json={"statement": written(signed(login, who.signer))})
    assert answer.status_code == 201, answer.text
    # A browser would send the cookie by itself; here every call says whose session it is in.
    http.cookies.clear()
    return str(answer.json()["session_token"])


@dataclass
class Ceremony:
    """One loading request; use `open`. The statement texts that were made last are kept."""

    bench: Bench
    place: Place
    http: httpx.AsyncClient
    epp: Epp
    said: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    status_token: str = ""
    qr_text: str = ""
    registry_digest: str = ""
    token: str = ""
    kcv: str = ""
    patient: bool = True
    last: tuple[str, dict[str, Any], str | None] = ("", {}, None)

    @classmethod
    async def open(cls, bench: Bench, place: Place | None = None) -> "Ceremony":
        """Let the terminal ask for a key."""
        place = place or await bench.place()
        load = cls(bench, place, bench.http(place), place.epp())
        load.opened(await load.ask())
        return load

    def opened(self, answer: httpx.Response) -> None:
        """Take what the terminal was answered."""
        assert answer.status_code == 201, answer.text
        said = answer.json()
        self.request_id, self.status_token = said["request_id"], said["status_token"]
        if said["qr"]:
            self.qr_text = said["qr"]["text"]
        # What the honest phone and the review page show, as they stood at the opening.
        sql = "SELECT registry_digest FROM loading_requests WHERE request_id = ?"
        self.registry_digest = str(self.bench.value(sql, self.request_id))

    @classmethod
    async def at(cls, bench: Bench, stage: Stage, place: Place | None = None) -> "Ceremony":
        """Bring a new loading request to a stage, by genuine steps only."""
        load = await cls.open(bench, place)
        return await load.to(stage)

    async def to(self, stage: Stage) -> "Ceremony":
        """Go on to a stage, by the shortest way."""
        way: tuple[tuple[Stage, Callable[[], Awaitable[httpx.Response]]], ...] = (
            (Stage.AWAITING_REVIEW, self.apply),
            (Stage.AWAITING_CONFIRMATION, self.decide),
            (Stage.AWAITING_RECEIPT, self.confirm),
            (Stage.LOADED, self.receive),
        )
        order = [Stage.AWAITING_APPLICATION, *(reached for reached, _ in way)]
        now = order.index(self.stage)
        for reached, act in way[now : order.index(stage)]:
            if reached is Stage.AWAITING_RECEIPT:
                self.bench.expected.add(self.request_id)
            answer = await act()
            assert answer.status_code == 200, answer.text
            assert answer.json()["stage"] == reached, answer.text
        return self

    # ---- what stands

    @property
    def stage(self) -> Stage:
        """The projection's stage."""
        sql = "SELECT stage FROM loading_requests WHERE request_id = ?"
        return Stage(str(self.bench.value(sql, self.request_id)))

    @property
    def account(self) -> Account:
        """How the terminal's keys stand, by the journal."""
        return self.bench.ledger.account(self.place.terminal_no)

    def digest(self, kind: str) -> str:
        """The digest of the statement of this kind that was made last."""
        return digest_of(self.said[kind])

    def command(self, **digests: str) -> dict[str, str]:
        """The release command of this request's own statements, but for what is given."""
        kinds = ("request", "application", "decision", "confirmation")
        said = {kind: self.digest(kind) if kind in self.said else NOTHING for kind in kinds}
        bound = {"request_id": self.request_id, "terminal_no": self.place.terminal_no}
        return {**bound, **said, **digests}

    def sms(self, pattern: re.Pattern[str], who: Person) -> list[str]:
        """What a person's phone got about this request that matches, oldest first."""
        found = [
            pattern.search(one.text)
            for one in self.bench.ledger.messages(who.number)
            if one.step.startswith(f"{self.request_id}/")
        ]
        return [match[1] for match in found if match]

    def steps(self) -> list[str]:
        """What was sent about this request: `code-1`, `review` and so on."""
        mine = f"{self.request_id}/sms/"
        messages = self.bench.ledger.messages()
        return [one.step.removeprefix(mine) for one in messages if one.step.startswith(mine)]

    async def reaches(self, stage: Stage) -> None:
        """Wait until the projection shows a stage."""
        await eventually(lambda: self.stage is stage, stage)

    async def sends(self, step: str) -> None:
        """Wait until a message was sent: `review`, `approved` and so on."""
        await eventually(lambda: step in self.steps(), f"the SMS {step}")

    # ---- acts

    async def ask(self, *, signer: SigningKey | None = None, **fields: Any) -> httpx.Response:
        """POST a `request`."""
        challenge = (await self.http.post("/v1/challenges")).json()["challenge"]
        said = {
            "terminal_no": self.place.terminal_no,
            "epp_fingerprint": self.epp.fingerprint,
            "formats": ("oaep-jws",),
            "challenge": challenge,
            "current_kcv": None,
            "reload_reason": "planned replacement",
            **fields,
        }
        text = self._sign("request", RequestPayload, signer or self.place.device, said)
        return await self.post("/v1/loading-requests", {"statement": text})

    async def ask_code(self) -> httpx.Response:
        """Ask for an SMS code, in the first administrator's session."""
        return await self.post(
            "/v1/applications/sms-codes",
            {"qr_text": self.qr_text},
            session=await self.session(self.place.first),
        )

    async def sms_code(self) -> str:
        """The SMS code that the first administrator's phone got last; asks if there is none."""
        if not self.sms(CODE, self.place.first):
            answer = await self.ask_code()
            assert answer.status_code == 202, answer.text
        codes = await eventually(lambda: self.sms(CODE, self.place.first) or None, "the SMS code")
        return codes[-1]

    async def apply(
        self,
        *,
        code: str | None = None,
        signer: Person | None = None,
        qr_text: str | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """POST an `application`, with the SMS code that came unless another is given."""
        typed = await self.sms_code() if code is None else code
        who = signer or self.place.first
        # First, because a passkey's counter must rise from one statement to the next.
        session = await self.session(who)
        self.sign_application(who, **fields)
        body = {
            "statement": written(self.said["application"]),
            "qr_text": qr_text or self.qr_text,
            "sms_code": typed,
        }
        return await self.post("/v1/applications", body, session=session)

    def sign_application(self, who: Person | None = None, **fields: Any) -> str:
        """Sign an application."""
        one = who or self.place.first
        return self._sign(
            "application",
            ApplicationPayload,
            one.signer,
            {
                **self._bound(),
                "administrator": one.staff_no,
                "registry_digest": self.registry_digest,
                "qr_digest": self.qr_digest,
                "expires_at": int(time.time()) + 3_600,
                **fields,
            },
        )

    def sign_decision(self, who: Person | None = None, **fields: Any) -> str:
        """Sign a decision about the application that was made last."""
        one = who or self.place.second
        return self._sign(
            "decision",
            DecisionPayload,
            one.signer,
            {
                **self._bound(),
                "administrator": one.staff_no,
                "registry_digest": self.registry_digest,
                "application_digest": self.digest("application"),
                "decision": "approve",
                "reason_code": None,
                "reason": None,
                "expires_at": int(time.time()) + 3_500,
                **fields,
            },
        )

    async def decide(
        self, decision: str = "approve", *, signer: Person | None = None, **fields: Any
    ) -> httpx.Response:
        """POST a `decision`."""
        who = signer or self.place.second
        session = await self.session(who)
        self.sign_decision(who, decision=decision, **fields)
        return await self.post(
            f"/v1/reviews/{self.request_id}/decision",
            {"statement": written(self.said["decision"])},
            session=session,
        )

    def sign_confirmation(self, signer: SigningKey | None = None, **fields: Any) -> str:
        """Sign a confirmation, with a new nonce of the EPP."""
        return self._sign(
            "confirmation",
            ConfirmationPayload,
            signer or self.place.device,
            {
                **self._bound(),
                "administrator": self.place.first.staff_no,
                "qr_digest": self.qr_digest,
                "krd_nonce": self.epp.start_key_exchange().hex(),
                **fields,
            },
        )

    async def approval_code(self) -> str:
        """The approval code that the first administrator's phone got."""
        found = await eventually(
            lambda: self.sms(APPROVAL, self.place.first) or None, "the approval code"
        )
        return found[-1]

    async def confirm(self, *, code: str | None = None, **fields: Any) -> httpx.Response:
        """POST a `confirmation`, with the approval code that came unless another is given."""
        typed = await self.approval_code() if code is None else code
        self.sign_confirmation(**fields)
        return await self.confirm_again(typed)

    async def confirm_again(self, code: str) -> httpx.Response:
        """POST the confirmation that was made last."""
        return await self.post(
            f"/v1/loading-requests/{self.request_id}/confirmation",
            {"statement": self.said["confirmation"], "approval_code": code},
        )

    def take_key(self) -> str:
        """Import the key token into the EPP; gives the KCV."""
        imported = self.epp.import_key_token(from_b64(self.token), request_id=self.request_id)
        self.kcv = imported.key_check_value
        return self.kcv

    def sign_receipt(self, signer: SigningKey | None = None, **fields: Any) -> str:
        """Sign a receipt for the token that came, with the KCV that the EPP computed."""
        said = {
            **self._bound(),
            "token_digest": sha256_hex(from_b64(self.token)) if self.token else "0" * 64,
            "outcome": "loaded",
            "error": None,
            "epp_proof": None,
            **fields,
        }
        if "kcv" not in said:
            said["kcv"] = self.kcv or self.take_key()
        return self._sign("receipt", ReceiptPayload, signer or self.place.device, said)

    async def receive(self, **fields: Any) -> httpx.Response:
        """POST a `receipt`."""
        text = self.sign_receipt(**fields)
        path = f"/v1/loading-requests/{self.request_id}/receipt"
        return await self.post(path, {"statement": text})

    async def cancel(self, signer: SigningKey | None = None, **fields: Any) -> httpx.Response:
        """POST a `cancellation`, by the terminal."""
        said = {**self._bound(), "reason_code": "not-needed", "reason": None, **fields}
        del said["epp_fingerprint"]
        text = self._sign("cancellation", CancellationPayload, signer or self.place.device, said)
        path = f"/v1/loading-requests/{self.request_id}/cancellation"
        return await self.post(path, {"statement": text})

    # ---- HTTP

    async def session(self, who: Person) -> str:
        """A person's session; opened once."""
        if who.person not in self.sessions:
            self.sessions[who.person] = await sign_in(self.http, who)
        return self.sessions[who.person]

    async def post(
        self, path: str, body: dict[str, Any], *, session: str | None = None
    ) -> httpx.Response:
        """POST, and again while the answer is that it is still under way, if `patient`."""
        self.last = path, body, session
        headers = {"Authorization": f"Bearer {session}"} if session else {}
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = await self.http.post(path, json=body, headers=headers)
            under_way = answer.status_code == 202 and not path.endswith("/sms-codes")
            if answer.status_code == 200 and path.endswith("/confirmation"):
                self.token = answer.json()["token"]["value"]
            if not (under_way and self.patient) or time.monotonic() > deadline:
                return answer

    async def again(self) -> httpx.Response:
        """POST once more what was posted last, to the byte."""
        path, body, session = self.last
        return await self.post(path, body, session=session)

    @property
    def qr_digest(self) -> str:
        """How statements name the scanned QR code."""
        return qr_digest(token_of(self.qr_text, self.bench.trust.origin))

    def _bound(self) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "terminal_no": self.place.terminal_no,
            "epp_fingerprint": self.epp.fingerprint,
        }

    def _sign(self, kind: str, payload: type[Payload], signer: Signer, said: dict[str, Any]) -> str:
        text = signed(payload(**{**common(), **said}), signer)
        self.said[kind] = text
        return text


def token_contents(token: str) -> dict[str, Any]:
    """What a key token (base64) says, unverified."""
    return strict_json(from_b64url(from_b64(token).decode().split(".")[1]))
