"""Spraying seen at the API, and that nobody's tries lock anybody else out."""

from pathlib import Path
from typing import Any

import httpx

from api.app import build_app
from api.limits import RateLimits, Scope
from api.parts import Parts
from ceremony.spraying import MANY, Alarm
from records import alarms
from records.database import Database
from records.rates import SharedRates
from tests.support.apihouse import GENEROUS, House, wire
from tests.support.forging import parts_of, raw_jws
from tests.support.identities import ORIGIN, signing_key

LEAST = MANY[Alarm.LOGINS_MANY_KEYS][0]


def forged_login(house: House, kid: str) -> str:
    """A login that says it is by this key, and is signed by a stranger's."""
    header, payload = parts_of(house.world.login(challenge=house.challenge()).text)
    return raw_jws({**header, "kid": kid}, payload, signing_key("stranger"))


def raised(house: House) -> int:
    """How many alarms of refused sign-ins there are."""
    with house.backstage.database.read() as session:
        return alarms.counts(session)[Alarm.LOGINS_MANY_KEYS]


async def test_refused_sign_ins_with_many_keys_raise_one_alarm_over_two_apis(
    tmp_path: Path,
) -> None:
    """Two APIs see half of the keys each: one alarm, at the last key, and no more of that hour.

    One key's refused sign-ins, however many, are none.
    """
    house = House.make(tmp_path)
    door = Database(house.backstage.url)
    limits = RateLimits(GENEROUS, SharedRates(door))
    parts = Parts(**{**vars(house.parts), "database": door, "limits": limits})
    other = httpx.AsyncClient(transport=httpx.ASGITransport(build_app(parts)), base_url=ORIGIN)

    async def try_key(n: int, client: httpx.AsyncClient) -> None:
        body: dict[str, Any] = {"statement": forged_login(house, f"key-{n}")}
        assert (await client.post("/v1/sessions", json=body)).status_code == 401

    for _ in range(LEAST + 2):
        await try_key(0, house.client)
    assert raised(house) == 0
    for n in range(1, LEAST - 1):
        await try_key(n, (house.client, other)[n % 2])
    assert raised(house) == 0
    for n in range(LEAST - 1, LEAST + 5):
        await try_key(n, (house.client, other)[n % 2])
    assert raised(house) == 1
    assert len(house.events("alarm-logins-many-keys")) == 1
    await other.aclose()
    door.close()
    await house.close()


async def test_nobody_elses_tries_lock_an_administrator_out(tmp_path: Path) -> None:
    """A stranger's forged sign-ins in an administrator's name, and another's asking for codes.

    Limits of sign-ins and codes count who proved to be somebody: the administrator signs in, gets
    the first code, and applies with all attempts left.
    """
    rates = {**GENEROUS, Scope.LOGINS: "2 per hour", Scope.SMS_CODES: "2 per hour"}
    house = House.make(tmp_path, rates=rates)
    world = house.world
    for _ in range(6):
        body = {"statement": forged_login(house, world.first.kid)}
        assert (await house.post("/v1/sessions", body)).status_code == 401
    load = await house.open()
    another = await house.sign_in(world.second)
    assert [(await load.ask_code(another)).status_code for _ in range(3)] == [202, 202, 429]
    session = await house.sign_in(world.first)
    asked = await load.ask_code(session)
    assert (asked.status_code, asked.json()["n"]) == (202, 1)
    applied = await load.send_application(load.new_application(), session)
    assert (applied.status_code, applied.json()["attempts_left"]) == (200, 5)
    await house.close()


async def test_copies_of_old_statements_lock_nobody_out(tmp_path: Path) -> None:
    """An auditor has everybody's statements: sent again and again, they take nothing from limits.

    Neither one that was received nor one that is stale now. They count against themselves, and
    the administrator signs in meanwhile, and the terminal asks for a key.
    """
    few = dict.fromkeys((Scope.LOGINS, Scope.CREDENTIAL, Scope.TERMINAL), "3 per hour")
    house = House.make(tmp_path, rates={**GENEROUS, **few})
    world = house.world
    login, stale = (world.login(challenge=house.challenge()) for _ in range(2))
    request, late = house.request(), house.request(reload_reason="never sent")
    await house.open(request)
    assert (await house.post("/v1/sessions", {"statement": wire(login)})).status_code == 201
    world.pass_time(600)
    for path, one in (
        ("/v1/sessions", login),
        ("/v1/sessions", stale),
        ("/v1/loading-requests", request),
        ("/v1/loading-requests", late),
    ):
        body = {"statement": wire(one)}
        answers = [(await house.post(path, body)).status_code for _ in range(5)]
        assert answers[3:] == [429, 429]
    await house.sign_in(world.first)
    await house.open(house.request())
    await house.close()
