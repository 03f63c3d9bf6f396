"""Changes that wait, in the records: whatever is asked of them, nothing happens before its time."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from activities import registry_sync
from activities.key_archive import RecordsArchive
from activities.registry_changes import RegistryChanges
from activities.sms import SmsSender
from ceremony.messages import ChangeEnding, ChangeOrder, ChangeOutcome, ChangeResult, ChangeTime
from ceremony.reasons import Reason
from ceremony.registry import read_enrolment
from ceremony.revocations import Subject, read_revocation
from ceremony.signing import sign
from ceremony.sms import SmsUnavailable
from ceremony.statements import RevocationPayload
from commands.credentials import activate, store_pending
from records import credentialentries, registrychanges, revocations
from records.tables.credential_entry import CredentialState
from records.tables.registry_change import ChangeState
from tests.support.backoffice import ONE, TWO, Office, counts
from tests.support.backstage import Backstage
from tests.support.changes import (
    administrators_of,
    bring_in,
    change,
    events,
    number_of,
    with_new_phone,
)
from tests.support.identities import jwk_signer
from tests.support.recording import Recording

HOUR = 3_600


@pytest.fixture(autouse=True)
def cooling(stage: Backstage) -> None:
    """Changes wait an hour."""
    stage.world.cool_off(HOUR)


def changes(stage: Backstage) -> RegistryChanges:
    """The activities."""
    world = stage.world
    sms = SmsSender(stage.database, world.trust, world.codes, stage.sms, stage.clock)
    return RegistryChanges(stage.database, world.trust, sms, stage.clock)


def end(stage: Backstage, order: ChangeOrder, refused: Reason | None = None) -> ChangeResult:
    """Ask for a change's end."""
    return changes(stage).end_change(ChangeEnding(digest=order.digest, refused=refused))


def given(office: Office, seq: int = 2) -> str:
    """The first terminal's entry with another second administrator, signed by two officers."""
    world = office.world
    one = replace(world.terminal, second=world.third.person)
    return office.entry(one, seq=seq, signers=(world.feed, *world.officers[:2]))


