"""Repeats, re-wraps, late and misdirected signals: what a second time does, and does not do."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import delete
from temporalio.client import Client, WorkflowHandle

from ceremony.encoding import from_b64url
from ceremony.messages import Submission
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import REWRAPS
from ceremony.statements import Kind
from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from records import verdicts
from records.tables.key import KeyRow, KeyState
from records.tables.token import TokenRow
from tests.support.backstage import Backstage
from tests.support.identities import Terminal
from tests.support.load import Load

UNKNOWN_DIGEST = "0" * 64


def kcv_in(token: TokenRow, terminal: Terminal) -> str:
    """Open a key token as the terminal's EPP does, and give the KCV of what is in it."""
    payload = base64.b64decode(token.value).decode().split(".")[1]
    encrypted = from_b64url(json.loads(from_b64url(payload))["encrypted_key"])
    scheme = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)
    return key_check_value(
        KeyAlgorithm(token.key_algorithm), terminal.epp.private_key.decrypt(encrypted, scheme)
    )


async def scheduled(handle: WorkflowHandle[Any, Any], activity: str) -> int:
    """How often a workflow called this activity."""
    history = await handle.fetch_history()
    return sum(
        event.activity_task_scheduled_event_attributes.activity_type.name == activity
        for event in history.events
    )


async def test_a_lost_nonce_gets_the_same_key(running: Backstage, client: Client) -> None:
    """Three re-wraps give new tokens with the one key of the journal; a fourth is refused."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    for _ in range(REWRAPS):
        again = await load.confirm()
        assert (again.accepted, again.stage) == (True, Stage.AWAITING_RECEIPT)
    exhausted = await load.confirm()
    assert exhausted.reason == Reason.REWRAPS_EXHAUSTED
    assert exhausted.stage is Stage.AWAITING_RECEIPT

    tokens = load.tokens()
    assert len({token.token_digest for token in tokens}) == 1 + REWRAPS
    opened = {kcv_in(token, running.world.terminal) for token in tokens}
    assert opened == {running.journal.kcv_of(load.request_id)}
    journal = running.journal.tokens_of(load.request_id)
    assert [one.token_digest for one in journal] == [one.token_digest for one in tokens]
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED


async def test_an_older_token_may_be_the_loaded_one(running: Backstage, client: Client) -> None:
    """A receipt may name any token of the request: it is the same key."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    await load.confirm()
    await load.receive(token_digest=load.tokens()[0].token_digest)
    assert (await load.result()).stage is Stage.LOADED


async def test_the_same_confirmation_twice_gives_one_token(
    running: Backstage, client: Client
) -> None:
    """A confirmation signalled again is dropped: one release, one token."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    again = Submission(request_id=load.request_id, digest=load.confirmation.digest)
    for _ in range(2):
        await running.send(load.handle, Kind.CONFIRMATION, again)
    await load.receive()
    await load.result()
    assert len(load.tokens()) == 1
    assert await scheduled(load.handle, "release_key") == 1


async def test_a_confirmation_whose_answer_was_not_found_is_heard_again(
    running: Backstage, client: Client
) -> None:
    """A token planted in place of the key worker's: no verdict; with it gone, the same token."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    confirmation = running.world.confirmation(load.application)
    code = running.world.approval_code(load.request)
    filed = running.file_confirmation(confirmation, code=code)
    number = load.row.terminal_no
    with running.database.write() as session:
        session.add(
            KeyRow(
                request_id=load.request_id,
                terminal_no=number,
                algorithm="AES-128",
                host_block=b"planted",
                state=KeyState.RELEASED,
                release_record="planted",
                released_at=1,
            )
        )
        session.flush()
        session.add(
            TokenRow(
                confirmation_digest=confirmation.digest,
                request_id=load.request_id,
                ordinal=1,
                format="oaep-jws",
                key_algorithm="AES-128",
                value="planted",
                token_digest=UNKNOWN_DIGEST,
                issued_at=1,
            )
        )
    await running.send(load.handle, Kind.CONFIRMATION, filed)
    dropped = ("answer-dropped", Reason.TOKEN_UNKNOWN)
    await running.until(lambda: dropped in load.events() or None)
    with running.database.write() as session:
        assert verdicts.find(session, confirmation.digest) is None
        for row in (TokenRow, KeyRow):
            session.connection().execute(delete(row))
    await running.send(load.handle, Kind.CONFIRMATION, filed)
    verdict = await running.verdict(confirmation.digest)
    assert (verdict.accepted, verdict.stage) == (True, Stage.AWAITING_RECEIPT)
    token = running.journal.token_for(confirmation.digest)
    assert token is not None
    assert [one.token_digest for one in load.tokens()] == [token.token_digest]


