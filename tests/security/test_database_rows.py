"""A live database writer: rows edited, deleted, planted, put back, each where it hurts most."""

import json
import sqlite3
import time
from typing import Final

import pytest

from ceremony.codes import EdgeSeal
from ceremony.encoding import b64, from_b64, sha256_hex
from ceremony.keys import SigningKey
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import CeremonyState
from ceremony.statements import Kind
from settings import Settings
from terminal.epperrors import EppError
from tests.support.attacked import Bench, Person
from tests.support.genuine import CODE, NOTHING, Ceremony, digest_of
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORGED_TOKEN: Final = "forged session token of the database writer"


async def test_statements_edited_beside_their_signature_release_nothing(
    bench: Bench, trespasser: Trespasser
) -> None:
    """A genuinely approved request, its submissions edited: texts, codes' MACs, QR numbers, kinds.

    The key worker refuses each, and releases as soon as the rows are as they were: it was the edit.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    code = await load.approval_code()
    await trespasser.handle(load.place.terminal_no).terminate("the workflow is not needed here")
    assert (await load.confirm(code=code)).status_code == 409
    command = load.command()
    right = bench.backup()
    edge = EdgeSeal(Settings.for_role("keys", home=bench.home.path).secret("edge_key"))
    application = load.digest("application")
    edits: dict[str, tuple[str, object]] = {
        "application": ("statement = ?", load.said["decision"]),
        "decision": ("statement = ?", load.said["application"]),
        "request": ("statement = ?", "not a statement"),
        "confirmation": ("statement = ?", load.sign_confirmation()),
    }
    wrong = edge.seal("sms", load.request_id, 1, application, "000000")
    columns: dict[str, object] = {
        "qr_n": 7,
        "qr_expires_at": int(time.time()) + 10_000,
        "code_n": 2,
        "code_mac": wrong.mac,
    }
    for kind, (change, value) in edits.items():
        with bench.rows() as rows:
            sql = f"UPDATE submissions SET {change} WHERE digest = ?"  # noqa: S608
            rows.execute(sql, (value, command[kind]))
        answer = await trespasser.call("release_key", command)
        assert answer["refused"] == Reason.STATEMENT_MISSING or answer["refused"] == "malformed"
        bench.restore(right)
    for column, value in columns.items():
        for changed in (value, None):
            with bench.rows() as rows:
                sql = f"UPDATE submissions SET {column} = ? WHERE digest = ?"  # noqa: S608
                rows.execute(sql, (changed, application))
            answer = await trespasser.call("release_key", command)
            assert answer["refused"] is not None, column
            bench.restore(right)
    assert not load.account.keys
    bench.expected.add(load.request_id)
    answer = await trespasser.call("release_key", command)
    # Four wrong codes so far: the fifth would have been one too many.
    assert answer["token_digest"] is not None, answer
    assert load.account.states == ["released"]


async def test_a_forged_acceptance_gets_as_far_as_the_key_worker(
    bench: Bench, trespasser: Trespasser
) -> None:
    """A verdict row that accepts a decision which the first administrator signed.

    How far it goes: verdicts are believed by whoever finds them, so the workflow goes on to
    AWAITING_CONFIRMATION and the first administrator gets the approval code; the API repeats the
    forged answer. The key worker reads no verdicts: it refuses, and the request has FAILED.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    place = load.place
    text = load.sign_decision(place.first, administrator=place.second.staff_no)
    state = CeremonyState(**await trespasser.handle(place.terminal_no).query("status")).model_copy(
        update={
            "stage": Stage.AWAITING_CONFIRMATION,
            "decision_digest": digest_of(text),
            "approval_expires_at": int(time.time()) + 3_000,
        }
    )
    with bench.rows(triggers=True) as rows:
        _accept(rows, state, digest_of(text), Kind.DECISION)
        _file(rows, load, text, Kind.DECISION, place.first)
        rows.execute(
            "UPDATE loading_requests SET stage = 'AWAITING_CONFIRMATION', version = version + 1 "
            "WHERE request_id = ?",
            (load.request_id,),
        )
    message = {"request_id": load.request_id, "digest": digest_of(text)}
    await trespasser.signal(place.terminal_no, "decision_submitted", message)
    code = await load.approval_code()
    refused = await load.confirm(code=code)
    assert refused.status_code == 403
    assert load.stage is Stage.FAILED
    assert Reason.UNKNOWN_KEY in bench.reasons(place.terminal_no)
    assert not load.account.keys


