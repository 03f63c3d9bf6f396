"""A live Temporal writer who calls every activity of every queue from a workflow of their own."""

import ast
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from activities.ceremony_records import CeremonyRecords
from activities.key_exports import KeyDeliveries, KeyExporting
from activities.key_worker import KeyWorker
from activities.registry_changes import RegistryChanges
from activities.registry_sync import RegistrySynchroniser
from activities.sms import SmsSender
from ceremony import names
from ceremony.keys import SigningKey
from ceremony.messages import Opening
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import sign
from ceremony.stages import Stage
from ceremony.statements import PublicJwk, RevocationPayload
from ceremony.verification import peek
from taskqueues import ceremony_work, key_work
from tests.support.attacked import Bench
from tests.support.genuine import NOTHING, Ceremony, common, digest_of
from tests.support.trespass import GIVEN_UP, QUEUE_OF, Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

KCV = "a1b2c3"


async def state_of(trespasser: Trespasser, load: Ceremony, **changes: object) -> dict[str, Any]:
    """The workflow's state, with what the forger wants it to say."""
    state = await trespasser.handle(load.place.terminal_no).query("status")
    return {**state, **changes}


async def test_every_activity_is_attacked() -> None:
    """Both workers' activities, as `worker.py` gives them to Temporal, are called by an attack."""
    # Never set up: only the names of their methods are asked for.
    ceremony = ceremony_work(
        object.__new__(CeremonyRecords),
        object.__new__(SmsSender),
        object.__new__(RegistrySynchroniser),
        object.__new__(RegistryChanges),
        object.__new__(KeyDeliveries),
    )
    keys = key_work(object.__new__(KeyWorker), object.__new__(KeyExporting))
    run = {_defined(one): parts.queue for parts in (ceremony, keys) for one in parts.activities}
    assert run == QUEUE_OF
    called = {
        node.value
        for path in Path(__file__).parent.glob("test_temporal_*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("call", "calls")
        for node in call.args[:1]
        if isinstance(node, ast.Constant)
    }
    assert called == set(QUEUE_OF)


def _defined(activity: Callable[..., Any]) -> str:
    return str(activity.__temporal_activity_definition.name)  # type: ignore[attr-defined]


async def test_release_is_refused_without_two_genuine_approvals(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activity release_key with digests of an unapproved, self-approved and rejected application.

    The technician confirms early, with the device key and a guessed approval code, so that all
    statements but the second administrator's approval are there; a rogue first administrator signs
    the decision; other requests' decisions are named; nothing is; and at last a rejection is,
    also with the projection edited so that the request seems open.
    """
    other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    other.sign_confirmation()
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    early = await load.confirm(code="1234")
    assert early.status_code == 409
    own = await load.decide(signer=load.place.first)
    assert own.status_code in (403, 404)
    tried = {
        "nothing": load.command(decision=NOTHING),
        "empty": load.command(decision=""),
        "signed by the first administrator": load.command(),
        "the application for a decision": load.command(decision=load.digest("application")),
        "another request's decision": load.command(decision=other.digest("decision")),
        "another request's id": load.command(request_id=other.request_id),
        "another terminal": load.command(terminal_no=other.place.terminal_no),
        "another request's statements": load.command(
            application=other.digest("application"),
            decision=other.digest("decision"),
        ),
        "another request's approvals, its own id": other.command(
            confirmation=load.digest("confirmation")
        ),
    }
    for what, one in tried.items():
        answer = await trespasser.call("release_key", one)
        assert answer["token_digest"] is None, what
        assert answer["refused"] is not None, what
    rejected = await load.decide("reject", reason_code="not-ordered", reason="no visit announced")
    assert rejected.json()["stage"] == Stage.REJECTED
    answer = await trespasser.call("release_key", load.command())
    assert answer["refused"] == Reason.WRONG_STAGE
    with bench.rows() as rows:
        rows.execute(
            "UPDATE loading_requests SET stage = 'AWAITING_CONFIRMATION' WHERE request_id = ?",
            (load.request_id,),
        )
    answer = await trespasser.call("release_key", load.command())
    assert answer["refused"] == Reason.NOT_APPROVED
    assert not load.account.keys
    assert not other.account.keys


async def test_key_worker_counts_guesses_by_itself(bench: Bench, trespasser: Trespasser) -> None:
    """Approval codes guessed past the workflow: it is terminated, and release_key called directly.

    A technician with the device key confirms again and again with guessed codes, which the API
    stores; the Temporal writer has each of them tried. After three the right code is no use either.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    right = await load.approval_code()
    await trespasser.handle(load.place.terminal_no).terminate("attack")
    wrong = [f"{(int(right) + step) % 10_000:04}" for step in range(1, 8)]
    answers = []
    for code in (*wrong, right):
        assert (await load.confirm(code=code)).status_code == 409
        answers.append((await trespasser.call("release_key", load.command()))["refused"])
    assert answers[:3] == [Reason.APPROVAL_CODE_WRONG] * 3
    assert set(answers[3:]) == {Reason.CONFIRMATION_TRIES_EXHAUSTED}
    assert not load.account.keys


async def test_release_called_twice_gives_the_same_token_of_the_same_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activity release_key of a genuine release, again, before and after the receipt."""
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    before = load.account
    for _ in range(5):
        answer = await trespasser.call("release_key", load.command())
        assert answer["token_digest"] == before.tokens[load.digest("confirmation")]
    assert load.account == before
    await load.to(Stage.LOADED)
    loaded = load.account
    await trespasser.call("release_key", load.command())
    new = load.sign_confirmation()
    answer = await trespasser.call("release_key", load.command(confirmation=digest_of(new)))
    assert answer["refused"] == Reason.WRONG_STAGE
    assert load.account == loaded


async def test_settlement_believes_only_the_terminals_receipt(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activity settle_key with digests of nothing, of other statements, of others' receipts.

    How far it goes: the key is marked unconfirmed, which a later genuine receipt puts right. The
    terminal's active key stays the active one throughout.
    """
    place = await bench.place()
    active = await Ceremony.at(bench, Stage.LOADED, place)
    await trespasser.handle(place.terminal_no).result()
    other = await Ceremony.at(bench, Stage.LOADED)
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT, place)
    settle = {"request_id": load.request_id, "terminal_no": place.terminal_no}
    for receipt in (
        NOTHING,
        load.digest("confirmation"),
        active.digest("receipt"),
        other.digest("receipt"),
        None,
    ):
        answer = await trespasser.call("settle_key", {**settle, "receipt": receipt})
        assert (answer["active"], answer["kcv"]) == (False, None)
    assert load.account.keys[active.request_id][0] == "active"
    assert load.account.states == ["active", "unconfirmed"]
    # About keys that are active, of no request, or of another terminal.
    for request_id in (active.request_id, "n4bQgYhMfWWaL-qgxVrQFaO_", other.request_id):
        command = {**settle, "request_id": request_id}
        for receipt in (None, NOTHING, load.digest("confirmation")):
            await trespasser.call("settle_key", {**command, "receipt": receipt})
    assert load.account.states == ["active", "unconfirmed"]
    assert other.account.states == ["active"]
    await load.to(Stage.LOADED)
    assert load.account.states == ["active", "retired"]


async def test_forged_states_and_answers_are_not_recorded(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activities record_* with made-up states: approved, released, settled, by the forger's word.

    A state counts as far as the recorded verdicts justify it, a token or a settlement only if the
    key worker published it: the request stays where it is, its pending statements unanswered, and
    honest people finish the load.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    number, soon = load.place.terminal_no, int(time.time()) + 3_000
    approved = await state_of(
        trespasser,
        load,
        stage=Stage.AWAITING_CONFIRMATION,
        decision_digest=NOTHING,
        approval_expires_at=soon,
    )
    await trespasser.handle(number).terminate("attack")
    assert (await load.confirm(code="0000")).status_code == 409
    confirmation = load.digest("confirmation")
    answer = await trespasser.call("release_key", load.command(decision=NOTHING))
    assert answer["refused"] == Reason.STATEMENT_MISSING
    released = {"state": approved, "digest": confirmation, "outcome": {"token_digest": NOTHING}}
    told = await trespasser.call("record_release", released)
    assert told["verdict"]["reasons"] == [Reason.TOKEN_UNKNOWN]
    awaiting = {
        **approved,
        "stage": Stage.AWAITING_RECEIPT,
        "confirmation_digest": confirmation,
        "token_digest": NOTHING,
        "receipt_digest": NOTHING,
    }
    for active, kcv in ((True, KCV), (False, None)):
        settled = {"active": active, "reason": Reason.LOADED, "kcv": kcv}
        await trespasser.call("record_settlement", {"state": awaiting, "settlement": settled})
    loaded = {**awaiting, "stage": Stage.LOADED, "reason": Reason.LOADED, "kcv": KCV}
    for claimed in (approved, awaiting, loaded):
        registry = {"state": {**claimed, "registry_digest": NOTHING}, "event": "registry"}
        await trespasser.call("record_event", registry)
    for event in ("deadline", "registry"):
        await trespasser.call("record_event", {"state": loaded, "event": event})
    late = await trespasser.call("record_statement", {"state": loaded, "digest": confirmation})
    assert late["verdict"]["reasons"] == [Reason.WRONG_STAGE]
    assert load.stage is Stage.AWAITING_REVIEW
    sql = "SELECT count(*) FROM verdicts WHERE digest = ?"
    assert bench.value(sql, confirmation) == 0
    assert not load.account.keys
    opening = Opening(request_id=load.request_id, terminal_no=number, digest=load.digest("request"))
    await trespasser.client.start_workflow(
        names.LOADING_REQUEST,
        opening,
        id=names.loading_request_id(number),
        task_queue=names.CEREMONY_QUEUE,
    )
    await load.to(Stage.LOADED)


async def test_forged_refusals_and_deadlines_deny_at_most(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activities record_* with what the records cannot know: refusals, deadlines, tries used up.

    How far it goes: a pending confirmation is recorded as refused, an open request as EXPIRED. No
    key follows; a new request goes on.
    """
    place = await bench.place()
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION, place)
    state = await state_of(trespasser, load, tries_left=0)
    await trespasser.call("record_event", {"state": state, "event": "deadline"})
    assert load.stage is Stage.EXPIRED
    assert (await load.confirm()).status_code == 409
    answer = await trespasser.call("release_key", load.command())
    assert answer["refused"] == Reason.WRONG_STAGE
    await trespasser.handle(place.terminal_no).terminate("attack")
    other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION, place)
    state = await state_of(trespasser, other)
    await trespasser.handle(place.terminal_no).terminate("attack")
    assert (await other.confirm()).status_code == 409
    refusal = {
        "state": state,
        "digest": other.digest("confirmation"),
        "outcome": {"refused": Reason.REGISTRY_CHANGED},
    }
    told = await trespasser.call("record_release", refusal)
    assert told["state"]["stage"] == Stage.FAILED
    answer = await trespasser.call("release_key", other.command())
    assert answer["refused"] == Reason.WRONG_STAGE
    assert not other.account.keys
    await Ceremony.at(bench, Stage.LOADED, place)


async def test_a_forged_opening_opens_nothing(bench: Bench, trespasser: Trespasser) -> None:
    """Activity record_opening with statements that are not there, or another terminal's."""
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    spare = await bench.place()
    for digest in (NOTHING, load.digest("application"), load.digest("request")):
        opening = {
            "request_id": "n4bQgYhMfWWaL-qgxVrQFaO_",
            "terminal_no": spare.terminal_no,
            "digest": digest,
        }
        await trespasser.call("record_opening", opening)
    sql = "SELECT count(*) FROM loading_requests WHERE terminal_no = ?"
    assert bench.value(sql, spare.terminal_no) == 0
    assert load.stage is Stage.AWAITING_REVIEW


async def test_synchronising_on_order_changes_nothing(bench: Bench, trespasser: Trespasser) -> None:
    """The activity synchronise from a foreign workflow, with made-up removal orders and sources."""
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    for order in (None, "forged", load.said["decision"]):
        report = await trespasser.call("synchronise", {"order": order})
        assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)
    refused = await trespasser.call("synchronise", {"order": None, "source": "/etc/passwd"})
    assert GIVEN_UP in refused
    await load.to(Stage.LOADED)


async def test_forged_notes_of_the_registry_take_nothing_away(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activities note_revocation and note_registry with all that no officer or feed has signed.

    Revocations by administrators, the terminal, the feed and strangers, for another deployment,
    altered, other statements, nonsense; and rows planted for it to look at: newer entries that are
    self-signed, signed by one officer, by a stranger's feed, and a forged revocation on record. An
    approved load goes on to its key.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    place, stranger = load.place, SigningKey.generate()
    said = {"person": place.second.person, "terminal_no": None, "seq": 9, "reason_code": "left"}
    payload = RevocationPayload(**{**common(), **said})
    genuine = sign(payload, bench.officers[0])
    head, body, signature = sign(RevocationPayload(**{**common(), **said}), stranger).split(".")
    forged = [
        *(sign(payload, one) for one in (place.first.key, place.second.key, place.device)),
        sign(payload, bench.feed),
        f"{genuine.split('.')[0]}.{body}.{signature}",
        f"{head}.{body}.{genuine.split('.')[2]}",
        sign(payload.model_copy(update={"aud": "elsewhere"}), bench.officers[0]),
        load.said["decision"],
        place.second.envelope,
        "nonsense",
        "",
    ]
    answers = await trespasser.calls("note_revocation", [{"statement": one} for one in forged])
    assert all(answer["refused"] for answer in answers)
    parts = ("revocations", "persons", "terminals")
    pages = [{"part": part} for part in parts]
    await trespasser.calls("note_registry", pages)
    with bench.rows() as rows:
        _plant(rows, bench, load, forged[0])
    looked = await trespasser.calls("note_registry", pages)
    assert [(page["noted"], page["refused"]) for page in looked] == [(0, 1), (0, 2), (0, 1)]
    for page in ({"part": "keys"}, {"part": "terminals", "seq": 9}, {}):
        assert GIVEN_UP in await trespasser.call("note_registry", page)
    with bench.rows() as rows:
        _uproot(rows)
    await load.to(Stage.LOADED)


def _plant(rows: sqlite3.Connection, bench: Bench, load: Ceremony, revocation: str) -> None:
    """Put newer entries and a revocation on record that look good, but for their signatures."""
    place, mine = load.place, SigningKey.generate()
    for person, signers in ((place.first, (mine,)), (place.second, (mine, bench.officers[0]))):
        entry = peek(envelope_statements(person.envelope)[0]).payload.model_copy(
            update={"seq": 9, "public_key": PublicJwk.model_validate(mine.public.jwk)}
        )
        envelope = seal_envelope([sign(entry, one) for one in signers])
        _copy(rows, "credential_entries", "person", person.person, envelope, "state", "superseded")
    sql = "SELECT envelope FROM terminal_entries WHERE terminal_no = ? AND current"
    known = str(bench.value(sql, place.terminal_no))
    entry = peek(envelope_statements(known)[0]).payload.model_copy(update={"seq": 9})
    envelope = seal_envelope([sign(entry, mine)])
    _copy(rows, "terminal_entries", "terminal_no", place.terminal_no, envelope, "current", 0)
    rows.execute(
        "INSERT INTO revocations VALUES (?, 'person', ?, 9, 'left', 'kid', ?, 1)",
        (f"planted {digest_of(revocation)}", place.second.person, revocation),
    )


def _copy(
    rows: sqlite3.Connection,
    table: str,
    column: str,
    subject: str,
    envelope: str,
    state: str,
    value: object,
) -> None:
    """Copy a subject's row under another digest, with seq 9, this envelope, and out of force."""
    names = [str(one[1]) for one in rows.execute(f"PRAGMA table_info({table})")]
    (found,) = rows.execute(f"SELECT * FROM {table} WHERE {column} = ?", (subject,)).fetchall()  # noqa: S608
    row = dict(zip(names, found, strict=True))
    row |= {"digest": f"planted {row['digest']}", "seq": 9, "envelope": envelope, state: value}
    marks = ", ".join("?" for _ in row)
    rows.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(row.values()))  # noqa: S608


def _uproot(rows: sqlite3.Connection) -> None:
    for table in ("credential_entries", "terminal_entries", "revocations"):
        rows.execute(f"DELETE FROM {table} WHERE digest LIKE 'planted %'")  # noqa: S608
