"""Who may have payloads opened by the codec server, and what is recorded of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from starlette.requests import Request

from api.authentication import PLAIN_COOKIE, SECURE_COOKIE
from api.limits import RateLimits, Scope, network_of
from api.problems import NotAuthenticated, Refused
from api.sessionseal import SessionSeal
from api.signedin import SignedIn, session_holder
from api.tokens import session_digest
from ceremony.trust import Trust
from engine.keyring import KeyRing
from records import audit
from records.database import Database
from records.tables.audit_event import ActorKind

PAYLOADS_READ: Final = "payloads-read"
"""The event in the audit trail."""

Readers = Literal["auditors", "anyone"]

CODEC_RATES: Final[Mapping[Scope, str]] = MappingProxyType(
    # The UI asks once for each event that it shows; a history has a hundred.
    {Scope.ADDRESS: "1800 per minute", Scope.CREDENTIAL: "1200 per minute"}
)

_MAX_TOKEN_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: an auditor, or nobody in particular in development."""

    signed_in: SignedIn | None

    @property
    def actor(self) -> str | None:
        """The staff number."""
        return None if self.signed_in is None else self.signed_in.staff_no


@dataclass(frozen=True)
class CodecDesk:
    """The codec server's parts.

    Attributes:
        ring: The payload keys.
        namespace: The one namespace whose payloads are opened.
        database: Sessions are looked up and calls recorded in it.
        trust: Verifies the credential of whoever holds a session.
        session_seal: Tells the API's own rows of sessions from others'.
        ui_origin: Scheme, host and port of the Temporal UI; its pages alone may ask.
        readers: Auditors, or anyone: development on loopback, where the UI knows nobody.
    """

    ring: KeyRing
    namespace: str
    database: Database
    trust: Trust
    session_seal: SessionSeal
    ui_origin: str
    readers: Readers = "auditors"
    limits: RateLimits = field(default_factory=lambda: RateLimits(CODEC_RATES))
    clock: Callable[[], float] = time.time

    def is_ui(self, request: Request) -> bool:
        """Whether a page of the Temporal UI asks, as its browser says."""
        return request.headers.get("origin") == self.ui_origin

    def check_origin(self, request: Request) -> None:
        """Refuse whatever is no page of the Temporal UI.

        Raises:
            Refused: `wrong-origin`.
        """
        if not self.is_ui(request):
            raise Refused("wrong-origin")

    async def admit(self, request: Request) -> Reader:
        """Let an auditor in.

        Raises:
            Refused: for another origin or namespace, or one who is no auditor.
            NotAuthenticated: without a session.
            RateLimited: who asks too often.
        """
        self.check_origin(request)
        address = network_of(request.client.host if request.client else None)
        await self.limits.admit(Scope.ADDRESS, address)
        if request.headers.get("x-namespace", self.namespace) != self.namespace:
            raise Refused("wrong-namespace")
        if self.readers == "anyone":
            return Reader(None)
        token = self._token(request)
        if token is None or len(token) > _MAX_TOKEN_CHARS:
            raise NotAuthenticated
        found = await self.database.run(self._find, session_digest(token))
        if found is None:
            raise NotAuthenticated
        if "auditor" not in found.roles:
            raise Refused("not-auditor")
        await self.limits.admit(Scope.CREDENTIAL, found.counted)
        return Reader(found)

    async def note(self, reader: Reader, detail: Mapping[str, Any]) -> None:
        """Record a call in the audit trail.

        Raises:
            DatabaseUnavailable: it could not be recorded: nothing is shown then.
        """
        await self.database.run(self._write, reader, detail)

    def _token(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return token.strip()
        secure = self.trust.origin.startswith("https:")
        return request.cookies.get(SECURE_COOKIE if secure else PLAIN_COOKIE)

    def _find(self, digest: str) -> SignedIn | None:
        with self.database.read() as session:
            return session_holder(session, self.trust, self.session_seal, digest, int(self.clock()))

    def _write(self, reader: Reader, detail: Mapping[str, Any]) -> None:
        with self.database.write() as session:
            audit.write(
                session,
                PAYLOADS_READ,
                at=int(self.clock()),
                actor_kind=ActorKind.AUDITOR,
                actor=reader.actor,
                detail=detail,
            )


def origin_of(url: str) -> str:
    """The origin of a page's URL, as a browser names it: scheme, host, and a port of its own.

    Raises:
        ValueError: if it has none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not a web address")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
