"""A live database writer who forges verdicts: what nobody decided, at every step."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from ceremony import names
from ceremony.keys import SigningKey
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import sign
from ceremony.stages import Stage
from ceremony.state import CeremonyState
from ceremony.statements import (
    CredentialEntry,
    LoginPayload,
    PublicJwk,
    TerminalEntry,
    request_id_of,
)
from ceremony.verification import peek
from tests.support.attacked import Bench, Person, Place
from tests.support.forgedrows import (
    file_statement,
    forge_verdict,
    insert_credential,
    insert_terminal,
)
from tests.support.genuine import NOTHING, Ceremony, common, digest_of
from tests.support.ledger import Account
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def state_of(trespasser: Trespasser, load: Ceremony, **changes: object) -> CeremonyState:
    """The workflow's state, with what the forger wants it to say."""
    said: dict[str, Any] = await trespasser.handle(load.place.terminal_no).query(names.QUERY_STATUS)
    return CeremonyState(**said).model_copy(update=changes)


async def test_a_forged_acceptance_of_an_application_does_not_stand_for_the_sms_code(
    bench: Bench, trespasser: Trespasser
) -> None:
    """A thief of the first administrator's key has no SMS; a verdict row says the code was right.

    The row is there before the application comes. How far it goes: the API answers that it was
    accepted, the second administrator is asked and even approves, the approval code goes to the
    registered number. The key worker computes the SMS code itself, and there is no key.
    """
    load = await Ceremony.open(bench)
    right = await load.sms_code()
    load.sign_application()
    digest = load.digest("application")
    state = await state_of(
        trespasser,
        load,
        stage=Stage.AWAITING_REVIEW,
        application_digest=digest,
        application_expires_at=int(time.time()) + 3_600,
        qr_digest=load.qr_digest,
    )
    wrong = f"{(int(right) + 1) % 1_000_000:06}"
    # Refused once for its code, it is stored; then the verdict is exchanged for one that accepts.
    body = {"statement": load.said["application"], "qr_text": load.qr_text, "sms_code": wrong}
    session = await load.session(load.place.first)
    assert (await load.post("/v1/applications", body, session=session)).status_code == 403
    with bench.rows() as rows:
        rows.execute("DELETE FROM verdicts WHERE digest = ?", (digest,))
        forge_verdict(rows, state, digest, "application")
        rows.execute(
            "UPDATE loading_requests SET stage = 'AWAITING_REVIEW', version = version + 1, "
            "application_digest = ?, qr_digest = ? WHERE request_id = ?",
            (digest, load.qr_digest, load.request_id),
        )
    assert (await load.post("/v1/applications", body, session=session)).status_code == 200
    # The workflow has seen that statement: it is told by one that starts over.
    await trespasser.handle(load.place.terminal_no).terminate("attack")
    await trespasser.client.start_workflow(
        names.LOADING_REQUEST,
        {
            "request_id": load.request_id,
            "terminal_no": load.place.terminal_no,
            "digest": load.digest("request"),
        },
        id=names.loading_request_id(load.place.terminal_no),
        task_queue=names.CEREMONY_QUEUE,
    )
    decided = await load.decide()
    assert decided.status_code == 200, decided.text
    refused = await load.confirm(code=await load.approval_code())
    assert refused.status_code == 403, refused.text
    assert load.stage is Stage.FAILED
    assert Reason.SMS_CODE_WRONG in bench.reasons(load.place.terminal_no)
    assert load.account == Account({}, {})


