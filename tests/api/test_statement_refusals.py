"""Whatever is wrong with a statement, it gets its documented problem and changes nothing."""

from typing import Any

import pytest
from sqlmodel import select

from records import credentialentries, projection, terminalentries
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow
from tests.support.acts import ALL, BY_PERSON, BY_TERMINAL, Act
from tests.support.apihouse import House, wire
from tests.support.identities import jwk_signer

BOUND = tuple(kind for kind in ALL if kind not in ("request", "login"))
IN_SESSION = tuple(kind for kind in BY_PERSON if kind != "login")


def trace(act: Act) -> tuple[Any, ...]:
    """All that a refused statement must leave as it was."""
    house = act.house
    with house.backstage.database.read() as session:
        row = projection.find(session, act.load.id)
        assert row is not None
        stored = len(session.exec(select(SubmissionRow.digest)).all())
        judged = len(session.exec(select(VerdictRow.digest)).all())
    return row.version, row.stage, stored, judged, len(house.ceremonies.told)


async def refused(act: Act, statement: Any, **where: Any) -> tuple[int, str]:
    """Send it; assert that it changed nothing but the audit trail; give status and code."""
    before, audited = trace(act), len(act.house.events("statement-refused"))
    response = await act.send(statement, **where)
    assert trace(act) == before
    assert len(act.house.events("statement-refused")) == audited + 1
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize("kind", ALL)
async def test_an_altered_signature_is_not_authenticated(house: House, kind: str) -> None:
    """A statement whose signature does not hold: 401, whatever the kind."""
    act = await Act.ready(house, kind)
    said = wire(act.statement())
    if isinstance(said, dict):
        said["signature"] = said["signature"][:8] + "AAAAAAAA" + said["signature"][16:]
    else:
        head, _, signature = said.rpartition(".")
        said = f"{head}.{'A' * 8}{signature[8:]}"
    assert await refused(act, said) == (401, "not-authenticated")


@pytest.mark.parametrize("kind", ALL)
async def test_a_stranger_is_not_authenticated(house: House, kind: str) -> None:
    """A good signature by a key that nobody enrolled: the same 401 as a bad signature."""
    act = await Act.ready(house, kind)
    by_stranger = act.statement(signer=jwk_signer("stranger"))
    assert await refused(act, by_stranger) == (401, "not-authenticated")


@pytest.mark.parametrize("kind", ALL)
async def test_an_unsigned_statement_is_not_authenticated(house: House, kind: str) -> None:
    """`alg` none with an empty signature (RFC 7515 appendix A.5): 401."""
    act = await Act.ready(house, kind)
    said = act.statement(signer=jwk_signer("stranger")).text.split(".")
    assert await refused(act, f"eyJhbGciOiJub25lIn0.{said[1]}.") == (400, "header-refused")


@pytest.mark.parametrize("kind", ALL)
async def test_another_kind_of_statement_is_refused(house: House, kind: str) -> None:
    """A genuine statement of another kind is no statement of this one: 400."""
    act = await Act.ready(house, kind)
    cancellation = act.house.world.cancellation(act.load.request)
    other = cancellation if kind == "request" else act.house.request()
    assert await refused(act, other) == (400, "wrong-type")


@pytest.mark.parametrize("kind", ALL)
async def test_another_deployments_statement_is_refused(house: House, kind: str) -> None:
    """A statement for another audience: 401."""
    act = await Act.ready(house, kind)
    assert await refused(act, act.statement(aud="elsewhere")) == (401, "wrong-audience")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("request", (403, "wrong-terminal")),
        ("confirmation", (404, "not-found")),
        ("receipt", (404, "not-found")),
        ("cancellation", (404, "not-found")),
        ("application", (403, "not-your-session")),
        ("decision", (403, "not-your-session")),
        ("withdrawal", (403, "not-your-session")),
        ("login", (401, "wrong-signatory")),
    ],
)
async def test_another_enrolled_signer_is_refused(
    house: House, kind: str, expected: tuple[int, str]
) -> None:
    """Another terminal's device key, or another person's credential, signs for nobody else."""
    act = await Act.ready(house, kind)
    world = house.world
    other = world.other.device if kind in BY_TERMINAL else world.third.signer
    assert await refused(act, act.statement(signer=other)) == expected


@pytest.mark.parametrize("kind", BOUND)
async def test_a_statement_of_another_request_is_refused(house: House, kind: str) -> None:
    """The request id in the statement must be the one of the call."""
    act = await Act.ready(house, kind)
    code = "application-refused" if kind == "application" else "wrong-request"
    assert await refused(act, act.statement(request_id="A" * 24)) == (403, code)


@pytest.mark.parametrize("kind", [*BY_TERMINAL, "decision", "withdrawal"])
async def test_a_statement_of_another_terminal_is_refused(house: House, kind: str) -> None:
    """The terminal number in the statement must be the loading request's."""
    act = await Act.ready(house, kind)
    said = act.statement(terminal_no="ATM-0002", signer=act.signer)
    assert await refused(act, said) == (403, "wrong-terminal")


