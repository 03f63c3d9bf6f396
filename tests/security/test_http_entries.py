"""Entries of the registry, genuinely signed and still not enough; over HTTP and the feed."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceremony.encoding import b64
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, read_enrolment, seal_envelope
from ceremony.signing import new_nonce, sign
from ceremony.stages import Stage
from ceremony.statements import (
    CredentialEntry,
    LoginPayload,
    PublicJwk,
    TerminalEntry,
)
from ceremony.verification import peek
from commands.credentials import activate, counter_signed, store_pending
from terminal.eppfactory import SampleRoot, make_epp
from tests.support.attacked import EPP_BITS, Bench, Person
from tests.support.genuine import Ceremony, common, eventually
from tests.support.ledger import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")


def entry_of(person: Person, **fields: Any) -> CredentialEntry:
    """A newer entry of a person, otherwise like the one in force."""
    said = peek(envelope_statements(person.envelope)[0]).payload
    return CredentialEntry(
        **{**said.model_dump(), "nonce": new_nonce(), "iat": int(time.time()), "seq": 2, **fields}
    )


async def test_one_officer_enrols_nobody_and_one_credential_serves_one_person(
    bench: Bench,
) -> None:
    """A rogue officer enrols the first administrator's key as the second administrator's, alone.

    It stays pending: nobody signs in with it. With both officers' signatures the key would serve
    two people: refused too. Nothing of the genuine entry changes, and the load goes on.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    first, second = load.place.first, load.place.second
    own_key = PublicJwk.model_validate(first.key.public.jwk)
    entry = entry_of(second, public_key=own_key)
    own, now = seal_envelope([sign(entry, first.key)]), int(time.time())
    with bench.database.write() as session:
        store_pending(session, read_enrolment(own, bench.trust, now=now), now=now)
    for officers, (missing, refused) in (
        (bench.officers[:1], (1, None)),
        (bench.officers[:1] * 2, (1, None)),
        (bench.officers, (0, Reason.SAME_CREDENTIAL)),
    ):
        envelope = counter_signed(own, officers, bench.trust, now=now)
        with bench.database.write() as session:
            became = activate(session, envelope, bench.trust, now=now)
        assert (became.active, became.missing, became.refused) == (False, missing, refused)
        challenge = (await load.http.post("/v1/challenges")).json()["challenge"]
        login = LoginPayload(**common(), administrator=second.staff_no, challenge=challenge)
        statement = sign(login, first.key)
        answer = await load.http.post("/v1/sessions", json={"statement": statement})
        assert answer.status_code == 401, answer.text
        imposter = replace(second, key=first.key)
        load.sign_decision(imposter)
        path = f"/v1/reviews/{load.request_id}/decision"
        body = {"statement": load.said["decision"]}
        answer = await load.post(path, body, session=await load.session(first))
        assert answer.status_code in (403, 404), answer.text
    assert load.stage is Stage.AWAITING_REVIEW
    assert load.account == Account({}, {})
    await load.to(Stage.LOADED)


async def test_a_certificate_changed_by_an_officer_after_approval_ends_the_request(
    bench: Bench, tmp_path: Path
) -> None:
    """An officer signs another EPP certificate for the terminal after both have approved.

    It is what the officer wants, and not what they approved: the request ends, neither EPP is given
    a key on the old approvals, and the old EPP may not even ask any more.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    code = await load.approval_code()
    number = load.place.terminal_no
    sql = "SELECT envelope FROM terminal_entries WHERE terminal_no = ? AND current"
    said = peek(envelope_statements(str(bench.value(sql, number)))[0]).payload
    assert isinstance(said, TerminalEntry)
    root = SampleRoot.from_pem(
        (bench.home.epp_root / "key.pem").read_bytes(),
        (bench.home.epp_root / "certificate.pem").read_bytes(),
    )
    now = int(time.time())
    new = make_epp(
        tmp_path / "epp", root, terminal_no=number, kdh_thumbprint=None, now=now, bits=EPP_BITS
    )
    changes = {"nonce": new_nonce(), "seq": 2, "epp_certificate": b64(new.read().certificate)}
    bench.publish(TerminalEntry(**{**said.model_dump(), **changes}), bench.officers[0])
    assert (await bench.synchronise()).ended == (number,)
    await eventually(lambda: load.stage is Stage.FAILED or None, "the end of the request")
    assert (await load.confirm(code=code)).status_code == 409
    # Until the ended request's last SMS is out, its workflow answers for the terminal.
    for _ in range(100):
        fresh = await load.ask()
        if fresh.status_code != 409:
            break
        await asyncio.sleep(0.2)
    assert fresh.status_code == 403, fresh.text
    assert load.account == Account({}, {})