async def test_a_forged_acceptance_of_a_confirmation_gives_no_token(
    bench: Bench, trespasser: Trespasser
) -> None:
    """The confirmation's verdict says accepted, with a token's digest, before the key worker spoke.

    The statement is genuine, the approval code wrong. How far it goes: the terminal is answered
    202 without end, for there is no token to give; the workflow believes in a release until its
    deadline. A forged receipt of it settles nothing.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    right = await load.approval_code()
    load.sign_confirmation()
    digest = load.digest("confirmation")
    state = await state_of(
        trespasser,
        load,
        stage=Stage.AWAITING_RECEIPT,
        confirmation_digest=digest,
        token_digest=NOTHING,
    )
    with bench.rows() as rows:
        forge_verdict(rows, state, digest, "confirmation")
    load.patient = False
    answer = await load.confirm_again(f"{(int(right) + 1) % 10_000:04}")
    assert answer.status_code == 202, answer.text
    with bench.rows() as rows:
        file_statement(rows, load, load.said["confirmation"])
    message = {"request_id": load.request_id, "digest": digest}
    await trespasser.signal(load.place.terminal_no, names.SIGNAL_CONFIRMATION, message)
    await trespasser.settled(load.place.terminal_no)
    assert (await load.confirm_again(right)).status_code == 202
    receipt = await load.receive(token_digest=NOTHING, kcv="a1b2c3")
    assert receipt.status_code in (202, 403, 409), receipt.text
    answer = await trespasser.call("release_key", load.command())
    assert answer["token_digest"] is None
    settle = {"request_id": load.request_id, "terminal_no": load.place.terminal_no}
    for statement in (load.digest("receipt"), digest, None):
        answer = await trespasser.call("settle_key", {**settle, "receipt": statement})
        assert (answer["active"], answer["kcv"]) == (False, None)
    assert load.account == Account({}, {})
    await trespasser.handle(load.place.terminal_no).terminate("the attack is over")


async def test_forged_refusals_deny_one_statement_and_no_more(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Verdict rows that refuse what honest people are about to say.

    How far it goes: that statement is answered 403. Its signer signs another, which is judged.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    load.sign_decision()
    state = await state_of(trespasser, load)
    with bench.rows() as rows:
        forge_verdict(
            rows, state, load.digest("decision"), "decision", Reason.NOT_SECOND_ADMINISTRATOR
        )
    body = {"statement": load.said["decision"]}
    session = await load.session(load.place.second)
    path = f"/v1/reviews/{load.request_id}/decision"
    assert (await load.post(path, body, session=session)).status_code == 403
    assert load.stage is Stage.AWAITING_REVIEW
    await load.to(Stage.LOADED)
    assert load.account.states == ["active"]


async def test_inserted_terminals_and_administrators_get_no_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """A terminal and two administrators of the attacker's own, inserted beside the genuine rows.

    People signed by themselves and one officer, or by officers of their own; a terminal signed by
    its own key, then even by the genuine feed. Whatever they say is in the database with good
    signatures. The API knows none of them, no request opens, the key worker refuses.
    """
    like, number = await bench.place(), "ATM-9999"
    keys = [SigningKey.generate() for _ in range(3)]
    first = _made_up(bench, like.first, keys[0], "A90001", bench.officers[:1])
    second = _made_up(bench, like.second, keys[1], "A90002", [keys[0], keys[2]])
    place = Place(number, like.folder, keys[2], first, second, like.address)
    sql = "SELECT envelope FROM terminal_entries WHERE terminal_no = ? AND current"
    said = peek(envelope_statements(str(bench.value(sql, like.terminal_no)))[0]).payload
    entry = TerminalEntry(
        **{
            **said.model_dump(),
            "terminal_no": number,
            "device_key": PublicJwk.model_validate(place.device.public.jwk),
            "first": first.person,
            "second": second.person,
        }
    )
    with bench.rows(triggers=True) as rows:
        insert_credential(rows, first)
        insert_credential(rows, second)
    for signer in (place.device, bench.feed):
        with bench.rows() as rows:
            rows.execute("DELETE FROM terminal_entries WHERE terminal_no = ?", (number,))
            insert_terminal(rows, entry, seal_envelope([sign(entry, signer)]))
        load = Ceremony(bench, place, bench.http(place), like.epp(), patient=False)
        asked = await load.ask()
        # By the genuine feed's word the terminal is known; its administrators still are not.
        assert asked.status_code in (401, 403), asked.text
        load.request_id = request_id_of(load.digest("request"))
        load.qr_text, load.registry_digest = f"{bench.trust.origin}/a#{'A' * 80}", NOTHING
        load.sign_application()
        load.sign_decision()
        load.sign_confirmation()
        with bench.rows(triggers=True) as rows:
            for text in load.said.values():
                file_statement(rows, load, text)
        answer = await trespasser.call("release_key", load.command())
        assert (answer["token_digest"], answer["refused"] is None) == (None, False)
    for one in (first, second):
        challenge = (await load.http.post("/v1/challenges")).json()["challenge"]
        login = LoginPayload(**common(), administrator=one.staff_no, challenge=challenge)
        signed_in = await load.http.post("/v1/sessions", json={"statement": sign(login, one.key)})
        assert signed_in.status_code == 401
    assert bench.ledger.account(number) == Account({}, {})
    sql = "SELECT count(*) FROM loading_requests WHERE terminal_no = ? AND stage <> 'FAILED'"
    assert bench.value(sql, number) == 0
    with bench.rows() as rows:
        rows.execute("DELETE FROM terminal_entries WHERE terminal_no = ?", (number,))
        for one in (first, second):
            rows.execute("DELETE FROM credential_entries WHERE person = ?", (one.person,))


def _made_up(
    bench: Bench, like: Person, key: SigningKey, staff_no: str, officers: Sequence[SigningKey]
) -> Person:
    """A person who is nobody, with an entry signed by whoever would."""
    said = peek(envelope_statements(like.envelope)[0]).payload
    entry = CredentialEntry(
        **{
            **said.model_dump(),
            "person": f"made-up-{staff_no}",
            "staff_no": staff_no,
            "number": f"+49171393{staff_no[1:]}",
            "public_key": PublicJwk.model_validate(key.public.jwk),
        }
    )
    statements = [sign(entry, one) for one in (key, *officers)]
    return Person(
        entry.person,
        staff_no,
        entry.number,
        key,
        seal_envelope(statements),
        digest_of(statements[0]),
    )
