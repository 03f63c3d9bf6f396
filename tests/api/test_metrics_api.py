"""What `/metrics` tells: figures of the records, who is away, refusals by reason; and no names."""

import asyncio
import re

import pytest

from api.board import KEPT_SECONDS, OTHER, PURPOSES, FigureBoard, Sight
from api.figures import LOOKING_SECONDS
from api.metrics import Metrics
from ceremony.reasons import Reason
from ceremony.spraying import Alarm
from ceremony.stages import Stage
from records.tables.sms_message import SmsMessageRow, SmsStatus
from tests.support.apihouse import House, wire
from tests.support.monitoring import sample, values

CLOSED = re.compile(r"[A-Za-z0-9_.:+-]{1,40}")
FIGURES = ("keyfill_loading_requests_open", "keyfill_sms_messages", "keyfill_keys_unconfirmed")


async def scrape(house: House) -> str:
    """What Prometheus reads, with nothing kept from before."""
    house.parts.metrics.board._seen_at = None
    return (await house.client.get("/metrics")).text


async def test_requests_and_messages_are_told_by_stage_and_status(house: House) -> None:
    """A request that awaits review, its age, and the SMS that were sent for it."""
    load = await house.open()
    await load.apply()
    with house.backstage.database.write() as session:
        session.add(
            SmsMessageRow(
                step=f"{load.id}/sms/review",
                request_id=load.id,
                terminal_no="ATM-0001",
                person=house.world.second.person,
                purpose="review",
                to_masked="…72",
                status=SmsStatus.INTENT,
                created_at=house.world.now,
                updated_at=house.world.now,
            )
        )
    house.world.pass_time(90)
    told = await scrape(house)
    assert sample(told, "keyfill_loading_requests_open", stage="AWAITING_REVIEW") == 1
    assert sample(told, "keyfill_loading_requests_open", stage="AWAITING_RECEIPT") == 0
    assert sample(told, "keyfill_loading_request_oldest_seconds", stage="AWAITING_REVIEW") == 90
    begun = {"purpose": "review", "status": "intent", "window": "hour"}
    assert sample(told, "keyfill_sms_messages", **begun) == 1
    await load.cancel()
    told = await scrape(house)
    assert sample(told, "keyfill_loading_requests_open", stage="AWAITING_REVIEW") == 0
    assert sample(told, "keyfill_loading_requests_ended", stage="CANCELLED") == 1


async def test_a_refusal_at_the_edge_is_counted_by_its_reason(house: House) -> None:
    """A bad signature counts as that; what is no reason code counts as other."""
    login = house.world.login(house.world.first, challenge=house.challenge())
    head, payload, signature = wire(login).split(".")
    bad = f"{head}.{payload}.{'A' * len(signature)}"
    before = await scrape(house)
    assert sample(before, "keyfill_refusals_total", reason="bad-signature") == 0
    await house.post("/v1/sessions", {"statement": bad})
    told = await scrape(house)
    assert sample(told, "keyfill_refusals_total", reason="bad-signature") == 1
    house.parts.metrics.refused("+4915112345671")
    told = await scrape(house)
    assert sample(told, "keyfill_refusals_total", reason=OTHER) == 1
    assert "4915112345671" not in told


async def test_no_label_is_about_anybody(house: House) -> None:
    """After a whole load and an attack on a path, each label is a word of a closed set."""
    load = await house.open()
    await load.confirm()
    await load.receive()
    await house.client.get("/v1/loading-requests/planted-secret")
    for path in ("/planted-secret", "/healthz"):
        await house.client.request("PLANTED", path)
    told = await scrape(house)
    known = {
        "stage": set(Stage),
        "reason": {*Reason, OTHER},
        "purpose": {*PURPOSES, OTHER},
        "status": set(SmsStatus),
        "window": {"hour", "day"},
        "alarm": set(Alarm),
        "part": {"database", "temporal", "key_worker"},
        "outcome": {"applied", "refused", "stopped", "received", "accepted"},
    }
    for (name, label), found in values(told).items():
        if label == "le":
            continue
        if label == "route":
            assert all(one == "unmatched" or one.startswith("/") for one in found), name
            assert not any(load.id in one for one in found)
            continue
        if name.startswith("keyfill_http") or label in ("kind", "outcome"):
            assert all(CLOSED.fullmatch(one) for one in found), (name, label, found)
            continue
        assert found <= known[label], (name, label)
    for one in ("planted", load.id, "ATM-0001", house.world.first.staff_no, "PLANTED"):
        assert one not in told


async def test_without_the_database_there_are_no_figures(house: House) -> None:
    """Nothing is told as it was before: the database is away, and the rest is left out."""
    told = await scrape(house)
    assert all(name in told for name in FIGURES)
    house.backstage.database.close()
    told = await scrape(house)
    assert sample(told, "keyfill_ready", part="database") == 0
    assert not any(name in told for name in FIGURES)
    assert "keyfill_http_requests_total" in told


async def test_what_hangs_is_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that does not answer in time is away; the scrape itself answers."""

    async def hang() -> bool:
        await asyncio.sleep(3600)
        return True

    monkeypatch.setattr("api.figures.LOOKING_SECONDS", 0.05)
    monkeypatch.setattr(house.ceremonies, "key_worker_polls", hang)
    told = await scrape(house)
    assert sample(told, "keyfill_ready", part="key_worker") == 0
    assert LOOKING_SECONDS < 10


async def test_many_scrapes_look_once_in_a_while() -> None:
    """Prometheus and a curious person do not cost the database a look each."""
    now, looks = 100.0, 0

    async def look() -> Sight:
        nonlocal looks
        looks += 1
        return Sight({"database": True})

    board = FigureBoard(lambda: now)
    for _ in range(3):
        await board.renew(look)
    assert looks == 1
    now += KEPT_SECONDS
    await board.renew(look)
    assert looks == 2


def test_every_reason_is_counted_from_zero() -> None:
    """The first refusal of a kind is seen as an increase."""
    told = Metrics().exposition().decode()
    for reason in Reason:
        assert sample(told, "keyfill_refusals_total", reason=reason) == 0
