"""A live database writer who edits the registry: entries are signed, columns an index."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from ceremony.encoding import sha256_hex
from ceremony.keys import SigningKey
from ceremony.names import loading_request_id, registry_notes_id
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import new_nonce, sign
from ceremony.stages import Stage
from ceremony.statements import CredentialEntry, PublicJwk, TerminalEntry
from ceremony.verification import peek
from commands import programs
from tests.support.attacked import Bench, Person, Place
from tests.support.genuine import CODE, Ceremony, digest_of
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

ATTACKER = SigningKey.generate()
ATTACKERS_NUMBER = "+491713929999"


def credential(bench: Bench, like: Person, *signers: SigningKey, **fields: Any) -> str:
    """A credential entry like a person's, with the attacker's key, signed by whoever signs."""
    said = peek(envelope_statements(like.envelope)[0]).payload
    key = PublicJwk.model_validate(ATTACKER.public.jwk)
    entry = CredentialEntry(
        **{**said.model_dump(), "public_key": key, "nonce": new_nonce(), "seq": 9, **fields}
    )
    return seal_envelope([sign(entry, one) for one in (ATTACKER, *signers)])


def terminal(bench: Bench, place: Place, signer: SigningKey, **fields: Any) -> str:
    """A terminal entry like a place's, signed by somebody."""
    sql = "SELECT envelope FROM terminal_entries WHERE terminal_no = ? AND current"
    said = peek(envelope_statements(str(bench.value(sql, place.terminal_no)))[0]).payload
    entry = TerminalEntry(**{**said.model_dump(), "nonce": new_nonce(), "seq": 9, **fields})
    return seal_envelope([sign(entry, signer)])


def put_credential(rows: sqlite3.Connection, person: str, envelope: str) -> None:
    """Make an envelope the person's active one, index columns and all."""
    rows.execute(
        "UPDATE credential_entries SET envelope = ?, kid = ?, digest = ? WHERE person = ?",
        (envelope, ATTACKER.kid, digest_of(envelope_statements(envelope)[0]), person),
    )


def put_terminal(rows: sqlite3.Connection, place: Place, envelope: str, **columns: object) -> None:
    """Make an envelope the terminal's current one, index columns and all."""
    changes = {
        "envelope": envelope,
        "digest": digest_of(envelope_statements(envelope)[0]),
        **columns,
    }
    assignments = ", ".join(f"{name} = ?" for name in changes)
    rows.execute(
        f"UPDATE terminal_entries SET {assignments} WHERE terminal_no = ?",  # noqa: S608
        (*changes.values(), place.terminal_no),
    )


Edit = Callable[[Bench, sqlite3.Connection, Place, Place], None]


def _self_signed(bench: Bench, rows: sqlite3.Connection, place: Place, _: Place) -> None:
    put_credential(rows, place.second.person, credential(bench, place.second))


def _one_officer(bench: Bench, rows: sqlite3.Connection, place: Place, _: Place) -> None:
    envelope = credential(bench, place.second, bench.officers[0])
    put_credential(rows, place.second.person, envelope)


def _one_officer_twice(bench: Bench, rows: sqlite3.Connection, place: Place, _: Place) -> None:
    envelope = credential(bench, place.second, bench.officers[0], bench.officers[0])
    put_credential(rows, place.second.person, envelope)


def _made_up_officers(bench: Bench, rows: sqlite3.Connection, place: Place, _: Place) -> None:
    made_up = (SigningKey.generate(), SigningKey.generate())
    put_credential(rows, place.second.person, credential(bench, place.second, *made_up))


def _key_column(_: Bench, rows: sqlite3.Connection, place: Place, __: Place) -> None:
    rows.execute(
        "UPDATE credential_entries SET kid = ? WHERE person = ?",
        (ATTACKER.kid, place.second.person),
    )


def _persons_swapped(_: Bench, rows: sqlite3.Connection, place: Place, __: Place) -> None:
    rows.execute(
        "UPDATE terminal_entries SET first_person = second_person, second_person = first_person "
        "WHERE terminal_no = ?",
        (place.terminal_no,),
    )


