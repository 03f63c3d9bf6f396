"""Keys and tokens, SMS, sessions, enrolment links, audit trail and synchronisation runs."""

import hashlib
import json
from collections.abc import Callable

import pytest
from sqlalchemy.exc import IntegrityError

from ceremony.smscaps import DEFAULT_CAPS
from records import audit, enrolments, keystore, messages, sessions, syncruns
from records.database import Database
from records.messages import Delivery, Recipient
from records.redaction import without_numbers
from records.schema import METADATA
from records.tables.audit_event import ActorKind
from records.tables.enrolment_link import EnrolmentLinkRow
from records.tables.key import KeyRow, KeyState
from records.tables.session import SessionRow, SessionSource
from records.tables.sms_message import SmsStatus
from records.tables.token import TokenRow

NOW = 1_800_000_000
TOKEN_1 = hashlib.sha256(b"token 1").hexdigest()
Key = Callable[..., KeyRow]
Token = Callable[..., TokenRow]


def test_a_request_has_one_key_and_a_confirmation_one_token(
    database: Database, key_row: Key, token_row: Token
) -> None:
    """Publishing again returns the first key and the first token, byte for byte."""
    with database.write() as session:
        assert keystore.publish_key(session, key_row())[1]
        key, created = keystore.publish_key(session, key_row(host_block=b"other"))
        assert (key.host_block, created) == (b"block", False)
        assert keystore.publish_token(session, token_row())[1]
        token, created = keystore.publish_token(session, token_row(value="b3RoZXI="))
        assert (token.value, created) == ("dG9rZW4=", False)
        keystore.publish_token(session, token_row(2))
    with database.read() as session:
        found = keystore.token_for(session, token_row(2).confirmation_digest)
        assert found is not None
        assert found.ordinal == 2
        assert [token.ordinal for token in keystore.tokens_of(session, "r1")] == [1, 2]
        assert keystore.token_for(session, "unknown") is None


@pytest.mark.parametrize(
    "clash",
    [
        {"confirmation_digest": "c"},
        {"confirmation_digest": "c", "ordinal": 2, "token_digest": TOKEN_1},
        {"confirmation_digest": "c", "ordinal": 3, "request_id": "nobody", "token_digest": "t"},
        {"confirmation_digest": "c", "ordinal": 0, "token_digest": "t"},
    ],
)
def test_a_token_that_contradicts_another_is_refused(
    database: Database, key_row: Key, token_row: Token, clash: dict[str, object]
) -> None:
    """Another token's ordinal or bytes, an unknown key, or an ordinal below 1 is an error."""
    with database.write() as session:
        keystore.publish_key(session, key_row())
        keystore.publish_token(session, token_row())
    with pytest.raises(IntegrityError), database.write() as session:
        keystore.publish_token(session, token_row(**clash))


def test_key_states_move_only_from_where_they_may(database: Database, key_row: Key) -> None:
    """A move from a state that the key is not in changes nothing and says so."""
    with database.write() as session:
        keystore.publish_key(session, key_row())
        released, unconfirmed = {KeyState.RELEASED}, {KeyState.UNCONFIRMED}
        assert not keystore.set_state(session, "r1", unconfirmed, KeyState.ACTIVE, now=1)
        assert not keystore.set_state(session, "r2", released, KeyState.ACTIVE, now=1)
        assert keystore.set_state(session, "r1", released, KeyState.ACTIVE, now=2)
        assert not keystore.set_state(session, "r1", released, KeyState.ACTIVE, now=3)
        key = keystore.key(session, "r1")
        assert key is not None
        assert (key.state, key.activated_at, key.retired_at) == (KeyState.ACTIVE, 2, None)


