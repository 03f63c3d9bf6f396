"""Mutated inputs: whatever is bent, it is refused as documented, or is what somebody signed.

A run tries a few thousand; KEYFILL_MUTATIONS=100000 sets how many in all. Signed texts are bent
behind their encodings too, so that the rules are reached and not only the first line of defence.
"""

import asyncio
import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.limits import Scope
from ceremony.encoding import MAX_JSON_BYTES
from ceremony.messages import CodeRequest
from ceremony.registry import envelope_statements
from ceremony.verification import MAX_STATEMENT_CHARS, peek
from tests.support.acts import ALL, Act
from tests.support.apihouse import GENEROUS, House, wire
from tests.support.mutations import (
    HOSTILE_TEXT,
    bends,
    bent_assertion,
    bent_envelope,
    bent_json,
    bent_jws,
    bent_text,
)
from tests.support.parserbench import ParserBench, own_key

TOTAL: Final = int(os.environ.get("KEYFILL_MUTATIONS", "4000"))
MOST_MEMORY: Final = 8 * 2**20

BENCH: Final = ParserBench.make()
TRUST_FILE: Final = BENCH.world.trust_file


def share(percent: int) -> Callable[[Any], Any]:
    """This many of every hundred mutations."""
    return settings(
        max_examples=max(1, TOTAL * percent // 100),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@share(24)
@given(bent_jws(BENCH.jws))
def test_no_mutated_jws_is_believed(text: str) -> None:
    """Header, payload, signature: bent, doubled, deep, huge or taken from another statement."""
    BENCH.statement(text)


@share(20)
@given(bent_assertion(BENCH.assertions))
def test_no_mutated_assertion_is_believed(text: str) -> None:
    """The same of the WebAuthn form, its client data and authenticator data among it."""
    BENCH.statement(text)


@share(14)
@given(bent_envelope(BENCH.envelopes, BENCH.jws))
def test_no_mutated_envelope_is_believed(text: str) -> None:
    """Registry envelopes with statements mixed, repeated, bent, or of other kinds."""
    BENCH.envelope(text)


@share(5)
@given(bent_json(BENCH.payload("credential-entry")))
def test_a_self_signed_enrolment_may_say_anything(payload: bytes) -> None:
    """A stranger's own key signs any payload at all: it is read, or refused as documented."""
    BENCH.self_signed(payload, own_key(BENCH))


@share(5)
@given(bent_json(BENCH.payload("terminal-entry")))
def test_a_feed_gone_wild_may_say_anything(payload: bytes) -> None:
    """The back office's own key signs any payload: it is read, or refused as documented."""
    BENCH.fed(payload)


@share(5)
@given(bends())
def test_no_mutated_epp_certificate_is_believed(bend: Callable[[bytes], bytes]) -> None:
    """DER bent anywhere is no certificate of the pinned root."""
    BENCH.certificate(bend(BENCH.world.terminal.epp.certificate))


@share(8)
@given(bent_text([BENCH.qr_text, BENCH.qr_text.partition("#")[2]]), st.booleans())
def test_no_mutated_qr_text_is_opened(text: str, prefixed: bool) -> None:
    """One bit of origin, path or token, and it is no QR code of ours."""
    BENCH.qr(f"{BENCH.qr_text.partition('#')[0]}#{text}" if prefixed else text)


@share(4)
@given(bent_text([BENCH.challenge]))
def test_no_mutated_challenge_is_taken(text: str) -> None:
    """A challenge is the API's to the bit."""
    BENCH.challenge_text(text)


@share(4)
@given(bent_json(TRUST_FILE.encode()))
def test_a_mutated_trust_file_is_refused_or_still_needs_two(data: bytes) -> None:
    """What cannot be used says so in one error; no mutation makes one officer enough."""
    BENCH.trust_file(data)


@share(4)
@given(bent_json(BENCH.payload("credential-entry")))
def test_strict_json_reads_objects_only(data: bytes) -> None:
    """An object within its bounds, or the one error; as bytes or as text."""
    BENCH.json(data)
    BENCH.json(data.decode("utf-8", "surrogateescape"))


@share(1)
@given(st.text(max_size=60) | bent_text(["", "AA", "AAAA", "_-8"]))
def test_base64url_has_one_spelling(text: str) -> None:
    """What is accepted is what would be written."""
    BENCH.base64url(text)


@dataclass(frozen=True)
class Call:
    """A genuine call that has not been made yet: where to, what it says, in whose session."""

    house: House
    path: str
    body: dict[str, Any]
    session: str | None

    @property
    def statement(self) -> str | None:
        """The statement text in it, if any."""
        return None if "statement" not in self.body else _text_of(self.body["statement"])

    @cached_property
    def bent(self) -> st.SearchStrategy[bytes]:
        """The body bent as JSON or as bytes, or the statement in it."""
        bent = bent_json(json.dumps(self.body).encode())
        if self.statement is None:
            return bent
        of_statement = bent_assertion if self.statement.startswith("{") else bent_jws
        put = of_statement([self.statement]).map(
            lambda text: json.dumps({**self.body, "statement": _value_of(text)}).encode()
        )
        return bent | put

    async def send(self, content: bytes) -> httpx.Response:
        """Make the call with other content."""
        headers = {"Content-Type": "application/json"}
        if self.session is not None:
            headers["Authorization"] = f"Bearer {self.session}"
        response = await self.house.client.post(self.path, content=content, headers=headers)
        self.house.client.cookies.clear()
        return response


async def genuine_calls(house: House, kind: str) -> list[Call]:
    """A statement of this kind at its right stage, and what is posted beside applications."""
    act = await Act.ready(house, kind)
    body: dict[str, Any] = {"statement": wire(act.statement())}
    calls = []
    if kind == "application":
        scanned = {"qr_text": act.load.qr_text}
        body |= {**scanned, "sms_code": act.load.sms_code()}
        paths = ("/v1/applications/document", "/v1/applications/sms-codes")
        calls = [Call(house, path, scanned, act.session) for path in paths]
    if kind == "confirmation":
        body["approval_code"] = house.world.approval_code(act.load.request)
    return [*calls, Call(house, act.path, body, act.session)]


def enrolment_calls(house: House) -> list[Call]:
    """An entry and a link that nobody sent."""
    link = {"token": "A" * 43}
    entry = envelope_statements(house.world.credential_envelopes[house.world.third.person])[0]
    return [
        Call(house, "/v1/enrolments/draft", link, None),
        Call(house, "/v1/enrolments", {**link, "statement": entry}, None),
    ]


@dataclass(frozen=True)
class Street:
    """Houses whose ceremonies hear and do nothing, so that every call stays in place."""

    runner: asyncio.Runner
    calls: tuple[Call, ...]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """The API over real databases, with a genuine call of every kind at hand."""
    rates = {**GENEROUS, Scope.AUDITED_ALL: "60 per minute"}
    calls: list[Call] = []
    with asyncio.Runner() as runner:
        for kind in ALL:
            house = House.make(tmp_path_factory.mktemp(kind), rates=rates, wait_seconds=0)
            calls += runner.run(genuine_calls(house, kind))
            house.ceremonies.silent = True
            house.ceremonies.told.clear()
        calls += enrolment_calls(house)
        yield Street(runner, tuple(calls))
        for house in {id(call.house): call.house for call in calls}.values():
            runner.run(house.close())


@share(6)
@given(data=st.data())
def test_no_mutated_body_is_taken(street: Street, data: st.DataObject) -> None:
    """Whatever a body says, the answer is documented and no fault; only genuine statements go on.

    An answer of success means that statement and QR text in the body are the genuine ones.
    """
    call = data.draw(st.sampled_from(street.calls))
    genuine = _digest(call.statement)
    content = data.draw(call.bent)
    response = street.runner.run(call.send(content))
    assert response.status_code < 500
    if response.is_success:
        said = json.loads(content)
        assert said.get("qr_text") == call.body.get("qr_text")
        assert "statement" not in said or _digest(_text_of(said["statement"])) == genuine
    told = call.house.ceremonies.told
    assert all(isinstance(one, CodeRequest) or one.digest == genuine for _, one in told)
    told.clear()


def _digest(statement: str | None) -> str | None:
    return None if statement is None else peek(statement).digest


def _text_of(statement: Any) -> str:
    return statement if isinstance(statement, str) else json.dumps(statement)


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize(
    "text",
    [
        "A" * 300_000,
        "." * 300_000,
        "{" * 300_000,
        '{"a":' * 60_000,
        "[" * MAX_JSON_BYTES,
        '{"' + "\\u0000" * 10_000 + '":1}',
        '{"typ":"' + "A" * (MAX_STATEMENT_CHARS - 10) + '"}',
        "{" + ",".join(f'"{n}":{n}' for n in range(5_000)) + "}",
        '{"statements":[' + ",".join(['"a.b.c"'] * 6_000) + "]}",
        '{"a":' + "9" * 60_000 + "}",
        f"{'A' * 10_000}.{'A' * 12_000}.{'A' * 10_000}",
        *HOSTILE_TEXT,
    ],
    ids=lambda text: f"{text[:6].encode().hex()}-{len(text)}",
)
def test_reading_takes_bounded_memory(text: str) -> None:
    """The largest and deepest of inputs cost every parser 8 MiB at most, and are refused."""
    tracemalloc.start()
    try:
        accepted = (
            BENCH.statement(text),
            BENCH.envelope(text),
            BENCH.qr(text),
            BENCH.challenge_text(text),
            BENCH.trust_file(text),
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not any(accepted)
    assert peak < MOST_MEMORY