def _first_is_second(_: Bench, rows: sqlite3.Connection, place: Place, __: Place) -> None:
    rows.execute(
        "UPDATE terminal_entries SET second_person = first_person WHERE terminal_no = ?",
        (place.terminal_no,),
    )


def _anothers_second(_: Bench, rows: sqlite3.Connection, place: Place, other: Place) -> None:
    rows.execute(
        "UPDATE terminal_entries SET second_person = ? WHERE terminal_no = ?",
        (other.second.person, place.terminal_no),
    )


def _anothers_envelope(_: Bench, rows: sqlite3.Connection, place: Place, other: Place) -> None:
    rows.execute(
        "UPDATE credential_entries SET envelope = ? WHERE person = ?",
        (other.second.envelope, place.second.person),
    )


def _anothers_terminal(bench: Bench, rows: sqlite3.Connection, place: Place, other: Place) -> None:
    sql = "SELECT envelope FROM terminal_entries WHERE terminal_no = ? AND current"
    rows.execute(
        "UPDATE terminal_entries SET envelope = ? WHERE terminal_no = ?",
        (bench.value(sql, other.terminal_no), place.terminal_no),
    )


def _own_feed(bench: Bench, rows: sqlite3.Connection, place: Place, _: Place) -> None:
    put_terminal(rows, place, terminal(bench, place, ATTACKER, second=place.first.person))


def _own_device(bench: Bench, rows: sqlite3.Connection, place: Place, _: Place) -> None:
    key = PublicJwk.model_validate(ATTACKER.public.jwk)
    envelope = terminal(bench, place, ATTACKER, device_key=key)
    put_terminal(rows, place, envelope, device_kid=ATTACKER.kid)


def _deleted(_: Bench, rows: sqlite3.Connection, place: Place, __: Place) -> None:
    rows.execute("DELETE FROM credential_entries WHERE person = ?", (place.second.person,))


def _not_json(_: Bench, rows: sqlite3.Connection, place: Place, __: Place) -> None:
    rows.execute(
        "UPDATE credential_entries SET envelope = '{' WHERE person = ?", (place.second.person,)
    )


EDITS: dict[str, Edit] = {
    one.__name__.strip("_"): one
    for one in (
        _self_signed,
        _one_officer,
        _one_officer_twice,
        _made_up_officers,
        _key_column,
        _persons_swapped,
        _first_is_second,
        _anothers_second,
        _anothers_envelope,
        _anothers_terminal,
        _own_feed,
        _own_device,
        _deleted,
        _not_json,
    )
}