def test_a_terminal_has_one_active_key(database: Database, key_row: Key) -> None:
    """A second active key is refused until the first has retired."""
    released = {KeyState.RELEASED}
    with database.write() as session:
        keystore.publish_key(session, key_row("r1"))
        keystore.publish_key(session, key_row("r2", released_at=NOW + 1))
        keystore.set_state(session, "r1", released, KeyState.ACTIVE, now=1)
    with pytest.raises(IntegrityError), database.write() as session:
        keystore.set_state(session, "r2", released, KeyState.ACTIVE, now=2)
    with database.write() as session:
        assert keystore.retire_active(session, "T-1", except_request_id="r2", now=3)
        assert keystore.set_state(session, "r2", released, KeyState.ACTIVE, now=3)
        assert not keystore.retire_active(session, "T-1", except_request_id="r2", now=4)
    with database.read() as session:
        active = keystore.active_key(session, "T-1")
        assert active is not None
        assert active.request_id == "r2"
        states = [(key.request_id, key.state) for key in keystore.keys_of_terminal(session, "T-1")]
        assert states == [("r2", KeyState.ACTIVE), ("r1", KeyState.RETIRED)]


def test_a_check_value_is_noted_once(database: Database, key_row: Key) -> None:
    """The same value again is fine, another one is not."""
    with database.write() as session:
        keystore.publish_key(session, key_row())
        assert keystore.set_kcv(session, "r1", "abcdef")
        assert keystore.set_kcv(session, "r1", "abcdef")
        assert not keystore.set_kcv(session, "r1", "000000")
        assert not keystore.set_kcv(session, "r2", "abcdef")
        key = keystore.key(session, "r1")
        assert key is not None
        assert key.kcv == "abcdef"


def begin(database: Database, step: str = "r1/sms/1") -> bool:
    """Note the intent of a message; tell whether it is new."""
    with database.write() as session:
        return messages.begin(
            session,
            step,
            request_id="r1",
            purpose="sms-code",
            to=Recipient("p1", "T-1", "***34"),
            caps=DEFAULT_CAPS,
            now=NOW,
        )[1]


def finish(database: Database, status: SmsStatus, sid: str | None, step: str = "r1/sms/1") -> bool:
    """Note how sending ended."""
    with database.write() as session:
        return messages.finish(session, step, status, now=NOW + 1, provider_sid=sid)


def report(database: Database, status: SmsStatus, sid: str = "SM1") -> Delivery:
    """Note a status report."""
    with database.write() as session:
        return messages.delivery(session, sid, status, now=NOW + 2)


def status_of(database: Database, step: str = "r1/sms/1") -> SmsStatus:
    """The message's status."""
    with database.read() as session:
        row = messages.message(session, step)
        assert row is not None
        return row.status


def test_an_intent_is_noted_once(database: Database) -> None:
    """The loser of a race, or a retry, finds the intent and does not make a second."""
    assert begin(database)
    assert not begin(database)
    assert status_of(database) is SmsStatus.INTENT


def test_sending_ends_once(database: Database) -> None:
    """An ambiguous end may be cleared up later, a certain one is not overwritten."""
    begin(database)
    assert not finish(database, SmsStatus.SENT, "SM9", step="unknown")
    assert finish(database, SmsStatus.AMBIGUOUS, None)
    assert finish(database, SmsStatus.SENT, "SM1")
    assert not finish(database, SmsStatus.FAILED, None)
    assert status_of(database) is SmsStatus.SENT


def test_only_an_intent_is_taken_back(database: Database) -> None:
    """A message surely not sent may be begun anew; one that was, or may have been, may not."""
    begin(database)
    with database.write() as session:
        assert messages.forget(session, "r1/sms/1")
        assert not messages.forget(session, "r1/sms/1")
    assert begin(database)
    finish(database, SmsStatus.AMBIGUOUS, None)
    with database.write() as session:
        assert not messages.forget(session, "r1/sms/1")
    assert status_of(database) is SmsStatus.AMBIGUOUS


def test_status_reports_only_move_a_message_on(database: Database) -> None:
    """Late, repeated and contradicting reports change nothing."""
    begin(database)
    assert report(database, SmsStatus.SENT) is Delivery.UNKNOWN
    finish(database, SmsStatus.SENT, "SM1")
    assert report(database, SmsStatus.SENT) is Delivery.UNCHANGED
    assert report(database, SmsStatus.DELIVERED) is Delivery.RECORDED
    for late in (SmsStatus.DELIVERED, SmsStatus.SENT, SmsStatus.UNDELIVERED, SmsStatus.FAILED):
        assert report(database, late) is Delivery.UNCHANGED
    assert status_of(database) is SmsStatus.DELIVERED
    for status in (SmsStatus.INTENT, SmsStatus.AMBIGUOUS):
        with pytest.raises(ValueError, match="status"):
            report(database, status)