@pytest.mark.parametrize("stage", [Stage.AWAITING_CONFIRMATION, Stage.AWAITING_RECEIPT])
async def test_an_edited_stage_moves_no_workflow(bench: Bench, stage: Stage) -> None:
    """The projection edited to a later stage: the workflow does not read it to decide."""
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    with bench.rows() as rows:
        rows.execute(
            "UPDATE loading_requests SET stage = ?, decision_digest = ?, confirmation_digest = ? "
            "WHERE request_id = ?",
            (stage, NOTHING, NOTHING, load.request_id),
        )
    _, approval = bench.codes(load.place, load.request_id)
    confirmed = await load.confirm(code=approval)
    assert confirmed.status_code == 409
    assert (await load.receive(kcv="a1b2c3")).status_code in (403, 409)
    assert not load.account.keys
    with bench.rows() as rows:
        rows.execute(
            "UPDATE loading_requests SET stage = 'AWAITING_REVIEW' WHERE request_id = ?",
            (load.request_id,),
        )
    await load.to(Stage.LOADED)


async def test_planted_tokens_and_keys_are_refused_by_the_epp(bench: Bench) -> None:
    """Rows of `keys` and `tokens` planted before the terminal confirms, with a forged acceptance.

    How far it goes: the API hands out what is planted. The EPP takes no token that the KDH did not
    sign for this EPP, this request and this nonce: neither another terminal's genuine token, nor
    its own previous one, nor one that the attacker signed.
    """
    place = await bench.place()
    previous = await Ceremony.at(bench, Stage.LOADED, place)
    other = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    await bench.client.get_workflow_handle(f"loading-request/{place.terminal_no}").result()
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION, place)
    before = load.account
    code = await load.approval_code()
    load.sign_confirmation()
    header, payload, signature = from_b64(previous.token).decode().split(".")
    flipped = f"{header}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    planted = {
        "garbage": b64(b"garbage"),
        "its own previous one": previous.token,
        "another terminal's": other.token,
        "its own previous one, edited": b64(flipped.encode()),
    }
    with bench.rows(triggers=True) as rows:
        rows.execute(
            "INSERT INTO keys (request_id, terminal_no, algorithm, host_block, state, "
            "release_record, released_at) VALUES (?, ?, 'AES-128', x'00', 'released', '', 0)",
            (load.request_id, place.terminal_no),
        )
        _accept(
            rows,
            CeremonyState(
                request_id=load.request_id,
                terminal_no=place.terminal_no,
                stage=Stage.AWAITING_RECEIPT,
                opened_at=0,
                request_digest=NOTHING,
                branch="",
                epp_fingerprint="",
                registry_digest="",
                first_staff_no="",
                second_staff_no="",
            ),
            load.digest("confirmation"),
            Kind.CONFIRMATION,
        )
    for what, token in planted.items():
        with bench.rows() as rows:
            rows.execute("DELETE FROM tokens WHERE request_id = ?", (load.request_id,))
            rows.execute(
                "INSERT INTO tokens VALUES (?, ?, 1, 'oaep-jws', 'AES-128', ?, ?, 0)",
                (load.digest("confirmation"), load.request_id, token, sha256_hex(what.encode())),
            )
        answer = await load.confirm_again(code)
        assert answer.json()["token"]["value"] == token
        with pytest.raises(EppError):
            load.take_key()
    assert load.account == before
    assert previous.kcv == place.epp().generate_kcv().key_check_value


async def test_key_states_in_the_records_are_only_a_copy(bench: Bench) -> None:
    """Rows of `keys` edited: retired, active, another's block, deleted; the journal stays."""
    load = await Ceremony.at(bench, Stage.LOADED)
    other = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    before, others = load.account, other.account
    right = bench.backup()
    for sql in (
        "UPDATE keys SET state = 'retired', kcv = 'ffffff' WHERE request_id = :mine",
        "UPDATE keys SET state = 'unconfirmed' WHERE request_id = :mine",
        "UPDATE keys SET state = 'active' WHERE request_id = :other",
        "UPDATE keys SET host_block = x'00', release_record = '' WHERE request_id = :other",
        "UPDATE tokens SET token_digest = 'x' || token_digest WHERE request_id = :other",
    ):
        with bench.rows() as rows:
            rows.execute(sql, {"mine": load.request_id, "other": other.request_id})
        assert (load.account, other.account) == (before, others)
        bench.restore(right)
    await other.to(Stage.LOADED)