async def test_edited_registry_rows_make_nobody_a_second_administrator(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Entries self-signed, signed by one officer, swapped, deleted: each time somebody approves.

    All but the second administrator's approval is there, the approval code included. The decision
    is signed with the attacker's key, the first administrator's and another terminal's second
    administrator's; posted, filed straight into the database, signalled, and the key worker is
    asked directly. It refuses every time; with the rows put back, honest people load the key.
    """
    other = await bench.place()
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    place = load.place
    _, approval = bench.codes(place, load.request_id)
    assert (await load.confirm(code=approval)).status_code == 409
    right = bench.backup()
    mine = Person("", place.second.staff_no, "", ATTACKER, "", "")
    for what, edit in EDITS.items():
        with bench.rows() as rows:
            edit(bench, rows, place, other)
        for signer in (mine, place.first, other.second):
            text = load.sign_decision(signer, administrator=place.second.staff_no)
            path = f"/v1/reviews/{load.request_id}/decision"
            answer = await load.http.post(path, json={"statement": text})
            assert answer.status_code in (401, 403, 404), what
            _file(bench, load, text)
            released = await trespasser.call("release_key", load.command())
            assert released["refused"] is not None, what
            assert released["token_digest"] is None, what
        bench.restore(right)
    assert not load.account.keys
    await load.to(Stage.LOADED)


async def test_a_code_is_not_sent_to_a_number_that_officers_did_not_sign(bench: Bench) -> None:
    """The first administrator's number edited, in a self-signed entry, in an edited envelope."""
    load = await Ceremony.open(bench)
    session = await load.session(load.place.first)
    right = bench.backup()
    said = json.loads(load.place.first.envelope)
    head, _, signature = said["statements"][0].split(".")
    other_number = credential(bench, load.place.first, number=ATTACKERS_NUMBER)
    payload = json.loads(other_number)["statements"][0].split(".")[1]
    mixed = json.dumps({"statements": [f"{head}.{payload}.{signature}"]})
    for envelope in (other_number, mixed, seal_envelope(json.loads(other_number)["statements"])):
        with bench.rows() as rows:
            rows.execute(
                "UPDATE credential_entries SET envelope = ?, number_digest = ? WHERE person = ?",
                (envelope, sha256_hex(b"x"), load.place.first.person),
            )
        body = {"qr_text": load.qr_text}
        answer = await load.post("/v1/applications/sms-codes", body, session=session)
        assert answer.status_code in (401, 403)
    bench.restore(right)
    assert not bench.ledger.messages(ATTACKERS_NUMBER)
    await load.ask_code()
    await load.to(Stage.AWAITING_REVIEW)
    assert len(load.sms(CODE, load.place.first)) == 1


async def test_an_old_registry_put_back_grants_nothing(bench: Bench) -> None:
    """Entries of a lower `seq` made current again: a removed administrator, a replaced credential.

    The key worker relied on the newer ones; it remembers, whatever the database says.
    """
    place = await bench.place()
    await Ceremony.at(bench, Stage.LOADED, place)
    old = bench.backup()
    newer = await _renewed(bench, place)
    await _finished(bench, place)
    assert (await Ceremony.at(bench, Stage.LOADED, newer)).account.states == ["active", "retired"]
    await _finished(bench, place)
    for table, column, value in (
        ("credential_entries", "person", place.second.person),
        ("terminal_entries", "terminal_no", place.terminal_no),
    ):
        present = bench.backup()
        _replay(bench, old, table, column, value)
        one = place if table == "credential_entries" else newer
        load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION, one)
        refused = await load.confirm()
        assert refused.status_code == 403
        assert Reason.SEQ_LOWERED in bench.reasons(place.terminal_no)
        assert load.stage is Stage.FAILED
        assert load.account.states == ["active", "retired"]
        await _finished(bench, place)
        bench.restore(present)


async def test_an_undone_revocation_counts_for_nothing_once_signed(bench: Bench) -> None:
    """A revoked second administrator's row set active again, first unsigned, then with a signature.

    Unsigned it can be given back, and together with the revoked person's own key and the other
    genuine approvals a key comes out. After an officer's revocation the key worker remembers:
    the row set active again, and the revocation's own row deleted, give nothing back.
    """
    place = await bench.place()
    undone = "UPDATE credential_entries SET state = 'active' WHERE digest = ?"
    with bench.rows() as rows:
        rows.execute(undone.replace("active", "revoked"), (place.second.digest,))
    refused = await Ceremony(bench, place, bench.http(place), place.epp()).ask()
    assert refused.status_code == 403
    with bench.rows() as rows:
        rows.execute(undone, (place.second.digest,))
    await _finished(bench, place)
    load = await Ceremony.at(bench, Stage.LOADED, place)
    assert load.account.states == ["active"]
    await _finished(bench, place)

    told = await _revoke(bench, place.second.person)
    assert (told["seq"], told["state"]) == (1, "for-ever")
    assert (await Ceremony(bench, place, bench.http(place), place.epp()).ask()).status_code == 403
    with bench.rows() as rows:
        rows.execute("DELETE FROM revocations")
        rows.execute(undone, (place.second.digest,))
    await _finished(bench, place)
    await _refused(bench, place, Reason.ENTRY_REVOKED)
    assert load.account.states == ["active"]


async def test_a_revoked_terminal_put_back_grants_nothing(bench: Bench) -> None:
    """A withdrawn terminal made current again after an officer's revocation of its entries.

    The back office's own feed does not bring it back either, until it publishes a newer entry.
    """
    place = await bench.place()
    told = await _revoke(bench, "--terminal", place.terminal_no)
    assert (told["terminal_no"], told["state"]) == (place.terminal_no, "for-ever")
    await _renewed(bench, await bench.place())
    current = "SELECT count(*) FROM terminal_entries WHERE terminal_no = ? AND current"
    assert bench.value(current, place.terminal_no) == 0
    with bench.rows() as rows:
        rows.execute(
            "UPDATE terminal_entries SET current = true WHERE terminal_no = ?", (place.terminal_no,)
        )
    await _refused(bench, place, Reason.ENTRY_REVOKED)
    await _finished(bench, place)
    newer = await _renewed(bench, place)
    await Ceremony.at(bench, Stage.LOADED, newer)