async def test_a_repeated_request_goes_on(running: Backstage, client: Client) -> None:
    """In every open stage a terminal's new request statement gets the open request's id."""
    load = await Load.open(running, client)
    for stage, act in (
        (Stage.AWAITING_APPLICATION, load.apply),
        (Stage.AWAITING_REVIEW, load.decide),
        (Stage.AWAITING_CONFIRMATION, load.confirm),
        (Stage.AWAITING_RECEIPT, load.receive),
    ):
        again = running.world.request()
        await running.open(client, again)
        verdict = await running.verdict(again.digest)
        assert (verdict.accepted, verdict.stage) == (True, stage)
        assert verdict.request_id == load.request_id
        assert (await act()).accepted
    assert (await load.result()).stage is Stage.LOADED


async def test_another_terminal_has_its_own_request(running: Backstage, client: Client) -> None:
    """Two terminals load at the same time, each in a workflow and with a key of its own."""
    one = await Load.open(running, client)
    other = await Load.open(running, client, about=running.world.other)
    await one.to(Stage.AWAITING_RECEIPT)
    await other.to(Stage.AWAITING_RECEIPT)
    await one.receive()
    await other.receive()
    ended = [await one.result(), await other.result()]
    assert [result.stage for result in ended] == [Stage.LOADED] * 2
    assert one.handle.id != other.handle.id
    assert ended[0].token_digest != ended[1].token_digest


async def test_a_misdirected_signal_changes_nothing(running: Backstage, client: Client) -> None:
    """Signals of another request, or of a digest that nobody stored, are dropped unjudged."""
    foreign = await (await Load.open(running, client, about=running.world.other)).to(
        Stage.AWAITING_REVIEW
    )
    load = await (await Load.open(running, client)).to(Stage.AWAITING_REVIEW)
    decision = running.world.decision(foreign.application)
    filed = running.file(decision)
    for submission in (
        filed,
        Submission(request_id=load.request_id, digest=decision.digest),
        Submission(request_id=load.request_id, digest=UNKNOWN_DIGEST),
    ):
        await running.send(load.handle, Kind.DECISION, submission)
    assert (await load.decide("reject")).stage is Stage.REJECTED
    with running.database.read() as session:
        assert verdicts.find(session, decision.digest) is None
        assert verdicts.find(session, UNKNOWN_DIGEST) is None
    dropped = [reason for event, reason in load.events() if event == "signal-dropped"]
    assert dropped == [Reason.WRONG_REQUEST, Reason.STATEMENT_MISSING]
    assert foreign.row.stage is Stage.AWAITING_REVIEW


async def test_a_statement_answered_elsewhere_does_not_act_again(
    running: Backstage, client: Client
) -> None:
    """Accepted statements of an ended request, signalled under the next one's id, are dropped."""
    before = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    await before.receive()
    assert (await before.result()).stage is Stage.LOADED
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    with running.database.read() as session:
        judged = verdicts.of_request(session, before.request_id)
    for old in judged:
        submission = Submission(request_id=load.request_id, digest=old.digest)
        await running.send(load.handle, Kind(old.kind), submission)
    confirmed = await load.confirm()
    assert (confirmed.accepted, confirmed.request_id) == (True, load.request_id)
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED
    reasons = [reason for event, reason in load.events() if event == "signal-dropped"]
    assert reasons == [Reason.WRONG_REQUEST] * len(judged)


async def test_late_statements_are_answered(stage: Backstage, client: Client) -> None:
    """Statements that arrive together with the one that ends the request get wrong-stage."""
    load = await Load.begin(stage, client)
    load.sign_application()
    code = stage.world.sms_code(load.request)
    late = {
        Kind.APPLICATION: stage.file_application(load.request, load.application, code=code),
        Kind.DECISION: stage.file(stage.world.decision(load.application)),
        Kind.CONFIRMATION: stage.file(stage.world.confirmation(load.application)),
        Kind.CANCELLATION: stage.file(
            stage.world.cancellation(load.request, signer=stage.world.first.signer)
        ),
        Kind.REQUEST: stage.file(stage.world.request()),
    }
    ending = stage.file(stage.world.cancellation(load.request))
    await stage.send(load.handle, Kind.CANCELLATION, ending)
    for kind, submission in late.items():
        await stage.send(load.handle, kind, submission)
    async with stage.workers(client):
        assert (await load.result()).stage is Stage.CANCELLED
    for submission in late.values():
        verdict = await stage.verdict(submission.digest)
        assert (verdict.reason, verdict.stage) == (Reason.WRONG_STAGE, Stage.CANCELLED)
        assert verdict.request_id == load.request_id
