"""Auditing: auditors search, read timelines and take evidence; nobody else does."""

import pytest

from ceremony.registry import read_credential_entry, read_terminal_entry, registry_digest
from ceremony.verification import peek
from tests.support.apihouse import House
from tests.support.identities import jwk_signer

CALLS = ["/v1/loading-requests", "/v1/loading-requests/{id}/events"]
EVIDENCE = "/v1/loading-requests/{id}/evidence"


@pytest.mark.parametrize("path", [*CALLS, EVIDENCE])
async def test_only_auditors_audit(house: House, path: str) -> None:
    """An administrator without the auditor's role: 403."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    response = await house.get(path.format(id=load.id), session=session)
    assert (response.status_code, response.json()["code"]) == (403, "not-auditor")


@pytest.mark.parametrize("path", ["events", "evidence"])
async def test_an_unknown_request_is_not_found(house: House, path: str) -> None:
    """There is no timeline and no evidence of what never was."""
    session = await house.sign_in(house.world.third)
    response = await house.get(f"/v1/loading-requests/{'A' * 24}/{path}", session=session)
    assert response.status_code == 404


async def test_a_search_pages_by_key_and_filters(house: House) -> None:
    """Pages neither repeat nor skip, and each filter finds what it names."""
    first = await house.open()
    house.world.pass_time(10)
    second = await house.open(house.request(about=house.world.other))
    await first.apply()
    session = await house.sign_in(house.world.third)

    async def search(**query: object) -> list[str]:
        response = await house.get("/v1/loading-requests", session=session, **query)
        assert response.status_code == 200, response.text
        return [row["request_id"] for row in response.json()["loading_requests"]]

    assert await search() == [second.id, first.id]
    page = (await house.get("/v1/loading-requests", session=session, limit=1)).json()
    assert [row["request_id"] for row in page["loading_requests"]] == [second.id]
    assert await search(limit=1, after=page["next"]) == [first.id]
    assert await search(terminal_no="ATM-0001") == [first.id]
    assert await search(stage=["AWAITING_REVIEW", "LOADED"]) == [first.id]
    assert await search(staff_no=house.world.second.staff_no) == [second.id, first.id]
    assert await search(staff_no=house.world.third.staff_no) == []
    assert await search(branch="Elsewhere") == []
    assert await search(opened_from=house.world.now) == [second.id]
    assert await search(opened_until=house.world.now) == [first.id]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"after": "nonsense"}, 400, "malformed"),
        ({"limit": 0}, 422, "schema"),
        ({"stage": "SOMEWHERE"}, 422, "schema"),
        ({"planted-name": "x"}, 422, "schema"),
    ],
)
async def test_a_malformed_search_is_refused(
    house: House, query: dict[str, object], status: int, code: str
) -> None:
    """A foreign cursor, an unknown stage or field: refused, and not repeated."""
    session = await house.sign_in(house.world.third)
    response = await house.get("/v1/loading-requests", session=session, **query)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "planted" not in response.text and "SOMEWHERE" not in response.text


async def test_a_timeline_tells_who_did_what(house: House) -> None:
    """Events come in order, refusals with reason codes, people by staff number."""
    load = await house.open()
    await house.post(
        f"{load.path}/cancellation",
        {"statement": house.world.cancellation(load.request, signer=jwk_signer("who")).text},
    )
    await house.post(
        f"{load.path}/cancellation",
        {
            "statement": house.world.cancellation(
                load.request, terminal_no="ATM-0002", signer=house.world.terminal.device
            ).text
        },
    )
    await load.confirm()
    session = await house.sign_in(house.world.third)
    response = await house.get(f"{load.path}/events", session=session)
    events = [(one["event"], one["actor"], one["reason"]) for one in response.json()["events"]]
    assert events == [
        ("request-accepted", "ATM-0001", None),
        ("statement-refused", "ATM-0001", "wrong-terminal"),
        ("sms-code-asked", house.world.first.staff_no, None),
        ("application-accepted", house.world.first.staff_no, None),
        ("decision-accepted", house.world.second.staff_no, None),
        ("confirmation-checked", "ATM-0001", None),
        ("confirmation-accepted", "ATM-0001", None),
    ]
    assert house.world.first.number not in response.text


async def test_the_evidence_proves_itself(house: House) -> None:
    """Statements and entries are verbatim: their digests and signatures hold by the trust file."""
    load = await house.open()
    await load.confirm()
    session = await house.sign_in(house.world.third)
    evidence = (await house.get(EVIDENCE.format(id=load.id), session=session)).json()
    kinds = {one["kind"] for one in evidence["statements"]}
    assert kinds == {"request", "application", "decision", "confirmation"}
    for one in evidence["statements"]:
        assert peek(one["statement"]).digest == one["digest"]
    trust, now = house.world.trust, house.world.now
    terminal = read_terminal_entry(evidence["entries"]["terminal"], trust, now=now)
    first = read_credential_entry(evidence["entries"]["first"], trust, now=now)
    second = read_credential_entry(evidence["entries"]["second"], trust, now=now)
    digest = registry_digest(terminal.digest, first.digest, second.digest)
    assert digest == evidence["loading_request"]["registry_digest"]
    assert peek(evidence["release_record"]).kind == "release-record"
    assert evidence["token_digests"] == [load.token_digest]
    assert all(verdict["accepted"] for verdict in evidence["verdicts"])
    assert load.token is not None and load.token["value"] not in str(evidence)


async def test_taking_evidence_is_on_record(house: House) -> None:
    """Evidence holds telephone numbers, so who took it is audited."""
    load = await house.open()
    session = await house.sign_in(house.world.third)
    await house.get(EVIDENCE.format(id=load.id), session=session)
    [event] = house.events("evidence-taken")
    assert (event.actor, event.request_id) == (house.world.third.staff_no, load.id)


async def test_a_request_that_never_rested_on_entries_has_none(house: House) -> None:
    """A request that failed at its opening has evidence without entries and release record."""
    request = house.request(epp_fingerprint="ab" * 32)
    response = await house.post("/v1/loading-requests", {"statement": request.text})
    assert (response.status_code, response.json()["code"]) == (403, "wrong-epp")
    session = await house.sign_in(house.world.third)
    rows = (await house.get("/v1/loading-requests", session=session)).json()["loading_requests"]
    assert [row["stage"] for row in rows] == ["FAILED"]
    path = EVIDENCE.format(id=rows[0]["request_id"])
    evidence = (await house.get(path, session=session)).json()
    assert evidence["release_record"] is None
