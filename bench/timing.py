"""Whether the time of a refusal tells what is enrolled here: known against unknown, interleaved.

    python -m bench.timing --tries 2000

Each line compares two calls that get the same answer and differ only in whether the terminal, the
administrator, the loading request or the code exists. The known one is measured twice in the same
run, in random turns with the unknown one. The noise is how far the medians of two runs of the same
are apart: the tries of its two runs are exchanged at random, turn by turn, many times over, and of
the differences that come of it the one is shown that 95 of 100 stay below. The ratio of difference
to noise is below one where the time tells nothing.

Calls are whole ones of the application in this process, from a call's arrival until its answer is
given to the network, without a network's own noise and without what is tidied up after the answer;
paced as in a deployment (`api.pace`). `--unpaced` shows what the pace covers.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as ASGIScope

from api.limits import Scope
from api.pace import STEP_SECONDS
from ceremony.codes import EdgeSeal
from ceremony.encoding import b64url, canonical_json
from ceremony.verification import Verified
from tests.support.apihouse import GENEROUS, House, make_world, wire
from tests.support.forging import parts_of, raw_jws
from tests.support.identities import jwk_signer, passkey_signer

EXCHANGES: Final = 1000
QUANTILE: Final = 0.95
SERIES: Final = ("known", "known again", "unknown")

Try = Callable[[], Awaitable[float]]


class Stopwatch:
    """Takes the time of each call, from its arrival until its answer is with the network."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app
        self.seconds = 0.0

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        before = time.perf_counter()

        async def timed(message: Message) -> None:
            self.seconds = time.perf_counter() - before
            await send(message)

        await self._app(scope, receive, timed)


@dataclass(frozen=True)
class Pair:
    """Two calls with one answer, that should take one time."""

    name: str
    known: Try
    unknown: Try


def main(arguments: Sequence[str]) -> int:
    """Measure every pair and print a table; nothing is judged by the exit status."""
    parser = argparse.ArgumentParser(prog="bench.timing", description=__doc__)
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unpaced", action="store_true", help="measure without api.pace")
    asked = parser.parse_args(arguments)
    step = 0.0 if asked.unpaced else STEP_SECONDS
    with tempfile.TemporaryDirectory(prefix="keyfill-timing-") as folder:
        asyncio.run(_measured(Path(folder), asked.tries, step, random.Random(asked.seed)))
    return 0


async def _measured(folder: Path, tries: int, step: float, chance: random.Random) -> None:
    # As under attack: refusals are counted, and no longer written to the audit trail.
    rates = {**GENEROUS, **dict.fromkeys(Scope, "100000000 per minute")}
    rates[Scope.AUDITED] = "1 per minute"
    house = House.make(folder, rates=rates, world=make_world(), wait_seconds=0, refusal_step=step)
    stopwatch = Stopwatch(house.app)
    await house.client.aclose()
    house.client = httpx.AsyncClient(
        transport=httpx.ASGITransport(stopwatch), base_url=house.world.trust.origin
    )
    _say(f"{'microseconds, medians':26} {'known':>9} {'again':>9} {'unknown':>9}", end=" ")
    _say(f"{'differ':>8} {'noise':>8} {'ratio':>6}")
    for pair in await _pairs(house, stopwatch):
        _report(pair.name, await _series(pair, tries, chance), chance)
    await house.close()