def test_nothing_takes_effect_before_its_time(stage: Backstage) -> None:
    """Whoever asks, and whatever they say: this worker's clock counts as well."""
    world, new = stage.world, with_new_phone(stage.world.second)
    order = bring_in(stage, new)
    for _ in range(2):
        assert end(stage, order) == ChangeResult(outcome="cooling")
        changes(stage).note_change_time(ChangeTime(digest=order.digest, effective_at=1))
        assert change(stage, order).effective_at == change(stage, order).begun_at + HOUR
        world.pass_time(HOUR // 2 - 1)
    assert number_of(stage, new.person) == world.second.number
    world.pass_time(2)
    assert end(stage, order) == ChangeResult(outcome="effective")
    assert number_of(stage, new.person) == new.number
    assert end(stage, order) == ChangeResult(outcome="effective")
    assert events(stage).count("registry-change-effective") == 1
    assert events(stage).count("registry-change-cooling") == 1


def test_a_change_that_nobody_began_is_refused(stage: Backstage) -> None:
    """Nobody is told of it either."""
    order = bring_in(stage, with_new_phone(stage.world.second))
    for bent in (
        order.model_copy(update={"digest": "00" * 32}),
        order.model_copy(update={"name": "person-1"}),
        order.model_copy(update={"subject": Subject.TERMINAL}),
    ):
        assert changes(stage).look_at_change(bent).outcome == "refused"
    unknown = order.model_copy(update={"digest": "00" * 32})
    assert end(stage, unknown).reason is Reason.REGISTRY_INCOMPLETE
    assert changes(stage).tell_change(unknown) == ()
    assert stage.memory.sent == []


def test_the_entry_is_verified_at_its_end(stage: Backstage) -> None:
    """A row whose signatures were taken out, or that is another's, takes no effect."""
    order = bring_in(stage, with_new_phone(stage.world.second))
    other = stage.world.credential_entry(stage.world.first, seq=9)
    with stage.database.write() as session:
        row = credentialentries.credential_entry(session, order.digest)
        assert row is not None
        row.envelope = other
    stage.world.pass_time(HOUR)
    assert end(stage, order) == ChangeResult(outcome="refused", reason=Reason.REGISTRY_INCOMPLETE)
    assert number_of(stage, stage.world.second.person) == stage.world.second.number


def test_people_are_told_once(stage: Backstage) -> None:
    """Former number and new one, if they differ; in a retry nobody is told again."""
    world = stage.world
    moved = bring_in(stage, with_new_phone(world.second))
    assert changes(stage).tell_change(moved) == ("sent", "sent")
    assert changes(stage).tell_change(moved) == ("sent", "sent")
    assert len(stage.memory.sent) == 2
    same = bring_in(stage, replace(world.first, signer=jwk_signer("first's new key")))
    assert changes(stage).tell_change(same) == ("sent",)
    assert stage.memory.sent[-1][1] == world.first.number


def test_one_who_cannot_be_told_keeps_it_from_nobody_else(stage: Backstage) -> None:
    """Whoever is missing is told in the next attempt, and nobody twice."""
    world, new = stage.world, with_new_phone(stage.world.second)
    order = bring_in(stage, new)
    stage.memory.fails = [SmsUnavailable()]
    with pytest.raises(SmsUnavailable):
        changes(stage).tell_change(order)
    assert [to for _, to, _ in stage.memory.sent] == [new.number]
    assert changes(stage).tell_change(order) == ("sent", "sent")
    assert [to for _, to, _ in stage.memory.sent] == [new.number, world.second.number]


def test_the_former_number_is_told_also_when_it_is_too_late(office: Office) -> None:
    """SMS that were away all the time still reach who had the number, or the terminal."""
    world, stage = office.world, office.stage
    new = with_new_phone(world.second)
    # An enrolment that nobody ever signed is nobody's former entry.
    unsigned = read_enrolment(world.credential_entry(new, seq=2, officers=0), world.trust, now=1)
    with stage.database.write() as session:
        store_pending(session, unsigned, now=world.now)
    person = bring_in(stage, new, seq=3)
    office.feed.envelopes[0] = given(office)
    terminal = next(one for one in office.run().changes if one.subject is Subject.TERMINAL)
    world.pass_time(HOUR)
    for order in (terminal, person):
        assert end(stage, order).outcome == "effective"
        assert changes(stage).tell_change(order) == ("sent", "sent")
    told = [to for _, to, _ in stage.memory.sent]
    # By then the second administrator has the new number.
    assert told[2:] == [world.second.number, new.number]
    assert set(told[:2]) == {world.second.number, world.third.number}


def test_no_text_holds_a_number_or_a_code(stage: Backstage) -> None:
    """A staff number and a time, and nothing that would help anybody."""
    world = stage.world
    order = bring_in(stage, with_new_phone(world.second))
    changes(stage).note_change_time(ChangeTime(digest=order.digest, effective_at=world.now + HOUR))
    changes(stage).tell_change(order)
    ((_, _, said), *_) = stage.memory.sent
    assert said == (
        "Keyfill: staff no. A1002 gets a new number, key or role on 2027-01-15 09:00 UTC. "
        "Not expected? Tell an officer at once."
    )


def test_a_key_that_another_change_takes_is_refused(stage: Backstage) -> None:
    """Two people's changes to one key cannot both wait."""
    world, new = stage.world, with_new_phone(stage.world.second)
    bring_in(stage, new)
    thief = replace(world.third, signer=new.signer)
    envelope = world.credential_entry(thief, seq=2)
    with stage.database.write() as session:
        store_pending(session, world.read_credential(envelope), now=world.now)
        brought = activate(session, envelope, world.trust, now=world.now)
    assert (brought.change, brought.refused) == (None, Reason.SAME_CREDENTIAL)


def test_a_newer_change_supersedes_the_waiting_one(stage: Backstage) -> None:
    """An older one cannot be brought in behind it, and never takes effect."""
    new = with_new_phone(stage.world.second)
    older = bring_in(stage, new)
    newer = bring_in(stage, new, seq=3)
    assert change(stage, older).state is ChangeState.SUPERSEDED
    stage.world.pass_time(HOUR)
    assert end(stage, older) == ChangeResult(outcome="superseded")
    assert end(stage, newer) == ChangeResult(outcome="effective")
    with stage.database.read() as session:
        states = {
            row.seq: row.state for row in credentialentries.credential_history(session, new.person)
        }
    assert states == {
        3: CredentialState.ACTIVE,
        2: CredentialState.SUPERSEDED,
        1: CredentialState.SUPERSEDED,
    }


def test_a_revocation_withdraws_what_waits(stage: Backstage) -> None:
    """With everything up to its seq, at once."""
    world = stage.world
    order = bring_in(stage, with_new_phone(world.second))
    payload = RevocationPayload(
        **world.common(), person=world.second.person, terminal_no=None, seq=2, reason_code="left"
    )
    revocation = read_revocation(sign(payload, world.officers[0]), world.trust)
    with stage.database.write() as session:
        revocations.put(session, revocation, now=world.now)
    assert changes(stage).look_at_change(order) == ChangeResult(outcome="withdrawn")
    world.pass_time(HOUR)
    assert end(stage, order) == ChangeResult(outcome="withdrawn")
    assert number_of(stage, world.second.person) is None


@pytest.mark.parametrize(
    ("refused", "outcome"),
    [
        (Reason.SEQ_LOWERED, "superseded"),
        (Reason.ENTRY_REVOKED, "withdrawn"),
        (Reason.ENTRY_WITHDRAWN, "withdrawn"),
        (Reason.ENTRY_EXPIRED, "refused"),
    ],
)
def test_what_the_key_worker_refuses_ends(
    stage: Backstage, refused: Reason, outcome: ChangeOutcome
) -> None:
    """The former entry goes on, and the row says why."""
    order = bring_in(stage, with_new_phone(stage.world.second))
    assert end(stage, order, refused) == ChangeResult(outcome=outcome, reason=refused)
    assert change(stage, order).reason == refused
    assert number_of(stage, stage.world.second.person) == stage.world.second.number
    with stage.database.read() as session:
        row = credentialentries.credential_entry(session, order.digest)
    assert row is not None
    assert row.state is CredentialState.REVOKED


def test_the_key_worker_is_shown_what_waits_but_nothing_withdrawn(stage: Backstage) -> None:
    """With the pages and alone; what waits for officers is shown to nobody."""
    world, archive = stage.world, RecordsArchive(stage.database)
    order = bring_in(stage, with_new_phone(world.second))
    name = order.name
    assert archive.entry(Subject.PERSON, order.digest) is not None
    assert archive.withdrawn_entry(Subject.PERSON, order.digest) is None
    assert len(archive.entries_above(Subject.PERSON, name, 1)) == 1
    assert dict(archive.newest(Subject.PERSON, "", 9))[name] == 2
    with stage.database.write() as session:
        credentialentries.withdraw_cooling(session, name, now=world.now)
    assert archive.entry(Subject.PERSON, order.digest) is None
    # Only who is about to withdraw it there as well.
    assert archive.withdrawn_entry(Subject.PERSON, order.digest) is not None
    assert archive.entries_above(Subject.PERSON, name, 1) == []
    assert dict(archive.newest(Subject.PERSON, "", 9))[name] == 1
    pending = world.read_credential(world.credential_entry(world.third, seq=2))
    with stage.database.write() as session:
        store_pending(session, pending, now=world.now)
    assert archive.entry(Subject.PERSON, pending.digest) is None


def test_another_assignment_waits_and_then_is_in_force(office: Office) -> None:
    """Reported once as waiting, and in every run as a change to be started."""
    world = office.world
    office.feed.envelopes[0] = given(office)
    report = office.run()
    assert (counts(report), report.waiting) == ((0, 0, 1, 0, 0), 1)
    (order,) = report.changes
    assert (order.subject, order.name) == (Subject.TERMINAL, ONE)
    again = office.run()
    assert (counts(again), again.waiting, again.changes) == ((0, 0, 2, 0, 0), 0, (order,))
    assert administrators_of(office.stage, ONE) == (world.first.person, world.second.person)
    assert changes(office.stage).tell_change(order) == ("sent", "sent")
    world.pass_time(HOUR)
    assert end(office.stage, order) == ChangeResult(outcome="effective")
    assert administrators_of(office.stage, ONE) == (world.first.person, world.third.person)
    after = office.run()
    assert (counts(after), after.changes) == ((0, 0, 2, 0, 0), ())


def test_the_feed_alone_assigns_nobody(office: Office) -> None:
    """Refused with its reason; the former administrators stay, also by way of a removal."""
    one = replace(office.world.other, second="person-3")
    both = list(office.feed.envelopes)
    office.feed.envelopes[1] = office.entry(one, seq=2)
    assert [row.reason for row in office.run().refused] == [Reason.OFFICERS_MISSING]
    office.feed.envelopes[:] = both[:1]
    assert office.run().removed == 1
    office.feed.envelopes[:] = [both[0], office.entry(one, seq=3)]
    assert [row.reason for row in office.run().refused] == [Reason.OFFICERS_MISSING]
    assert administrators_of(office.stage, TWO) is None


def test_a_removed_terminals_change_is_withdrawn(office: Office) -> None:
    """It does not come back with its time; a new entry is needed."""
    both = list(office.feed.envelopes)
    office.feed.envelopes[0] = given(office)
    (order,) = office.run().changes
    office.feed.envelopes[:] = both[1:]
    assert office.run().removed == 1
    assert change(office.stage, order).state is ChangeState.WITHDRAWN
    office.feed.envelopes[:] = [given(office), both[1]]
    assert [row.reason for row in office.run().refused] != []
    office.world.pass_time(HOUR)
    assert end(office.stage, order) == ChangeResult(outcome="withdrawn")
    assert administrators_of(office.stage, ONE) is None


def test_a_withdrawn_assignment_does_not_come_back_with_the_feed(office: Office) -> None:
    """The back office still names it; it is refused until there is a newer one."""
    envelope = given(office)
    office.feed.envelopes[0] = envelope
    (order,) = office.run().changes
    with office.stage.database.write() as session:
        registrychanges.withdraw_all(session, Subject.TERMINAL, ONE, now=office.world.now)
    report = office.run()
    assert ([row.reason for row in report.refused], report.changes) == (
        [Reason.ENTRY_WITHDRAWN],
        (),
    )
    office.feed.envelopes[0] = given(office, seq=3)
    assert office.run().waiting == 1
    assert order.digest != office.run().changes[0].digest


def test_a_routine_entry_takes_the_place_of_a_change(office: Office) -> None:
    """Signed by the feed alone, it says again who the administrators are."""
    office.feed.envelopes[0] = given(office)
    (order,) = office.run().changes
    office.feed.envelopes[0] = office.entry(office.world.terminal, seq=3, branch="Elsewhere")
    report = office.run()
    assert (counts(report), report.changes) == ((0, 1, 1, 0, 0), ())
    office.world.pass_time(HOUR)
    assert end(office.stage, order) == ChangeResult(outcome="superseded")


def test_a_finished_run_names_its_changes_again(office: Office) -> None:
    """Its activity died before it could answer: they would otherwise not be started."""
    office.feed.envelopes[0] = given(office)
    first = office.run(run_id="run-x")
    assert office.run(run_id="run-x").changes == first.changes != ()


def test_an_edited_row_makes_no_change_of_it(stage: Backstage) -> None:
    """A pending enrolment with one officer, planted as a change that is due, is refused."""
    world, new = stage.world, with_new_phone(stage.world.second)
    envelope = world.credential_entry(new, seq=2, officers=1)
    verified = read_enrolment(envelope, world.trust, now=world.now)
    with stage.database.write() as session:
        store_pending(session, verified, now=world.now)
        session.execute(text("UPDATE credential_entries SET state = 'cooling' WHERE seq = 2"))
        registrychanges.begin(
            session, Subject.PERSON, new.person, verified.digest, 2, now=world.now - HOUR
        )
    order = ChangeOrder(subject=Subject.PERSON, name=new.person, digest=verified.digest)
    assert end(stage, order) == ChangeResult(outcome="refused", reason=Reason.OFFICERS_MISSING)
    assert number_of(stage, new.person) == world.second.number


def test_nobody_calls_a_change_due_or_puts_it_off(stage: Backstage) -> None:
    """What people read, and are told, stays within what the trust file allows."""
    order = bring_in(stage, with_new_phone(stage.world.second))
    begun = stage.world.now
    for said in (1, 10**18):
        changes(stage).note_change_time(ChangeTime(digest=order.digest, effective_at=said))
        assert change(stage, order).effective_at == begun + HOUR


def test_a_revoked_terminal_has_what_waits_above_it(office: Office) -> None:
    """As a person has: a revocation takes away what it names, and no more."""
    world = office.world
    office.feed.envelopes[0] = given(office)
    (order,) = office.run().changes
    for seq, state in ((1, ChangeState.COOLING), (2, ChangeState.WITHDRAWN)):
        payload = RevocationPayload(
            **world.common(), person=None, terminal_no=ONE, seq=seq, reason_code="stolen"
        )
        revocation = read_revocation(sign(payload, world.officers[0]), world.trust)
        with office.stage.database.write() as session:
            revocations.put(session, revocation, now=world.now)
        assert administrators_of(office.stage, ONE) is None
        assert change(office.stage, order).state is state


def test_who_ends_a_change_again_learns_whom_to_tell(office: Office) -> None:
    """A worker may die after the commit: the terminal's open request must still be told."""
    office.feed.envelopes[0] = given(office)
    (order,) = office.run().changes
    office.world.pass_time(HOUR)
    Recording.opened(office.stage)
    for _ in range(2):
        assert end(office.stage, order) == ChangeResult(outcome="effective", tells=ONE)


def test_a_stopped_run_starts_changes_all_the_same(office: Office) -> None:
    """A feed that is broken for days does not keep what officers brought in from being shown."""
    order = bring_in(office.stage, with_new_phone(office.world.second))
    office.feed.envelopes = []
    report = office.run()
    assert (report.stopped, report.changes) == (Reason.TOO_MANY_REMOVED, (order,))


def test_many_changes_do_not_keep_others_from_being_started(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose time is not known come first, then those that are due next."""
    monkeypatch.setattr(registry_sync, "MAX_STARTED", 1)
    stage, world = office.stage, office.world
    first = bring_in(stage, with_new_phone(world.second))
    world.pass_time(1)
    second = bring_in(stage, with_new_phone(world.third))
    assert office.run().changes == (first,)
    changes(stage).note_change_time(ChangeTime(digest=first.digest, effective_at=world.now + HOUR))
    assert office.run().changes == (second,)
    changes(stage).note_change_time(ChangeTime(digest=second.digest, effective_at=world.now + HOUR))
    assert office.run().changes == (first,)