def test_two_messages_have_two_provider_identifiers(database: Database) -> None:
    """The provider's identifier belongs to one message; several without one are fine."""
    for n in (1, 2, 3):
        begin(database, f"s{n}")
    assert finish(database, SmsStatus.SENT, "SM1", step="s1")
    with pytest.raises(IntegrityError):
        finish(database, SmsStatus.SENT, "SM1", step="s2")
    assert finish(database, SmsStatus.FAILED, None, step="s2")
    with database.read() as session:
        assert len(messages.of_request(session, "r1")) == 3


def test_the_outbox_keeps_the_first_of_each_step(database: Database) -> None:
    """Putting a step twice keeps the first bytes; listing goes on after an id."""
    with database.write() as session:
        first, created = messages.outbox_put(session, "s1", b"one", now=NOW)
        assert created
        assert messages.outbox_put(session, "s1", b"two", now=NOW)[0].sealed == b"one"
        messages.outbox_put(session, "s2", b"three", now=NOW)
    with database.read() as session:
        assert [row.sealed for row in messages.outbox_list(session)] == [b"one", b"three"]
        assert first.id is not None
        assert [row.step for row in messages.outbox_list(session, first.id)] == ["s2"]
        assert len(messages.outbox_list(session, limit=1)) == 1


def session_row(name: str, person: str = "p1", expires_at: int = NOW + 10) -> SessionRow:
    """A session of a person."""
    return SessionRow(
        token_digest=name,
        source=SessionSource.CREDENTIAL,
        person=person,
        kid="k",
        staff_no=f"A-{person}",
        name="A",
        roles="[]",
        seal="",
        created_at=NOW,
        expires_at=expires_at,
    )


def test_a_session_is_valid_until_it_ends_or_expires(database: Database) -> None:
    """Neither an ended, nor an expired, nor an unknown session is found."""
    with database.write() as session:
        for name in ("a", "b", "c"):
            sessions.create(session, session_row(name))
        sessions.create(session, session_row("d", person="p2"))
        assert sessions.find_valid(session, "a", NOW + 9) is not None
        assert sessions.find_valid(session, "a", NOW + 10) is None
        assert sessions.find_valid(session, "x", NOW) is None
        assert sessions.end(session, "a", NOW)
        assert not sessions.end(session, "a", NOW)
        assert sessions.find_valid(session, "a", NOW) is None
        assert sessions.end_all_of(session, "A-p1", NOW) == 2
        assert sessions.find_valid(session, "d", NOW) is not None
        assert sessions.purge_expired(session, NOW) == 3
        assert sessions.purge_expired(session, NOW + 10) == 1
    with pytest.raises(IntegrityError), database.write() as session:
        sessions.create(session, session_row("e"))
        sessions.create(session, session_row("e", person="p2"))


def test_a_link_is_taken_once(database: Database) -> None:
    """One taker gets the link; after that, or after its time, nobody does."""
    with database.write() as session:
        for name in ("a", "b"):
            enrolments.create(
                session,
                EnrolmentLinkRow(
                    token_digest=name, person="p1", sealed_draft=b"draft", expires_at=NOW + 10
                ),
            )
    with database.write() as session:
        assert enrolments.take(session, "b", NOW + 10) is None
        assert enrolments.take(session, "x", NOW) is None
        taken = enrolments.take(session, "a", NOW + 9)
        assert taken is not None
        assert (taken.sealed_draft, taken.used_at) == (b"draft", NOW + 9)
        assert enrolments.take(session, "a", NOW + 9) is None
        assert enrolments.find(session, "a") is not None
        assert enrolments.find(session, "x") is None


