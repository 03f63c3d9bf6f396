"""The API over a real database, and what people and terminals do with it over HTTP."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import FastAPI

from api.app import build_app
from api.limits import RateLimits, Scope
from api.parts import Parts
from api.sessionseal import SessionSeal
from api.smscallbacks import SmsCallbacks
from api.tokens import Tokens
from ceremony.approvalkeys import ApprovalKeys
from ceremony.encoding import from_b64, from_b64url, sha256_hex
from ceremony.qr import qr_digest, token_of
from ceremony.statements import RequestPayload, request_id_of
from ceremony.trust import Trust
from ceremony.verification import Verified
from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from records import audit
from records.rates import SharedRates
from records.tables.audit_event import AuditEventRow
from records.watcher import ChangeWatcher
from tests.support.backstage import Backstage
from tests.support.identities import ORIGIN, Administrator
from tests.support.keytokens import OAEP_SHA256
from tests.support.memoryceremonies import MemoryCeremonies
from tests.support.world import World

SESSION_KEY: Final = b"session key of the API's tests only"
_DOCUMENT: Final[dict[str, Any]] = {}
GENEROUS: Final = dict.fromkeys(Scope, "100000 per minute")
"""Rates that no test meets by accident."""


@dataclass
class House:
    """A world with the API in front of it; use `make`. `seen` is every answered (method, route)."""

    world: World
    backstage: Backstage
    ceremonies: MemoryCeremonies
    parts: Parts
    app: FastAPI
    client: httpx.AsyncClient
    seen: set[tuple[str, str, int]] = field(default_factory=set)

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        world: World | None = None,
        rates: Mapping[Scope, str] = GENEROUS,
        sms_callbacks: SmsCallbacks | None = None,
        wait_seconds: float = 5.0,
        refusal_step: float = 0.0,
        approvals: ApprovalKeys = ApprovalKeys.ANY,
    ) -> "House":
        """Make a world, unless given, whose third person is an auditor; its clock starts now.

        Refusals are not held back unless asked: most tests are about nothing else. `approvals` is
        the API's setting alone; the workers take any key.
        """
        world = world or make_world()
        backstage = Backstage.make(folder, world, clock=lambda: world.now)
        ceremonies = MemoryCeremonies(backstage)
        parts = Parts(
            database=backstage.database,
            watcher=ChangeWatcher(backstage.database),
            ceremonies=ceremonies,
            trust=Trust.read(world.trust_file, approvals=approvals),
            tokens=Tokens(SESSION_KEY),
            session_seal=SessionSeal((SESSION_KEY,)),
            qr=world.qr,
            edge=world.edge,
            sms_callbacks=sms_callbacks,
            limits=RateLimits(rates, SharedRates(backstage.database)),
            clock=lambda: world.now,
            wait_seconds=wait_seconds,
            refusal_step=refusal_step,
        )
        app = build_app(parts)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN)
        house = cls(world, backstage, ceremonies, parts, app, client)
        client.event_hooks["response"].append(house.check_documented)
        return house

    async def close(self) -> None:
        """Close everything."""
        await self.client.aclose()
        await self.parts.watcher.close()
        self.backstage.close()

    async def check_documented(self, response: httpx.Response) -> None:
        """Assert that the OpenAPI document knows of this answer, and that it is well-formed."""
        await response.aread()
        operation = self._operation(response.request.method, response.request.url.path)
        if operation is None:
            return
        template, documented = operation
        status = str(response.status_code)
        assert status in documented, f"{template}: {status} {response.text} is not documented"
        content = documented[status].get("content", {})
        media_type = response.headers.get("content-type", "").partition(";")[0]
        assert not response.content or media_type in content, f"{template}: {status} {media_type}"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        if response.status_code >= 400:
            problem = response.json()
            assert media_type == "application/problem+json"
            assert problem["status"] == response.status_code
            assert problem["type"] == f"urn:keyfill:problem:{problem['code']}"
        if response.status_code in (429, 503):
            assert int(response.headers["retry-after"]) >= 1
        self.seen.add((response.request.method, template, response.status_code))

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        if not _DOCUMENT:
            # Every house has the same routes, and the document takes a second to make.
            _DOCUMENT.update(self.app.openapi())
        paths: dict[str, Any] = _DOCUMENT["paths"]
        for template in sorted(paths, key=lambda one: one.count("{")):
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in paths[template]:
                return template, paths[template][method.lower()]["responses"]
        return None

    # what people and terminals do

    def challenge(self) -> str:
        """A challenge of the API's."""
        return self.parts.tokens.challenges.issue(self.world.now)

    def request(self, **fields: Any) -> Verified[RequestPayload]:
        """A `request` statement with a good challenge."""
        return self.world.request(**{"challenge": self.challenge(), **fields})

    async def post(self, path: str, body: Any, *, session: str | None = None) -> httpx.Response:
        """POST JSON, in a session or in none; cookies are never kept."""
        headers = {} if session is None else {"Authorization": f"Bearer {session}"}
        response = await self.client.post(path, json=body, headers=headers)
        self.client.cookies.clear()
        return response

    async def get(self, path: str, *, session: str | None = None, **query: Any) -> httpx.Response:
        """GET, with a session or status token or with none."""
        headers = {} if session is None else {"Authorization": f"Bearer {session}"}
        return await self.client.get(path, headers=headers, params=query)

    async def sign_in(self, who: Administrator) -> str:
        """Sign someone in; gives the session token."""
        login = self.world.login(who, challenge=self.challenge())
        response = await self.post("/v1/sessions", {"statement": wire(login)})
        assert response.status_code == 201, response.text
        token: str = response.json()["session_token"]
        return token

    async def open(self, request: Verified[RequestPayload] | None = None) -> "Load":
        """Open a loading request."""
        request = request or self.request()
        response = await self.post("/v1/loading-requests", {"statement": wire(request)})
        assert response.status_code == 201, response.text
        return Load(self, request, response.json())

    def events(self, event: str) -> list[AuditEventRow]:
        """The audit trail's events of this name."""
        with self.backstage.database.read() as session:
            return [row for row in audit.since(session, limit=10_000) if row.event == event]


