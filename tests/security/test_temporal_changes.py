"""A live writer of Temporal and of the database who wants an administrator to be changed."""

import json
import sqlite3
import time

import pytest

from ceremony.keys import SigningKey
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import sign
from ceremony.stages import Stage
from ceremony.statements import PublicJwk
from ceremony.verification import peek
from tests.support.attacked import Bench
from tests.support.genuine import NOTHING, Ceremony, digest_of
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_forged_changes_change_nobody(bench: Bench, trespasser: Trespasser) -> None:
    """Activities about changes, with none, with entries in force, and with a planted one.

    The planted one is a second administrator's new entry with the attacker's key, signed by
    themselves and one officer, in a change that looks due. It is refused by key worker and records,
    nobody is told of it, nothing in force can be withdrawn, and an approved load goes on to its
    key.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    # Else its SMS may be counted among those of the changes.
    await load.approval_code()
    person, mine = load.place.second, SigningKey.generate()
    said = peek(envelope_statements(person.envelope)[0]).payload.model_copy(
        update={"seq": 9, "public_key": PublicJwk.model_validate(mine.public.jwk)}
    )
    planted = seal_envelope([sign(said, mine), sign(said, bench.officers[0])])
    digests = {
        "none": NOTHING,
        "in force": digest_of(envelope_statements(person.envelope)[0]),
        "planted": digest_of(envelope_statements(planted)[0]),
    }
    with bench.rows() as rows:
        _plant(rows, person.person, planted, digests["planted"], mine.kid)
    sent = bench.value("SELECT count(*) FROM sms_messages")
    for what, digest in digests.items():
        about = {"subject": "person", "name": person.person, "digest": digest}
        seen = await trespasser.call("look_at_change", about)
        assert seen["outcome"] == ("cooling" if what == "planted" else "refused"), what
        await trespasser.call("note_change_time", {"digest": digest, "effective_at": 1})
        noted = await trespasser.call("note_change", about)
        assert (noted["refused"] is None) == (what == "in force"), what
        gone = await trespasser.call("withdraw_change", about)
        assert gone == {"withdrawn": False}, what
        ended = await trespasser.call("end_change", {"digest": digest, "refused": None})
        assert ended["outcome"] == "refused", what
        assert await trespasser.call("tell_change", about) == []
    assert ended["reason"] == Reason.OFFICERS_MISSING
    assert bench.value("SELECT count(*) FROM sms_messages") == sent
    with bench.rows() as rows:
        rows.execute("DELETE FROM registry_changes")
        rows.execute("DELETE FROM credential_entries WHERE digest = ?", (digests["planted"],))
    await load.to(Stage.LOADED)


def _plant(rows: sqlite3.Connection, person: str, envelope: str, digest: str, kid: str) -> None:
    """Put an entry on record as one that waits, and its change as one that is due."""
    columns = json.dumps(["administrator"])
    rows.execute(
        "INSERT INTO credential_entries (digest, person, staff_no, name, seq, kid, number_digest, "
        "envelope, valid_until, state, roles, recorded_at, sign_count) "
        "SELECT ?, person, staff_no, name, 9, ?, number_digest, ?, valid_until, 'cooling', ?, 0, 0 "
        "FROM credential_entries WHERE person = ? AND state = 'active'",
        (digest, kid, envelope, columns, person),
    )
    rows.execute(
        "INSERT INTO registry_changes (digest, subject, name, seq, state, begun_at) "
        "VALUES (?, 'person', ?, 9, 'cooling', ?)",
        (digest, person, int(time.time()) - 864_000),
    )