def test_the_audit_trail_keeps_order_and_detail(database: Database) -> None:
    """Events come back in the order written, for one request, one terminal or all."""
    with database.write() as session:
        for n, request_id in enumerate(("r1", "r2", "r1")):
            audit.write(
                session,
                f"event-{n}",
                at=NOW - n,
                actor_kind=ActorKind.ADMINISTRATOR,
                actor="S-p1",
                request_id=request_id,
                terminal_no="T-1",
                reason="wrong-stage",
                detail={"n": n, "name": "Zoë"},
            )
    with database.read() as session:
        events = audit.of_request(session, "r1")
        assert [event.event for event in events] == ["event-0", "event-2"]
        assert json.loads(events[1].detail) == {"n": 2, "name": "Zoë"}
        assert events[0].actor_kind is ActorKind.ADMINISTRATOR
        rest = audit.of_terminal(session, "T-1", after_id=events[0].id or 0)
        assert [event.event for event in rest] == ["event-1", "event-2"]
        assert len(audit.since(session, limit=2)) == 2
    with database.write() as session, pytest.raises(ValueError, match="JSON"):
        audit.write(session, "e", at=1, actor_kind=ActorKind.SYSTEM, detail={"x": float("nan")})


def whole_content(database: Database) -> str:
    """Every row of every table, or every byte of the files that an SQLite database is."""
    if database.sqlite_path is not None:
        files = list(database.sqlite_path.parent.glob("keyfill.db*"))
        assert files
        return "".join(file.read_bytes().decode("latin-1") for file in files)
    with database.read() as session:
        return "".join(
            str(session.connection().execute(table.select()).fetchall())
            for table in METADATA.sorted_tables
        )


def test_no_number_in_clear_anywhere(database: Database) -> None:
    """A telephone number handed in by mistake is in no byte of the database."""
    number = "+8613800001234"
    with database.write() as session:
        to = Recipient("p1", "T-1", number)
        messages.begin(
            session, "s", request_id="r1", purpose="sms-code", to=to, caps=DEFAULT_CAPS, now=NOW
        )
        messages.finish(session, "s", SmsStatus.FAILED, now=NOW, error=f"to {number}: 21211")
        audit.write(
            session,
            "decided",
            at=NOW,
            actor_kind=ActorKind.ADMINISTRATOR,
            actor=number,
            detail={"reason": f"call me at {number}, or {number}"},
        )
        row = messages.message(session, "s")
        assert row is not None
        assert row.to_masked.endswith("*34")
        assert row.error == "to +***********34: 21211"
        assert json.loads(audit.since(session)[0].detail)["reason"].startswith("call me at +*")
    assert number[1:] not in whole_content(database)


def test_masking_spares_what_is_no_number() -> None:
    """Times, terminal numbers, staff numbers and digests are left alone."""
    for text in ("1800000000", "T-0042", "S+12", "2026-11-22T21:00:00+01:00", "a+b", "+0123456789"):
        assert without_numbers(text) == text


def test_a_synchronisation_run_finishes_once(database: Database) -> None:
    """A retried finish changes nothing; the newest run comes first."""
    with database.write() as session:
        assert syncruns.start(session, "run1", now=NOW)[1]
        assert not syncruns.start(session, "run1", now=NOW + 5)[1]
        syncruns.start(session, "run2", now=NOW + 9)
        for added, expected in ((3, True), (4, False)):
            finished = syncruns.finish(
                session,
                "run1",
                now=NOW + 1,
                added=added,
                changed=0,
                removed=0,
                unchanged=1,
                refused=[("T-9", "entry-unsigned")],
            )
            assert finished is expected
    with database.read() as session:
        run = syncruns.find(session, "run1")
        assert run is not None
        assert (run.added, run.unchanged, run.started_at) == (3, 1, NOW)
        assert json.loads(run.refused_json) == [{"terminal_no": "T-9", "reason": "entry-unsigned"}]
        assert [row.run_id for row in syncruns.latest(session)] == ["run2", "run1"]


def test_a_source_applied_whole_is_remembered(database: Database) -> None:
    """The newest finished run's tag counts, and none if that run left something out."""
    with database.write() as session:
        assert syncruns.latest_tag(session) is None
        for n, tag in enumerate(("one", "two", None), 1):
            syncruns.start(session, f"run{n}", now=NOW + n)
            assert syncruns.latest_tag(session) == (None, "one", "two")[n - 1]
            syncruns.finish(
                session,
                f"run{n}",
                now=NOW + n,
                added=0,
                changed=0,
                removed=0,
                unchanged=0,
                refused=[],
                tag=tag,
            )
        assert syncruns.latest_tag(session) is None
