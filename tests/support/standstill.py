"""Six loading requests, one before each step of the ceremony, for whatever may befall them all.

scene = await Standstill.ready(bench)
...                                 # something goes away
answers = await scene.act()         # every step at once
...                                 # it comes back
answers = await scene.again()       # the same calls, to the byte
await scene.finish()
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import httpx

from ceremony.stages import Stage
from tests.support.attacked import Bench
from tests.support.genuine import Ceremony

STEPS: Final = ("request", "sms-code", "application", "decision", "confirmation", "receipt")
SENT: Final = ("approved", "code-1", "ended", "review")
"""What a loading request sends, each once."""

_BEFORE: Final[Mapping[str, Stage]] = {
    "sms-code": Stage.AWAITING_APPLICATION,
    "application": Stage.AWAITING_APPLICATION,
    "decision": Stage.AWAITING_REVIEW,
    "confirmation": Stage.AWAITING_CONFIRMATION,
    "receipt": Stage.AWAITING_RECEIPT,
}


@dataclass
class Standstill:
    """One loading request before each step, by the step's name; make it with `ready`."""

    loads: Mapping[str, Ceremony]

    @classmethod
    async def ready(cls, bench: Bench, steps: tuple[str, ...] = STEPS) -> "Standstill":
        """Bring one loading request before each of these steps, with all that it needs."""
        return cls({step: await _before(bench, step) for step in steps})

    async def act(self, *, patient: bool = True) -> dict[str, httpx.Response]:
        """Take every step, all at once; without patience a 202 is an answer."""
        return await self._each(_act, patient=patient)

    async def again(self) -> dict[str, httpx.Response]:
        """Make the same calls once more, and wait for what comes of them."""
        answers = await self._each(lambda _, load: load.again(), patient=True)
        for step, answer in answers.items():
            assert answer.is_success, (step, answer.text)
        if "request" in answers:
            self.loads["request"].opened(answers["request"])
        return answers

    async def finish(self) -> None:
        """Load every key, by genuine steps: one key each, one token, and each SMS once."""
        for step, load in self.loads.items():
            await load.to(Stage.LOADED)
            assert load.account.states == ["active"], step
            assert len(load.account.tokens) == 1, step
            await load.sends("ended")
            assert sorted(load.steps()) == sorted(SENT), step

    async def onward(self) -> "Standstill":
        """The same loading requests, each before its next step; the last one has none."""
        further = {step: self.loads[before] for before, step in pairwise(STEPS)}
        for step, load in further.items():
            await _prepare(step, load)
        return Standstill(further)

    async def _each(
        self,
        act: Callable[[str, Ceremony], Awaitable[httpx.Response]],
        *,
        patient: bool,
    ) -> dict[str, httpx.Response]:
        for load in self.loads.values():
            load.patient = patient
        answers = await asyncio.gather(*(act(step, load) for step, load in self.loads.items()))
        for load in self.loads.values():
            load.patient = True
        return dict(zip(self.loads, answers, strict=True))


async def _before(bench: Bench, step: str) -> Ceremony:
    if step == "request":
        place = await bench.place()
        load = Ceremony(bench, place, bench.http(place), place.epp())
    else:
        load = await Ceremony.at(bench, _BEFORE[step])
    await _prepare(step, load)
    return load


async def _prepare(step: str, load: Ceremony) -> None:
    """Have what a step needs: an outage must meet the step itself, not what leads to it."""
    for one in (load.place.first, load.place.second):
        await load.session(one)
    match step:
        case "application":
            await load.sms_code()
        case "decision":
            # A killed worker's SMS is tried again after 30 seconds, by when the load has ended.
            await load.sends("review")
        case "confirmation":
            await load.approval_code()
            load.bench.expected.add(load.request_id)
        case "receipt":
            load.take_key()


async def _act(step: str, load: Ceremony) -> httpx.Response:
    acts: Mapping[str, Callable[[], Awaitable[httpx.Response]]] = {
        "request": load.ask,
        "sms-code": load.ask_code,
        "application": load.apply,
        "decision": load.decide,
        "confirmation": load.confirm,
        "receipt": load.receive,
    }
    return await acts[step]()
