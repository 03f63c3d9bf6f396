"""SMS that a cap keeps back, codes that nobody asked for, and what gives spraying away."""

import json
from dataclasses import dataclass, field

import pytest

from activities.sms import SmsSender
from ceremony.messages import NOT_ASKED, Notice, SmsCodeCommand
from ceremony.reasons import Reason
from ceremony.reducer import code_sent
from ceremony.smscaps import Cap, SmsCaps
from ceremony.spraying import MANY, Alarm
from ceremony.stages import Stage
from records import alarms, audit, messages
from records.tables.audit_event import AuditEventRow
from records.tables.sms_message import SmsStatus
from tests.support.backstage import Backstage, MemorySms
from tests.support.load import WRONG_SMS_CODE
from tests.support.recording import Recording

ONE = SmsCaps(1, 10, 10, 10, 10, 10)


@dataclass
class Desk:
    """A sender with caps, and a request whose first administrator asked for two codes."""

    recording: Recording
    caps: SmsCaps = ONE
    gateway: MemorySms = field(default_factory=MemorySms)

    def __post_init__(self) -> None:
        """Put the sender together."""
        stage = self.stage
        self.sender = SmsSender(
            stage.database,
            stage.world.trust,
            stage.world.codes,
            self.gateway,
            stage.clock,
            caps=self.caps,
        )
        for n in (1, 2):
            stage.note_asked(self.recording.request, n)

    @property
    def stage(self) -> Backstage:
        """Where the records are."""
        return self.recording.stage

    def code(self, n: int) -> str:
        """Send SMS code n."""
        state = self.recording.state
        return self.sender.send_sms_code(
            SmsCodeCommand(request_id=state.request_id, terminal_no=state.terminal_no, n=n)
        )

    def review(self) -> str:
        """Tell the second administrator."""
        state = self.recording.state
        return self.sender.send_notice(
            Notice(
                request_id=state.request_id,
                terminal_no=state.terminal_no,
                event="review",
                stage=state.stage,
            )
        )

    def events(self, event: str) -> list[AuditEventRow]:
        """The audit events of a name."""
        with self.stage.database.read() as session:
            return [one for one in audit.since(session, limit=1000) if one.event == event]


def test_a_capped_message_is_not_sent_and_auditors_see_it(recording: Recording) -> None:
    """The second code within the hour: `capped`, audited with the cap, an alarm; nothing sent."""
    desk = Desk(recording)
    assert desk.code(1) == SmsStatus.SENT
    assert [desk.code(2), desk.code(2)] == [SmsStatus.CAPPED] * 2
    assert [step.rsplit("/", 1)[1] for step, _, _ in desk.gateway.sent] == ["code-1"]
    (event,) = desk.events("sms-capped")
    assert (event.reason, event.request_id) == (Cap.PERSON_HOUR, recording.request_id)
    assert json.loads(event.detail) == {
        "purpose": "sms-code",
        "to": recording.state.first_staff_no,
    }
    assert len(desk.events("alarm-sms-capped")) == 1
    with desk.stage.database.read() as session:
        assert messages.of_request(session, recording.request_id)[1].status is SmsStatus.CAPPED
        assert alarms.counts(session)[Alarm.SMS_CAPPED] == 1


def test_a_capped_code_does_not_end_a_request(recording: Recording) -> None:
    """The first code goes on to be the one to type; and codes keep no notice back."""
    desk = Desk(recording)
    assert desk.code(1) == SmsStatus.SENT
    assert desk.code(2) == SmsStatus.CAPPED
    recording.apply()
    assert recording.state.stage is Stage.AWAITING_REVIEW
    assert desk.review() == SmsStatus.SENT


def test_a_code_that_nobody_asked_for_is_not_sent(recording: Recording) -> None:
    """Whoever only writes to Temporal calls the activity for code 3: nothing is sent or kept."""
    desk = Desk(recording)
    assert desk.code(3) == NOT_ASKED
    assert desk.gateway.sent == []
    with desk.stage.database.read() as session:
        assert messages.of_request(session, recording.request_id) == []


def test_a_stranger_who_asked_has_nothing_sent(recording: Recording) -> None:
    """What the API noted for somebody else is no asking of the first administrator's."""
    world = recording.world
    desk = Desk(recording)
    with desk.stage.database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM code_requests")
    first, world.first = world.first, world.third
    desk.stage.note_asked(recording.request)
    world.first = first
    assert desk.code(1) == NOT_ASKED


def test_a_code_that_nobody_asked_for_spoils_no_application(recording: Recording) -> None:
    """A forged signal lets a state count three codes: the genuine first one is still accepted."""
    recording.code()
    recording.state = code_sent(recording.state, recording.world.now, 3)
    assert len(recording.state.codes_sent_at) == 3
    recorded = recording.guess(recording.world.sms_code(recording.request))
    assert recorded.verdict.accepted
    assert len(recorded.state.codes_sent_at) == 1


def test_a_state_that_counts_codes_makes_none(recording: Recording) -> None:
    """Nobody asked, whatever a forged state says: `sms-code-not-sent`."""
    recording.state = code_sent(recording.state, recording.world.now, 1)
    recorded = recording.guess(recording.world.sms_code(recording.request))
    assert recorded.verdict.reasons == (Reason.SMS_CODE_NOT_SENT,)


def test_wrong_codes_of_many_are_an_alarm(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applications refused to as many persons as are alarming: one alarm, whatever comes after.

    The persons are made by filing one person's refused applications under others' names.
    """
    desk = Desk(recording)
    recording.code()
    recording.guess(WRONG_SMS_CODE)
    kind = f"alarm-{Alarm.CODES_MANY_PERSONS}"
    assert desk.events(kind) == []
    file = Backstage.file
    names = iter(f"person {n}" for n in range(MANY[Alarm.CODES_MANY_PERSONS][0]))
    monkeypatch.setattr(Backstage, "file", lambda *a, **k: file(*a, **{**k, "person": next(names)}))
    for _ in range(MANY[Alarm.CODES_MANY_PERSONS][0] - 2):
        recording.guess(WRONG_SMS_CODE)
    assert desk.events(kind) == []
    recording.guess(WRONG_SMS_CODE)
    assert len(desk.events(kind)) == 1
    assert desk.events(f"alarm-{Alarm.CODES_MANY_TERMINALS}") == []
