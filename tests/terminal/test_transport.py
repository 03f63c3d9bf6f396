"""Calls that are repeated until they are answered, and what they are never sent to."""

from collections.abc import Iterator

import httpx
import pytest

from ceremony.stages import Stage
from terminal.answers import StageAnswer
from terminal.transport import (
    AnswerMalformed,
    Patience,
    PatientHttp,
    ServerAddressRefused,
    ServerRefused,
    ServerUnavailable,
    checked_server,
)


class Line:
    """A transport with a memory: it plays prepared answers, the last one for ever."""

    def __init__(self, *answers: httpx.Response | httpx.TransportError) -> None:
        self._answers = list(answers)
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Remember the body, and answer."""
        self.bodies.append(request.content)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Pass time."""
        self.naps.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock at zero."""
    yield Clock()


def call(line: Line, clock: Clock, *, give_up_after: float = 60) -> StageAnswer:
    """Post one statement over a line."""
    http = PatientHttp(
        "https://keyfill.test",
        patience=Patience(give_up_after),
        transport=httpx.MockTransport(line),
        sleep=clock.sleep,
        clock=clock,
    )
    return http.call("POST", "/v1/x", StageAnswer, json={"statement": "a.b.c"})


def answer(status: int, headers: dict[str, str] | None = None, **members: object) -> httpx.Response:
    """An answer with a JSON body."""
    return httpx.Response(status, json=members, headers=headers)


def test_the_same_bytes_go_out_again(clock: Clock) -> None:
    """After broken connections and 503 the call that is answered is the first one, to the byte."""
    line = Line(
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("silent"),
        answer(503),
        answer(202, stage="AWAITING_REVIEW"),
        answer(200, stage="LOADED"),
    )
    assert call(line, clock).stage is Stage.LOADED
    assert len(line.bodies) == 5
    assert len(set(line.bodies)) == 1


def test_pauses_grow_and_obey_retry_after(clock: Clock) -> None:
    """Pauses double up to five seconds; a longer Retry-After is obeyed, up to a minute."""
    line = Line(
        *[answer(503) for _ in range(6)],
        answer(429, {"Retry-After": "30"}),
        answer(429, {"Retry-After": "86400"}),
        answer(429, {"Retry-After": "soon"}),
        answer(200, stage="LOADED"),
    )
    call(line, clock, give_up_after=600)
    assert clock.naps == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 30.0, 60.0, 5.0]


def test_patience_ends(clock: Clock) -> None:
    """A server that never answers is given up, and not later than was said."""
    with pytest.raises(ServerUnavailable):
        call(Line(httpx.ConnectError("refused")), clock, give_up_after=20)
    assert 10 < clock.now <= 20


def test_a_refusal_is_final(clock: Clock) -> None:
    """A problem document is not argued with: its code, stage and attempts are kept."""
    line = Line(answer(403, code="application-refused", attempts_left=3, stage="AWAITING_REVIEW"))
    with pytest.raises(ServerRefused) as refused:
        call(line, clock)
    assert (refused.value.status, refused.value.code) == (403, "application-refused")
    assert (refused.value.attempts_left, refused.value.stage) == (3, Stage.AWAITING_REVIEW)
    assert len(line.bodies) == 1


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"stage": "SOMEWHERE"}),
        httpx.Response(200, json=[]),
        httpx.Response(302, headers={"Location": "https://elsewhere.test/"}),
        httpx.Response(404, text="not found"),
        httpx.Response(418, json={"code": 7}),
    ],
    ids=["html", "unknown-stage", "list", "redirect", "text-404", "numeric-code"],
)
def test_what_the_contract_does_not_know_is_no_answer(
    response: httpx.Response, clock: Clock
) -> None:
    """Anything but the contract's answers raises, repeats nothing of the body, follows nothing."""
    line = Line(response)
    with pytest.raises(AnswerMalformed) as malformed:
        call(line, clock)
    assert len(line.bodies) == 1
    assert "html" not in str(malformed.value)


@pytest.mark.parametrize(
    "server",
    [
        "http://keyfill.example",
        "http://10.0.0.1:8480",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "ftp://127.0.0.1",
        "keyfill.example",
        "https://",
        "https://user@keyfill.example",
        "https://keyfill.example/path",
        "https://keyfill.example?x=1",
        "https://keyfill.example#x",
        "",
    ],
)
def test_codes_go_to_https_or_this_machine_only(server: str) -> None:
    """No other origin than https, or http on loopback, is accepted as the server."""
    with pytest.raises(ServerAddressRefused):
        checked_server(server)


@pytest.mark.parametrize(
    ("server", "origin"),
    [
        ("https://keyfill.example", "https://keyfill.example"),
        ("https://keyfill.example:8443/", "https://keyfill.example:8443"),
        ("http://127.0.0.1:8480/", "http://127.0.0.1:8480"),
        ("http://localhost:8480", "http://localhost:8480"),
        ("http://[::1]:8480", "http://[::1]:8480"),
    ],
)
def test_an_origin_is_taken_as_it_is(server: str, origin: str) -> None:
    """An accepted origin loses at most its trailing slash."""
    assert checked_server(server) == origin
