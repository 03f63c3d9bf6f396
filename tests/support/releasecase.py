"""A complete case for the release rule, of which a test breaks one thing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import pytest

from ceremony.codes import TypedCode
from ceremony.reasons import Reason
from ceremony.release_rule import Grant, ReleaseRefused, confirmed, may_release
from ceremony.statements import request_id_of
from tests.support.world import World


class ReleaseCase:
    """A complete, good case; each test breaks one thing of it."""

    def __init__(self, **said: dict[str, Any]) -> None:
        """Sign all four statements; `said` overrides fields of one of them, by its kind."""
        self._sign(World.make(), said)

    @classmethod
    def of(cls, world: World) -> Self:
        """A good case of this world's people."""
        case = cls.__new__(cls)
        case._sign(world, {})
        return case

    def _sign(self, world: World, said: Mapping[str, dict[str, Any]]) -> None:
        self.world = world
        self.request = self.world.request(**said.get("request", {}))
        good = self.world.application(self.request)
        self.application = self.world.application(self.request, **said.get("application", {}))
        about = {"application_digest": self.application.digest}
        self.decision = self.world.decision(good, **{**about, **said.get("decision", {})})
        self.confirmation = self.world.confirmation(good, **said.get("confirmation", {}))
        self.statements = self.world.release_case(
            self.request, self.application, self.decision, self.confirmation
        )
        self.entries = self.world.entries()
        self.trust = self.world.trust
        self.secrets = self.world.release_secrets
        self.now = self.world.now

    def ask(self) -> Grant:
        """Ask the rule."""
        proved = may_release(self.statements, self.entries, self.trust, self.secrets, now=self.now)
        return confirmed(proved, self.statements.approval_code, self.secrets)

    def give(self, **statements: Any) -> None:
        """Replace what the key worker is asked with."""
        self.statements = replace(self.statements, **statements)

    def enrol(self, **entries: str) -> None:
        """Replace an envelope in force."""
        self.entries = replace(self.entries, **entries)

    def typed(self, purpose: str, n: int, code: str, digest: str | None = None) -> TypedCode:
        """A code typed with this case's application or confirmation, or with another digest."""
        request_id, edge = request_id_of(self.request.digest), self.world.edge
        if purpose == "sms":
            return edge.seal("sms", request_id, n, digest or self.application.digest, code)
        return edge.seal("approval", request_id, n, digest or self.confirmation.digest, code)


def refused(case: ReleaseCase) -> Reason:
    """The reason for which the rule refuses a case; nothing but the code is in the error."""
    with pytest.raises(ReleaseRefused) as refusal:
        case.ask()
    assert str(refusal.value) == refusal.value.reason.value
    return refusal.value.reason
