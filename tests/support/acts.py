"""Every statement that the API takes, made and sent for a loading request at its right stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from ceremony.verification import Verified
from tests.support.apihouse import House, Load, wire
from tests.support.identities import Administrator, Signer

BY_TERMINAL: Final = ("request", "confirmation", "receipt", "cancellation")
BY_PERSON: Final = ("application", "decision", "withdrawal", "login")
"""`withdrawal` is an administrator's cancellation."""
ALL: Final = BY_TERMINAL + BY_PERSON

_PATHS: Final[Mapping[str, str]] = {
    "request": "/v1/loading-requests",
    "application": "/v1/applications",
    "decision": "/v1/reviews/{id}/decision",
    "confirmation": "/v1/loading-requests/{id}/confirmation",
    "receipt": "/v1/loading-requests/{id}/receipt",
    "cancellation": "/v1/loading-requests/{id}/cancellation",
    "withdrawal": "/v1/loading-requests/{id}/cancellation",
    "login": "/v1/sessions",
}


@dataclass
class Act:
    """One kind of statement about one loading request; `session` is its signer's, if any."""

    kind: str
    load: Load
    session: str | None

    @classmethod
    async def ready(cls, house: House, kind: str) -> "Act":
        """Bring a loading request to where this statement is in place."""
        load = await house.open()
        match kind:
            case "decision":
                await load.apply()
            case "confirmation":
                await load.approve()
            case "receipt":
                await load.confirm()
        act = cls(kind, load, None)
        if kind in BY_PERSON and kind != "login":
            act.session = await house.sign_in(act.person)
        if kind == "application":
            assert act.session is not None
            await load.ask_code(act.session)
        return act

    @property
    def house(self) -> House:
        """The house."""
        return self.load.house

    @property
    def person(self) -> Administrator:
        """Who signs it, where a person does."""
        world = self.house.world
        return world.second if self.kind == "decision" else world.first

    @property
    def signer(self) -> Signer:
        """Who signs it."""
        return self.person.signer if self.kind in BY_PERSON else self.house.world.terminal.device

    @property
    def path(self) -> str:
        """Where it is sent."""
        return _PATHS[self.kind].format(id=self.load.id)

    def statement(self, *, signer: Signer | None = None, **fields: Any) -> Verified[Any]:
        """Make it as it should be, but for these fields and this signer."""
        made = self._made(**fields)
        return made if signer is None else self.house.world.signed(made.payload, signer)

    async def send(
        self, statement: Verified[Any] | Any, *, path: str | None = None, session: str | None = None
    ) -> httpx.Response:
        """Send it, in its signer's session or another."""
        said = wire(statement) if isinstance(statement, Verified) else statement
        body: dict[str, Any] = {"statement": said}
        if self.kind == "application":
            body |= {"qr_text": self.load.qr_text, "sms_code": self.load.sms_code()}
        if self.kind == "confirmation":
            body["approval_code"] = self.house.world.approval_code(self.load.request)
        return await self.house.post(path or self.path, body, session=session or self.session)

    def _made(self, **fields: Any) -> Verified[Any]:
        world, load = self.house.world, self.load
        match self.kind:
            case "request":
                return self.house.request(**fields)
            case "application":
                return load.new_application(**fields)
            case "decision":
                return world.decision(_given(load.application), **fields)
            case "confirmation":
                return world.confirmation(_given(load.application), **fields)
            case "receipt":
                digest = load.token_digest
                return world.receipt(
                    _given(load.confirmation), **{"token_digest": digest, **fields}
                )
            case "cancellation":
                return world.cancellation(load.request, **fields)
            case "withdrawal":
                return world.cancellation(load.request, signer=self.signer, **fields)
            case "login":
                return world.login(self.person, **{"challenge": self.house.challenge(), **fields})
        raise ValueError(self.kind)


def _given(statement: Verified[Any] | None) -> Verified[Any]:
    assert statement is not None
    return statement