@dataclass
class Load:
    """One loading request on its way; each step asserts that it was accepted."""

    house: House
    request: Verified[RequestPayload]
    opened: dict[str, Any]
    application: Verified[Any] | None = None
    confirmation: Verified[Any] | None = None
    token: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The loading request's id."""
        return request_id_of(self.request.digest)

    @property
    def path(self) -> str:
        """The loading request's path."""
        return f"/v1/loading-requests/{self.id}"

    @property
    def qr_text(self) -> str:
        """What the terminal's QR code said at the opening."""
        text: str = self.opened["qr"]["text"]
        return text

    @property
    def token_digest(self) -> str:
        """The digest of the key token that came back."""
        assert self.token is not None
        return sha256_hex(from_b64(self.token["value"]))

    def new_application(self, **fields: Any) -> Verified[Any]:
        """An application that names what this request's document names."""
        digest = qr_digest(token_of(self.qr_text, ORIGIN))
        return self.house.world.application(self.request, **{"qr_digest": digest, **fields})

    async def ask_code(self, session: str) -> httpx.Response:
        """Ask for an SMS code."""
        return await self.house.post(
            "/v1/applications/sms-codes", {"qr_text": self.qr_text}, session=session
        )

    def sms_code(self, n: int = 1) -> str:
        """SMS code n, as the phone shows it."""
        return self.house.world.sms_code(self.request, n)

    async def send_application(
        self, application: Verified[Any], session: str, *, code: str | None = None
    ) -> httpx.Response:
        """Send an application with the right SMS code, or another."""
        body = {
            "statement": wire(application),
            "qr_text": self.qr_text,
            "sms_code": code or self.sms_code(),
        }
        return await self.house.post("/v1/applications", body, session=session)

    async def apply(self) -> Verified[Any]:
        """Bring the request to AWAITING_REVIEW."""
        session = await self.house.sign_in(self.house.world.first)
        assert (await self.ask_code(session)).status_code == 202
        self.application = self.new_application()
        response = await self.send_application(self.application, session)
        assert response.status_code == 200, response.text
        return self.application

    async def approve(self) -> None:
        """Bring the request to AWAITING_CONFIRMATION."""
        await self.apply()
        await self.decide()

    async def decide(self, **fields: Any) -> dict[str, Any]:
        """Let the second administrator decide about the application; gives the answer."""
        assert self.application is not None
        # A passkey counts its signatures: the login comes first.
        session = await self.house.sign_in(self.house.world.second)
        decision = self.house.world.decision(self.application, **fields)
        response = await self.house.post(
            f"/v1/reviews/{self.id}/decision", {"statement": wire(decision)}, session=session
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def send_confirmation(
        self, confirmation: Verified[Any], *, code: str | None = None
    ) -> httpx.Response:
        """Send a confirmation with the right approval code, or another."""
        body = {
            "statement": wire(confirmation),
            "approval_code": code or self.house.world.approval_code(self.request),
        }
        return await self.house.post(f"{self.path}/confirmation", body)

    async def confirm(self) -> None:
        """Bring the request to AWAITING_RECEIPT."""
        await self.approve()
        await self.take_token()

    async def take_token(self) -> None:
        """Let the terminal confirm what was approved, and take the key token."""
        assert self.application is not None
        self.confirmation = self.house.world.confirmation(self.application)
        response = await self.send_confirmation(self.confirmation)
        assert response.status_code == 200, response.text
        self.token = response.json()["token"]

    async def receive(self) -> str:
        """Let the terminal say that the key is in; gives the KCV."""
        assert self.confirmation is not None
        kcv = kcv_of_token(self)
        receipt = self.house.world.receipt(
            self.confirmation, token_digest=self.token_digest, kcv=kcv
        )
        response = await self.house.post(f"{self.path}/receipt", {"statement": wire(receipt)})
        assert response.status_code == 200, response.text
        return kcv

    async def cancel(self) -> None:
        """Let the terminal cancel the request."""
        cancellation = self.house.world.cancellation(self.request)
        body = {"statement": wire(cancellation)}
        response = await self.house.post(f"{self.path}/cancellation", body)
        assert response.status_code == 200, response.text


def kcv_of_token(load: Load) -> str:
    """What the terminal's EPP computes once it has opened its key token."""
    assert load.token is not None
    payload = json.loads(from_b64url(from_b64(load.token["value"]).decode().split(".")[1]))
    key = load.house.world.terminal.epp.private_key.decrypt(
        from_b64url(payload["encrypted_key"]), OAEP_SHA256
    )
    return key_check_value(KeyAlgorithm(load.token["key_algorithm"]), key)


def make_world(**signers: Any) -> World:
    """A world whose clock starts now and whose third person is an auditor."""
    world = World.make(now=int(time.time()), **signers)
    world.credential_envelopes[world.third.person] = world.credential_entry(
        world.third, roles=("auditor",)
    )
    return world


def wire(statement: Verified[Any]) -> Any:
    """A statement as it stands in a body: a JWS as a string, a passkey's as an object."""
    return json.loads(statement.text) if statement.text.startswith("{") else statement.text
