"""Refusals are answered at full steps of time, whatever they cost; nothing else waits."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from api.pace import PACED, STEP_SECONDS, RefusalPace, next_step
from api.parts import Parts
from tests.support.apihouse import House


class Time:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        """Start at an odd moment."""
        self.now = 1234.5678

    def clock(self) -> float:
        """Seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move on, by whole milliseconds as an event loop does; a turn of the loop takes some."""
        self.now += -(-seconds // 0.001) * 0.001 if seconds else 0.00002


async def _answered(status: int, work: float, *, step: float = 0.02) -> float:
    time = Time()
    came, sent = time.now, []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        time.now += work
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append((message["type"], time.now - came))

    pace = RefusalPace(app, step=step, clock=time.clock, sleep=time.sleep)
    await pace({"type": "http"}, receive, send)
    assert [kind for kind, _ in sent] == ["http.response.start", "http.response.body"]
    return sent[0][1]


@pytest.mark.parametrize("status", sorted(PACED))
@pytest.mark.parametrize("work", [0.0, 0.0004, 0.0071, 0.01999])
async def test_a_refusal_takes_one_step_whatever_it_cost(status: int, work: float) -> None:
    """What was done before a refusal does not show in its time, not even below a millisecond."""
    assert await _answered(status, work) == pytest.approx(0.02, abs=0.00003)


async def test_a_slower_refusal_takes_two_steps() -> None:
    """Past the first step the second one counts: the time tells steps, not microseconds."""
    assert await _answered(401, 0.0201) == pytest.approx(0.04, abs=0.00003)


@pytest.mark.parametrize("status", [200, 201, 202, 400, 409, 410, 422, 429, 503])
async def test_other_answers_do_not_wait(status: int) -> None:
    """Answers, and refusals that tell nothing of what is enrolled, go out at once."""
    assert await _answered(status, 0.0071) == pytest.approx(0.0071)


async def test_a_step_of_nothing_holds_nothing_back() -> None:
    """The pace can be taken out where many refusals are wanted fast."""
    assert await _answered(404, 0.0071, step=0) == pytest.approx(0.0071)


@given(
    came=st.floats(0, 1e6),
    took=st.floats(0, 10),
    step=st.floats(0.001, 1),
)
def test_the_next_step_is_never_past_nor_further_than_one_away(
    came: float, took: float, step: float
) -> None:
    """Nobody waits for more than one step, and nobody is answered before it."""
    then = next_step(came, came + took, step)
    assert came + took - 1e-6 <= then <= came + took + step + 1e-6
    assert then >= came + step - 1e-6


async def test_the_api_is_paced_unless_told_otherwise(tmp_path: Path) -> None:
    """The pace is the outermost layer, so that nothing done within adds to the time."""
    house = House.make(tmp_path, refusal_step=STEP_SECONDS)
    try:
        outermost: Any = house.app.user_middleware[0]
        assert outermost.cls is RefusalPace
        assert outermost.kwargs == {"step": STEP_SECONDS}
        assert Parts.__dataclass_fields__["refusal_step"].default == STEP_SECONDS > 0
    finally:
        await house.close()