async def test_attempts_reset_between_guesses_do_not_make_more_of_them(bench: Bench) -> None:
    """Wrong SMS codes, the counts and verdicts deleted after each: five, and the request FAILED."""
    load = await Ceremony.open(bench)
    right = await load.sms_code()
    for left in (4, 3, 2, 1, 0):
        answer = await load.apply(code=f"{(int(right) + left + 1) % 1_000_000:06}")
        assert answer.status_code == 403
        with bench.rows() as rows:
            rows.execute("DELETE FROM attempts")
            rows.execute(
                "DELETE FROM verdicts WHERE request_id = ? AND kind = 'application'",
                (load.request_id,),
            )
    assert load.stage is Stage.FAILED
    with bench.rows() as rows:
        rows.execute(
            "UPDATE loading_requests SET stage = 'AWAITING_APPLICATION', reason = NULL "
            "WHERE request_id = ?",
            (load.request_id,),
        )
    assert (await load.apply(code=right)).status_code == 409
    assert not load.account.keys


async def test_both_hands_and_the_device_key_do_not_find_the_approval_code(
    bench: Bench, trespasser: Trespasser
) -> None:
    """The approval code guessed with the device key, Temporal and the database together.

    The API makes a MAC of each guess. `record_statement`, called by a workflow of the forger's own
    with every count deleted, tells a right guess from a wrong one in nothing. The key worker judges
    three, and counts in its journal: neither deleted rows, nor a confirmation filed again with
    another code, nor a workflow started again gives one more. Honest people need a new request.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    right = await load.approval_code()
    handle = trespasser.handle(load.place.terminal_no)
    state = await handle.query("status")
    await handle.terminate("attack")
    judged, asked = [], []
    for step in (1, 2, 3, 4, 0):
        code = f"{(int(right) + step) % 10_000:04}"
        assert (await load.confirm(code=code)).status_code == 409
        guess = {"state": state, "digest": load.digest("confirmation")}
        judged.append((await trespasser.call("record_statement", guess))["verdict"]["reasons"])
        asked.append(load.command())
        _forget_tries(bench, load)
    assert judged == [[]] * 5
    assert not load.account.keys
    told = []
    for command in asked:
        told.append((await trespasser.call("release_key", command))["refused"])
        _forget_tries(bench, load)
    assert told == [Reason.APPROVAL_CODE_WRONG] * 3 + [Reason.CONFIRMATION_TRIES_EXHAUSTED] * 2
    # The code beside a judged confirmation exchanged for the right one's, and all of them again.
    edge = EdgeSeal(Settings.for_role("keys", home=bench.home.path).secret("edge_key"))
    first = asked[0]["confirmation"]
    mac = edge.seal("approval", load.request_id, 0, first, right).mac
    with bench.rows() as rows:
        rows.execute("UPDATE submissions SET code_mac = ? WHERE digest = ?", (mac, first))
    again = [one["refused"] for one in await trespasser.calls("release_key", asked)]
    assert again == told
    assert not load.account.keys


def _forget_tries(bench: Bench, load: Ceremony) -> None:
    """Delete what the records know of a request's confirmations."""
    with bench.rows() as rows:
        rows.execute("DELETE FROM attempts")
        rows.execute(
            "DELETE FROM verdicts WHERE request_id = ? AND kind = 'confirmation'",
            (load.request_id,),
        )