async def test_an_older_entry_put_back_after_a_synchronisation_grants_nothing(
    bench: Bench,
) -> None:
    """Entries put back that no release ever went beyond: a removed assignment, an old credential.

    The synchronisation showed the newer ones to the key worker, which is enough.
    """
    place = await bench.place()
    old = bench.backup()
    newer = await _renewed(bench, place)
    for table, column, value in (
        ("credential_entries", "person", place.second.person),
        ("terminal_entries", "terminal_no", place.terminal_no),
    ):
        present = bench.backup()
        _replay(bench, old, table, column, value)
        await _refused(bench, place if table == "credential_entries" else newer, Reason.SEQ_LOWERED)
        await _finished(bench, place)
        bench.restore(present)
    assert not bench.ledger.account(place.terminal_no).keys
    await Ceremony.at(bench, Stage.LOADED, newer)


async def _refused(bench: Bench, place: Place, reason: Reason) -> None:
    """Bring a new load to its confirmation; the key worker alone refuses it, for this reason."""
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION, place)
    before = load.account
    assert (await load.confirm()).status_code == 403
    assert reason in bench.reasons(place.terminal_no)
    assert load.stage is Stage.FAILED
    assert load.account == before


async def _revoke(bench: Bench, *subject: str) -> dict[str, Any]:
    """Run `keyfill officers revoke`, as an officer does; gives what it tells."""
    key = bench.home.officers / "officer-1.jwk"
    process = await asyncio.create_subprocess_exec(
        *(*programs.KEYFILL, "officers", "revoke", *subject, "--key", str(key)),
        *("--reason", "lost-phone", "--yes", "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={
            **programs.environment(),
            "KEYFILL_HOME": str(bench.home.path),
            "KEYFILL_TEMPORAL_ADDRESS": bench.server.target.address,
        },
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(output)
    return told


def _file(bench: Bench, load: Ceremony, text: str) -> None:
    """Put a statement straight into the submissions, as if the API had received it."""
    said = peek(text)
    with bench.rows() as rows:
        rows.execute(
            "INSERT OR REPLACE INTO submissions (digest, kind, request_id, terminal_no, "
            "signer_kid, person, statement, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                said.digest,
                said.kind,
                load.request_id,
                load.place.terminal_no,
                said.kid,
                load.place.second.person,
                text,
                int(time.time()),
            ),
        )


async def _renewed(bench: Bench, place: Place) -> Place:
    """Give the second administrator a new credential, and the terminal a newer entry."""
    n = int(place.second.staff_no.removeprefix("A"))
    second = bench.enrol(place.second.person, n, seq=2)
    sql = "SELECT envelope FROM terminal_entries WHERE terminal_no = ? AND current"
    said = peek(envelope_statements(str(bench.value(sql, place.terminal_no)))[0]).payload
    newer = {**said.model_dump(), "nonce": new_nonce(), "seq": 2, "branch": "Elsewhere"}
    bench.publish(TerminalEntry(**newer))
    report = await bench.synchronise()
    assert report.added + report.changed == 1
    await bench.client.get_workflow_handle(registry_notes_id(report.run_id)).result()
    return Place(place.terminal_no, place.folder, place.device, place.first, second, place.address)


def _replay(bench: Bench, old: sqlite3.Connection, table: str, column: str, value: str) -> None:
    """Put one subject's rows back as they were in the old database."""
    found = old.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,)).fetchall()  # noqa: S608
    marks = ", ".join("?" for _ in found[0])
    with bench.rows() as rows:
        rows.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608
        rows.executemany(f"INSERT INTO {table} VALUES ({marks})", found)  # noqa: S608


async def _finished(bench: Bench, place: Place) -> None:
    """Wait until the terminal's workflow has closed."""
    await bench.client.get_workflow_handle(loading_request_id(place.terminal_no)).result()
