"""The API against its own OpenAPI document: whatever is sent, the answer is a documented one.

Schemathesis makes data that fits the document and data that breaks it, for every operation. The
calls are made in this process, so that a fault in a route is a failure here.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.checks import CHECKS, CheckFunction, load_all_checks
from schemathesis.core.result import Ok
from sqlmodel import Session

from api.app import TwilioCallbacks
from gateways.twiliocallbacks import TwilioSignature
from records.watcher import ChangeWatcher
from tests.support.apihouse import House, Load
from tests.support.identities import ORIGIN

T = TypeVar("T")
Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]

EXAMPLES: Final = 12
"""Of each operation, each kind of data and each caller."""
MOST_WAIT: Final = 0.01
CHECKED: Final = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
CONFIG: Final[dict[str, Any]] = {
    "checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "503"]}}
}
"""A body may break the document by its size alone, and Temporal may be asked for first."""


class Impatient(ChangeWatcher):
    """A watcher for which nobody waits long: half a minute is a documented wait."""

    async def wait_for(
        self, fn: Callable[[Session], T | None], timeout: float, *, about: tuple[str, ...] = ()
    ) -> T | None:
        """See `ChangeWatcher.wait_for`."""
        return await super().wait_for(fn, min(timeout, MOST_WAIT), about=about)


@dataclass
class Inspected:
    """A house with an open loading request, its document, and the callers' credentials."""

    house: House
    runner: asyncio.Runner
    document: dict[str, Any]
    schema: BaseSchema
    load: Load
    tokens: dict[str, str]

    @classmethod
    def make(cls, house: House, runner: asyncio.Runner) -> "Inspected":
        """Open a loading request and read the document."""
        load = runner.run(house.open())
        status: str = load.opened["status_token"]
        document = house.app.openapi()
        schema = schemathesis.openapi.from_dict(
            document, config=schemathesis.Config.from_dict(CONFIG)
        )
        tokens = {"terminal": status, "stranger": "A" * 43}
        return cls(house, runner, document, schema, load, tokens)

    def sign_in(self) -> None:
        """Give every person a new session: one of the operations ends them."""
        world = self.house.world
        people = {"first": world.first, "second": world.second, "auditor": world.third}
        for name, person in people.items():
            self.tokens[name] = self.runner.run(self.house.sign_in(person))

    def operations(self) -> list[Operation]:
        """Every operation of the document."""
        found = [one.ok() for one in self.schema.get_all_operations() if isinstance(one, Ok)]
        assert len(found) == sum(len(path) for path in self.document["paths"].values())
        return found

    def can_be_broken(self, operation: Operation) -> bool:
        """Whether it takes anything at all that could break the document."""
        described = self.document["paths"][operation.path][operation.method]
        return bool(described.get("parameters") or described.get("requestBody"))

    def cases(self, operation: Operation, mode: GenerationMode) -> st.SearchStrategy[AnyCase]:
        """Cases of an operation: for any loading request, and for the one that is open."""
        made = operation.as_strategy(generation_mode=mode)
        if "{request_id}" not in operation.path:
            return made
        known = {"request_id": self.load.id}
        return made | operation.as_strategy(generation_mode=mode, path_parameters=known)

    def check(self, case: AnyCase, caller: str | None) -> None:
        """Make the call and validate its answer."""
        headers = {} if caller is None else {"Authorization": f"Bearer {self.tokens[caller]}"}
        sent = case.as_transport_kwargs(base_url=ORIGIN, headers=headers)
        prepared = requests.Request(
            **{name: value for name, value in sent.items() if name in _REQUEST_FIELDS}
        ).prepare()
        response = self.runner.run(self._send(prepared))
        assert response.status_code < 500 or (
            response.status_code == 503 and self.house.ceremonies.away
        )
        checks = cast(list[CheckFunction], CHECKS.get_by_names(CHECKED))
        case.validate_response(response, checks=checks, headers=headers)

    async def _send(self, prepared: requests.PreparedRequest) -> httpx.Response:
        client = self.house.client
        client.cookies.clear()
        return await client.request(
            prepared.method or "",
            prepared.url or "",
            headers={name: str(value) for name, value in prepared.headers.items()},
            content=cast(bytes | None, prepared.body),
        )


_REQUEST_FIELDS: Final = frozenset(
    {"method", "url", "headers", "files", "data", "params", "cookies", "json"}
)


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspected]:
    """The API over a real database."""
    load_all_checks()
    callbacks = TwilioCallbacks(TwilioSignature("auth token", f"{ORIGIN}/v1/sms/status"))
    house = House.make(tmp_path_factory.mktemp("inspected"), sms_callbacks=callbacks)
    patient = house.parts.watcher
    house.parts = replace(house.parts, watcher=Impatient(house.parts.database), wait_seconds=0)
    house.app.state.parts = house.parts
    # Each stream ends after its first line; what it would go on to say is tested elsewhere.
    house.parts.streams.stop()
    with asyncio.Runner() as runner:
        yield Inspected.make(house, runner)
        runner.run(patient.close())
        runner.run(house.close())


@pytest.mark.parametrize("away", [False, True], ids=["temporal", "no-temporal"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_documented(inspected: Inspected, mode: GenerationMode, away: bool) -> None:
    """No fault, no undocumented status, media type, header or form, whoever calls with whatever.

    With and without Temporal; in nobody's name, a stranger's, the terminal's, either
    administrator's or an auditor's. Data that breaks the document is refused.
    """
    inspected.house.ceremonies.away = away
    for operation in inspected.operations():
        if mode is GenerationMode.NEGATIVE and not inspected.can_be_broken(operation):
            continue
        inspected.sign_in()
        callers = st.sampled_from([None, *inspected.tokens])

        @settings(
            max_examples=EXAMPLES,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        @given(case=inspected.cases(operation, mode), caller=callers)
        def answers(case: AnyCase, caller: str | None) -> None:
            inspected.check(case, caller)

        answers()