async def test_planted_sessions_are_none(bench: Bench) -> None:
    """A session row for the second administrator, with an auditor's roles, its token known.

    Also one for an auditor without any credential, and a genuine session that another role was
    written into. Each is 401: the rows are sealed by the API. And a decision needs the
    administrator's own signature.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    second, now = load.place.second, int(time.time())
    with bench.rows(triggers=True) as rows:
        for token, person, kid in (
            (FORGED_TOKEN, second.person, second.key.kid),
            (f"{FORGED_TOKEN} 2", second.person, "x" * 43),
            (f"{FORGED_TOKEN} 3", None, None),
        ):
            rows.execute(
                "INSERT INTO sessions (token_digest, source, person, kid, staff_no, name, roles, "
                "created_at, expires_at, seal) VALUES (?, ?, ?, ?, ?, 'x', ?, ?, ?, ?)",
                (
                    sha256_hex(token.encode()),
                    "credential" if person else "openid-connect",
                    person,
                    kid,
                    second.staff_no,
                    json.dumps(["auditor", "administrator"]),
                    now,
                    now + 1_000,
                    "0" * 64,
                ),
            )
    genuine = await load.session(load.place.first)
    with bench.rows(triggers=True) as rows:
        rows.execute(
            "UPDATE sessions SET roles = ?, person = ?, kid = ? WHERE token_digest = ?",
            (
                json.dumps(["auditor", "administrator"]),
                second.person,
                second.key.kid,
                sha256_hex(genuine.encode()),
            ),
        )
    for token in (FORGED_TOKEN, f"{FORGED_TOKEN} 2", f"{FORGED_TOKEN} 3", genuine):
        bearer = {"Authorization": f"Bearer {token}"}
        for path in ("/v1/reviews", "/v1/loading-requests"):
            assert (await load.http.get(path, headers=bearer)).status_code == 401, path
    attacker = SigningKey.generate()
    text = load.sign_decision(Person("", second.staff_no, "", attacker, "", ""))
    path = f"/v1/reviews/{load.request_id}/decision"
    answer = await load.post(path, {"statement": text}, session=FORGED_TOKEN)
    assert answer.status_code == 401
    own = load.sign_decision(load.place.first)
    answer = await load.post(path, {"statement": own}, session=FORGED_TOKEN)
    assert answer.status_code == 401
    assert load.stage is Stage.AWAITING_REVIEW


async def test_a_database_put_back_makes_no_second_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """A backup from before the release put back after it, and again after the receipt.

    The terminal confirms again: after the release the same key is wrapped again; after the receipt
    nothing more comes out, not even if the workflow is started again by hand.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    await load.approval_code()
    approved = bench.backup()
    await load.to(Stage.AWAITING_RECEIPT)
    first = load.account
    bench.restore(approved)
    assert (await load.confirm()).status_code == 200
    assert load.account.keys == first.keys
    assert len(load.account.tokens) == 2
    await load.to(Stage.LOADED)
    await trespasser.handle(load.place.terminal_no).result()
    loaded = load.account
    bench.restore(approved)
    assert load.stage is Stage.AWAITING_CONFIRMATION
    assert (await load.confirm()).status_code == 409
    await trespasser.client.start_workflow(
        "LoadingRequest",
        {
            "request_id": load.request_id,
            "terminal_no": load.place.terminal_no,
            "digest": load.digest("request"),
        },
        id=f"loading-request/{load.place.terminal_no}",
        task_queue="keyfill-ceremony",
    )
    refused = await load.confirm()
    assert refused.status_code in (403, 409), refused.text
    assert load.account == loaded
    assert loaded.states == ["active"]


async def test_sms_rows_edited_or_deleted_send_nothing_anew(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Rows of `sms_messages` deleted and marked as not sent, forged rows in the outbox."""
    load = await Ceremony.open(bench)
    await load.sms_code()
    command = {"request_id": load.request_id, "terminal_no": load.place.terminal_no, "n": 1}
    for sql in (
        "UPDATE sms_messages SET status = 'intent' WHERE request_id = ?",
        "DELETE FROM sms_messages WHERE request_id = ?",
    ):
        with bench.rows() as rows:
            rows.execute(sql, (load.request_id,))
        await trespasser.call("send_sms_code", command)
    with bench.rows() as rows:
        rows.execute(
            "INSERT INTO sms_outbox (step, sealed, created_at) VALUES (?, x'0f', 0)",
            (f"{load.request_id}/sms/code-2",),
        )
    assert load.steps() == ["code-1"]
    assert len(load.sms(CODE, load.place.first)) == 1


async def test_the_audit_trail_withstands_sql_but_not_whoever_owns_the_file(bench: Bench) -> None:
    """Audit events and verdicts changed by SQL; then with their triggers dropped: not prevented."""
    load = await Ceremony.open(bench)
    for sql in (
        "UPDATE audit_events SET reason = 'x' WHERE request_id = ?",
        "DELETE FROM audit_events WHERE request_id = ?",
        "UPDATE verdicts SET accepted = false WHERE request_id = ?",
        "DELETE FROM verdicts WHERE request_id = ?",
        "UPDATE submissions SET statement = '' WHERE request_id = ?",
    ):
        with pytest.raises(sqlite3.IntegrityError), bench.rows(triggers=True) as rows:
            rows.execute(sql, (load.request_id,))
    sql = "SELECT count(*) FROM audit_events WHERE request_id = ?"
    assert bench.value(sql, load.request_id) != 0
    with bench.rows() as rows:
        rows.execute("DELETE FROM audit_events WHERE request_id = ?", (load.request_id,))
    assert bench.value(sql, load.request_id) == 0


def _accept(rows: sqlite3.Connection, state: CeremonyState, digest: str, kind: Kind) -> None:
    rows.execute(
        "INSERT INTO verdicts (digest, request_id, kind, accepted, stage, version, state_json, "
        "decided_at) VALUES (?, ?, ?, true, ?, 9, ?, 0)",
        (digest, state.request_id, kind, state.stage, state.model_dump_json()),
    )


def _file(rows: sqlite3.Connection, load: Ceremony, text: str, kind: Kind, signer: Person) -> None:
    rows.execute(
        "INSERT INTO submissions (digest, kind, request_id, terminal_no, signer_kid, person, "
        "statement, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            digest_of(text),
            kind,
            load.request_id,
            load.place.terminal_no,
            signer.key.kid,
            signer.person,
            text,
            int(time.time()),
        ),
    )