async def _pairs(house: House, watch: Stopwatch) -> list[Pair]:
    world = house.world
    load = await house.open()
    stranger, passkey = jwk_signer("stranger"), passkey_signer("second")
    reader = await house.sign_in(world.third)
    first = await house.sign_in(world.first)
    request, login = house.request(), world.login(world.first, challenge=house.challenge())
    with_passkey = wire(world.login(world.second, challenge=house.challenge()))
    bad_passkey = {**with_passkey, "signature": wire(world.login(world.second))["signature"]}
    opening, sessions = "/v1/loading-requests", "/v1/sessions"
    application = load.new_application()
    edge, code = world.edge, load.sms_code()

    def body(statement: Any) -> dict[str, Any]:
        return {"statement": statement}

    return [
        Pair(
            "terminal (its key)",
            _post(house, watch, opening, body(_signed_by_another(request)), 401),
            _post(
                house, watch, opening, body(_of_key(request, stranger.enrolled.public_key.kid)), 401
            ),
        ),
        Pair(
            "administrator (a key)",
            _post(house, watch, sessions, body(_signed_by_another(login)), 401),
            _post(
                house, watch, sessions, body(_of_key(login, stranger.enrolled.public_key.kid)), 401
            ),
        ),
        Pair(
            "administrator (a passkey)",
            _post(house, watch, sessions, body(bad_passkey), 401),
            _post(
                house,
                watch,
                sessions,
                body({**bad_passkey, "credential_id": b64url(passkey.credential_id.encode())}),
                401,
            ),
        ),
        Pair(
            "loading request",
            _get(house, watch, f"{opening}/{load.id}", reader, 404),
            _get(house, watch, f"{opening}/{'A' * 24}", reader, 404),
        ),
        Pair(
            "SMS code typed",
            _compared(edge, application, code, code),
            _compared(edge, application, code, f"{(int(code) + 555_555) % 1_000_000:06}"),
        ),
        Pair(
            "application (SMS code)",
            _post(house, watch, "/v1/applications", _applied(load, application, code), 202, first),
            _post(
                house, watch, "/v1/applications", _applied(load, application, "000000"), 202, first
            ),
        ),
    ]


def _applied(load: Any, application: Verified[Any], code: str) -> dict[str, Any]:
    load.house.ceremonies.silent = True
    return {"statement": wire(application), "qr_text": load.qr_text, "sms_code": code}


def _signed_by_another(statement: Verified[Any]) -> str:
    header, payload = parts_of(statement.text)
    return raw_jws(header, canonical_json(payload), jwk_signer("stranger").key)


def _of_key(statement: Verified[Any], kid: str) -> str:
    header, payload = parts_of(statement.text)
    return raw_jws({**header, "kid": kid}, canonical_json(payload), jwk_signer("stranger").key)


def _post(
    house: House, watch: Stopwatch, path: str, body: Any, status: int, session: str | None = None
) -> Try:
    headers = {} if session is None else {"Authorization": f"Bearer {session}"}
    return _timed(watch, lambda: house.client.post(path, json=body, headers=headers), status)


def _get(house: House, watch: Stopwatch, path: str, session: str, status: int) -> Try:
    headers = {"Authorization": f"Bearer {session}"}
    return _timed(watch, lambda: house.client.get(path, headers=headers), status)


def _timed(watch: Stopwatch, call: Callable[[], Awaitable[httpx.Response]], status: int) -> Try:
    async def one() -> float:
        response = await call()
        if response.status_code != status:
            raise RuntimeError(f"{response.status_code}: {response.text}")
        return watch.seconds

    return one


def _compared(edge: EdgeSeal, statement: Verified[Any], issued: str, typed: str) -> Try:
    request_id = statement.payload.request_id
    sealed = edge.seal("sms", request_id, 1, statement.digest, typed)

    async def one() -> float:
        before = time.perf_counter()
        edge.matches(sealed, "sms", request_id, statement.digest, issued)
        return time.perf_counter() - before

    return one


async def _series(pair: Pair, tries: int, chance: random.Random) -> dict[str, list[float]]:
    calls = {"known": pair.known, "known again": pair.known, "unknown": pair.unknown}
    times: dict[str, list[float]] = {name: [] for name in SERIES}
    for _ in range(20):
        await pair.known()
        await pair.unknown()
    for _ in range(tries):
        for name in chance.sample(SERIES, len(SERIES)):
            times[name].append(1e6 * await calls[name]())
    return times


def _report(name: str, times: dict[str, list[float]], chance: random.Random) -> None:
    known, again, unknown = (statistics.median(times[one]) for one in SERIES)
    differ = unknown - (known + again) / 2
    noise = _noise(times["known"], times["known again"], chance)
    _say(f"{name:26} {known:9.1f} {again:9.1f} {unknown:9.1f}", end=" ")
    _say(f"{differ:+8.1f} {noise:8.1f} {abs(differ) / noise if noise else 0:6.2f}")


def _noise(one: Sequence[float], other: Sequence[float], chance: random.Random) -> float:
    apart: list[float] = []
    for _ in range(EXCHANGES):
        turns = [
            pair if chance.random() < 0.5 else pair[::-1] for pair in zip(one, other, strict=True)
        ]
        first, second = zip(*turns, strict=True)
        apart.append(abs(statistics.median(first) - statistics.median(second)))
    return sorted(apart)[int(QUANTILE * EXCHANGES)]


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
