"""Reviews: what the second administrator sees and decides."""

import pytest
from sqlmodel import Session

from ceremony.checks import APPROVAL_SECONDS, CLOCK_SKEW_SECONDS
from records import submissions
from records.tables.submission import SubmissionRow
from tests.support.apihouse import House, wire


async def test_the_second_administrator_sees_what_awaits(house: House) -> None:
    """An accepted application is on the second administrator's list, and on nobody else's."""
    load = await house.open()
    await load.apply()
    session = await house.sign_in(house.world.second)
    listed = await house.get("/v1/reviews", session=session)
    assert listed.json() == {
        "reviews": [
            {
                "request_id": load.id,
                "terminal_no": "ATM-0001",
                "model": "Sample 280",
                "branch": "Main Street",
                "first_administrator": house.world.first.staff_no,
                "since": house.world.now,
            }
        ]
    }
    for other in (house.world.first, house.world.third):
        session = await house.sign_in(other)
        assert (await house.get("/v1/reviews", session=session)).json() == {"reviews": []}


async def test_the_document_names_all_that_the_decision_must(house: House) -> None:
    """The second administrator sees terminal, applicant, and every digest to sign."""
    load = await house.open()
    application = await load.apply()
    session = await house.sign_in(house.world.second)
    response = await house.get(f"/v1/reviews/{load.id}", session=session)
    assert response.json() == {
        "aud": house.world.trust.audience,
        "request_id": load.id,
        "terminal_no": "ATM-0001",
        "model": "Sample 280",
        "branch": "Main Street",
        "administrator": house.world.second.staff_no,
        "first_administrator": {
            "staff_no": house.world.first.staff_no,
            "name": house.world.first.name,
        },
        "since": house.world.now,
        "reload_reason": "planned replacement",
        "epp_fingerprint": house.world.terminal.epp.fingerprint,
        "registry_digest": house.world.standing().registry_digest,
        "application_digest": application.digest,
        "expires_at_max": house.world.now + APPROVAL_SECONDS - CLOCK_SKEW_SECONDS,
        "server_time": house.world.now,
    }
    assert house.world.first.number not in response.text


async def test_only_the_terminals_own_word_is_shown_as_its_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever edits a stored request shows the reviewer no reason that the terminal never gave."""
    request = house.request(reload_reason="suspected exposure")
    load = await house.open(request)
    await load.apply()
    session = await house.sign_in(house.world.second)
    forger = house.world.request(signer=house.world.other.device, reload_reason="nothing")
    another = house.world.request(reload_reason="nothing")
    kept = submissions.get
    for text, shown in (
        (request.text, "suspected exposure"),
        (forger.text, None),
        (another.text, None),
        ("edited", None),
    ):

        def edited(records: Session, digest: str, text: str = text) -> SubmissionRow | None:
            row = kept(records, digest)
            if row is None or digest != request.digest:
                return row
            return SubmissionRow(**{**row.model_dump(), "statement": text})

        monkeypatch.setattr(submissions, "get", edited)
        answer = await house.get(f"/v1/reviews/{load.id}", session=session)
        assert answer.json()["reload_reason"] == shown


async def test_a_review_is_there_in_its_stage_only(house: House) -> None:
    """Before the application and after the decision the document is 409 with the stage."""
    load = await house.open()
    session = await house.sign_in(house.world.second)
    early = await house.get(f"/v1/reviews/{load.id}", session=session)
    assert (early.status_code, early.json()["stage"]) == (409, "AWAITING_APPLICATION")
    await load.approve()
    late = await house.get(f"/v1/reviews/{load.id}", session=session)
    assert (late.status_code, late.json()["stage"]) == (409, "AWAITING_CONFIRMATION")


async def test_a_changed_registry_shows_before_anyone_signs(house: House) -> None:
    """If the entries behind the request changed, the document says so instead of misleading."""
    load = await house.open()
    await load.apply()
    session = await house.sign_in(house.world.second)
    world = house.world
    world.seq = 2
    world.terminal_envelopes["ATM-0001"] = world.terminal_entry(branch="Elsewhere")
    house.backstage.world.credential_envelopes = {}
    house.backstage.register()
    response = await house.get(f"/v1/reviews/{load.id}", session=session)
    assert (response.status_code, response.json()["code"]) == (403, "registry-changed")


async def test_the_first_administrator_cannot_decide(house: House) -> None:
    """The applicant's own decision is answered as if the review did not exist."""
    load = await house.open()
    application = await load.apply()
    session = await house.sign_in(house.world.first)
    decision = house.world.decision(
        application, signer=house.world.first.signer, administrator=house.world.first.staff_no
    )
    response = await house.post(
        f"/v1/reviews/{load.id}/decision", {"statement": wire(decision)}, session=session
    )
    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert house.events("statement-refused")[-1].reason == "not-second-administrator"


async def test_a_decision_about_another_application_is_refused(house: House) -> None:
    """The decision must name this very application; the reason is told."""
    load = await house.open()
    application = await load.apply()
    session = await house.sign_in(house.world.second)
    decision = house.world.decision(application, application_digest="ab" * 32)
    response = await house.post(
        f"/v1/reviews/{load.id}/decision", {"statement": wire(decision)}, session=session
    )
    assert (response.status_code, response.json()["code"]) == (403, "wrong-application")


async def test_an_expired_decision_is_gone(house: House) -> None:
    """A decision whose own expiry has passed: 410."""
    load = await house.open()
    application = await load.apply()
    session = await house.sign_in(house.world.second)
    decision = house.world.decision(application, expires_at=house.world.now)
    response = await house.post(
        f"/v1/reviews/{load.id}/decision", {"statement": wire(decision)}, session=session
    )
    assert (response.status_code, response.json()["code"]) == (410, "statement-expired")