@pytest.mark.parametrize("kind", [kind for kind in BOUND if kind != "application"])
@pytest.mark.parametrize("request_id", ["A" * 24, "nonsense", "%00"])
async def test_an_unknown_request_is_not_found(house: House, kind: str, request_id: str) -> None:
    """A call about a loading request that is not there: 404, however the id is written."""
    act = await Act.ready(house, kind)
    path = act.path.replace(act.load.id, request_id)
    response = await act.send(act.statement(), path=path)
    assert (response.status_code, response.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize("kind", BY_PERSON)
@pytest.mark.parametrize("off_by", [-301, 301])
async def test_a_persons_stale_statement_is_refused(house: House, kind: str, off_by: int) -> None:
    """`iat` of a person's statement is within five minutes of its reception."""
    act = await Act.ready(house, kind)
    stale = act.statement(iat=house.world.now + off_by)
    assert await refused(act, stale) == (401, "stale")


async def test_a_terminal_needs_no_clock(house: House) -> None:
    """A terminal's `iat` is not judged: its challenge is."""
    load = await house.open(house.request(iat=1))
    await house.post(
        f"{load.path}/cancellation",
        {"statement": wire(house.world.cancellation(load.request, iat=2))},
    )


@pytest.mark.parametrize("kind", ["request", "login"])
@pytest.mark.parametrize("fault", ["expired", "foreign", "none"])
async def test_a_challenge_is_the_servers_own_and_fresh(
    house: House, kind: str, fault: str
) -> None:
    """A challenge older than two minutes, of another server, or none: 401."""
    act = await Act.ready(house, kind)
    challenges = {
        "expired": house.parts.tokens.challenges.issue(house.world.now - 121),
        "foreign": house.world.challenges.issue(house.world.now),
        "none": "",
    }
    said = act.statement(challenge=challenges[fault])
    assert await refused(act, said) == (401, "challenge-refused")


@pytest.mark.parametrize("kind", IN_SESSION)
async def test_a_persons_statement_needs_their_own_session(house: House, kind: str) -> None:
    """Without a session 401, in another's session 403: a stolen statement alone does nothing."""
    act = await Act.ready(house, kind)
    others = await house.sign_in(house.world.third)
    said = act.statement()
    before = trace(act)
    response = await act.send(said, session=others)
    assert (response.status_code, response.json()["code"]) == (403, "not-your-session")
    act.session = None
    response = await act.send(said)
    assert (response.status_code, response.json()["code"]) == (401, "not-authenticated")
    assert trace(act) == before


async def test_an_uninvolved_person_cancels_nothing(house: House) -> None:
    """A third person's cancellation, in their own session: as if the request did not exist."""
    act = await Act.ready(house, "withdrawal")
    act.session = await house.sign_in(house.world.third)
    by_third = act.statement(signer=house.world.third.signer)
    assert await refused(act, by_third) == (404, "not-found")


@pytest.mark.parametrize("kind", [kind for kind in BOUND if "cancel" not in kind])
async def test_an_ended_request_answers_wrong_stage(house: House, kind: str) -> None:
    """Every statement to an ended request: 409 with its stage, and no signal."""
    act = await Act.ready(house, kind)
    said = act.statement()
    house.ceremonies.expire("ATM-0001")
    before = trace(act)
    response = await act.send(said)
    assert (response.status_code, response.json()["code"]) == (409, "wrong-stage")
    assert response.json()["stage"] == ("UNCONFIRMED" if kind == "receipt" else "EXPIRED")
    assert trace(act) == before


@pytest.mark.parametrize("kind", ["decision", "confirmation", "receipt"])
async def test_a_statement_too_early_answers_wrong_stage(house: House, kind: str) -> None:
    """What comes before its stage is refused by the ceremony: 409, and the stage stays."""
    act = await Act.ready(house, "application")
    act.load.application = act.load.new_application()
    act.load.confirmation = house.world.confirmation(act.load.application)
    act.load.token = {"value": "AAAA"}
    early = Act(kind, act.load, None)
    if kind == "decision":
        early.session = await house.sign_in(house.world.second)
    response = await early.send(early.statement())
    assert (response.status_code, response.json()["code"]) == (409, "wrong-stage")
    assert response.json()["stage"] == "AWAITING_APPLICATION"


async def test_a_passkey_whose_counter_does_not_rise_is_refused(house: House) -> None:
    """A signature counter at or below the last accepted one, as a cloned passkey's: 401."""
    act = await Act.ready(house, "decision")
    older = act.statement()
    await house.sign_in(house.world.second)
    assert await refused(act, older) == (401, "not-authenticated")
    assert house.events("statement-refused")[-1].reason == "passkey-refused"


@pytest.mark.parametrize("kind", ALL)
async def test_a_revoked_signer_is_not_authenticated(house: House, kind: str) -> None:
    """A withdrawn terminal or revoked credential signs nothing more, in an open session neither."""
    act = await Act.ready(house, kind)
    said = act.statement()
    with house.backstage.database.write() as session:
        if kind in BY_TERMINAL:
            terminalentries.withdraw_terminal(session, "ATM-0001", now=house.world.now)
        else:
            row = credentialentries.current_credential(session, act.person.person)
            assert row is not None
            credentialentries.revoke_credential(session, row.digest, now=house.world.now)
    before = trace(act)
    response = await act.send(said)
    assert (response.status_code, response.json()["code"]) == (401, "not-authenticated")
    assert trace(act) == before


async def test_the_audit_trail_says_why_and_holds_nothing_that_was_sent(house: House) -> None:
    """A refusal is audited with reason, kind and address, and not with a stranger's words."""
    act = await Act.ready(house, "cancellation")
    await act.send(act.statement(signer=jwk_signer("stranger"), reason="planted secret"))
    event = house.events("statement-refused")[-1]
    assert (event.reason, event.actor_kind, event.actor) == ("unknown-key", "terminal", None)
    assert "planted" not in event.detail
    await act.send(act.statement(signer=house.world.other.device))
    event = house.events("statement-refused")[-1]
    assert (event.reason, event.actor) == ("wrong-signatory", "ATM-0002")
