"""SMS: the intent first, then the act, then the outcome; never twice without being asked."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from activities.sms import NO_RECIPIENT, SmsSender
from ceremony.messages import Notice, SmsCodeCommand
from ceremony.sms import SmsAmbiguous, SmsReceipt, SmsRefused, SmsUnavailable
from ceremony.stages import Stage
from records import audit, credentialentries, messages
from records.tables.audit_event import AuditEventRow
from records.tables.sms_message import SmsMessageRow, SmsStatus
from tests.support.backstage import Backstage, MemorySms
from tests.support.identities import ORIGIN
from tests.support.recording import Recording

Event = Literal["review", "approved", "ended"]


class PowerCut(BaseException):
    """The process died within the gateway."""


@dataclass
class WatchedSms(MemorySms):
    """A gateway that looks at the message's row while it sends, and may die after it sent."""

    stage: Backstage | None = None
    seen: list[SmsStatus | None] = field(default_factory=list)
    dies: bool = False

    def send(self, step: str, to: str, text: str) -> SmsReceipt:
        """Note what is on record, then send."""
        assert self.stage is not None
        row = stored(self.stage, step)
        self.seen.append(None if row is None else row.status)
        # Raises if this thread, and waits in vain if another, holds the writer's lock.
        with self.stage.database.write():
            pass
        receipt = super().send(step, to, text)
        if self.dies:
            self.dies = False
            raise PowerCut
        return receipt


def stored(stage: Backstage, step: str) -> SmsMessageRow | None:
    """The row of a message."""
    with stage.database.read() as session:
        return messages.message(session, step)


@dataclass
class Phone:
    """The sender, its gateway, and a request whose messages it sends."""

    recording: Recording
    gateway: WatchedSms
    sender: SmsSender

    def code(self, n: int = 1, **bent: Any) -> str:
        """Send SMS code n."""
        members = {
            "request_id": self.recording.request_id,
            "terminal_no": self.recording.state.terminal_no,
            "n": n,
            **bent,
        }
        return self.sender.send_sms_code(SmsCodeCommand(**members))

    def notice(self, event: Event, **bent: Any) -> str:
        """Send a notice."""
        members = {
            "request_id": self.recording.request_id,
            "terminal_no": self.recording.state.terminal_no,
            "event": event,
            "stage": self.recording.state.stage,
            **bent,
        }
        return self.sender.send_notice(Notice(**members))

    def row(self, what: str = "code-1") -> SmsMessageRow | None:
        """The row of a message of the request."""
        return stored(self.recording.stage, f"{self.recording.request_id}/sms/{what}")

    def events(self) -> list[AuditEventRow]:
        """The audit events about SMS."""
        with self.recording.stage.database.read() as session:
            told = audit.of_request(session, self.recording.request_id)
        return [one for one in told if one.event.startswith("sms-")]


@pytest.fixture
def phone(recording: Recording) -> Phone:
    """A sender whose gateway works, and does not know repeats."""
    stage = recording.stage
    gateway = WatchedSms(stage=stage)
    sender = SmsSender(stage.database, stage.world.trust, stage.world.codes, gateway, stage.clock)
    for n in (1, 2, 3):
        stage.note_asked(recording.request, n)
    return Phone(recording, gateway, sender)


def test_the_intent_is_on_record_before_anything_is_sent(phone: Phone) -> None:
    """The row is committed as an intent when the gateway is called, then becomes `sent`."""
    assert phone.code() == SmsStatus.SENT
    assert phone.gateway.seen == [SmsStatus.INTENT]
    row = phone.row()
    assert row is not None
    assert (row.status, row.provider_sid, row.error) == (SmsStatus.SENT, "sid-1", None)


def test_the_right_code_goes_to_the_registrys_number(phone: Phone) -> None:
    """The number is the verified entry's; the text holds the code and the terminal's number."""
    world = phone.recording.world
    phone.code()
    ((step, to, text),) = phone.gateway.sent
    assert (step, to) == (f"{phone.recording.request_id}/sms/code-1", world.first.number)
    assert world.sms_code(phone.recording.request) in text
    assert "ATM-0001" in text


def test_the_same_step_is_never_sent_twice(phone: Phone) -> None:
    """A retry or a reset sends nothing; a further code is another step."""
    assert [phone.code() for _ in range(3)] == [SmsStatus.SENT] * 3
    assert len(phone.gateway.sent) == 1
    phone.code(2)
    assert [one[0].rsplit("/", 1)[1] for one in phone.gateway.sent] == ["code-1", "code-2"]


def test_what_was_surely_not_sent_is_forgotten_and_asked_again(phone: Phone) -> None:
    """SmsUnavailable takes the intent back and reaches Temporal, whose retry sends it."""
    phone.gateway.fails.append(SmsUnavailable("busy"))
    with pytest.raises(SmsUnavailable):
        phone.code()
    assert phone.row() is None
    assert phone.events() == []
    assert phone.code() == SmsStatus.SENT
    assert len(phone.gateway.sent) == 1


@pytest.mark.parametrize("repeatable", [False, True])
def test_an_ambiguous_send_is_not_repeated(phone: Phone, repeatable: bool) -> None:
    """Nobody knows: it is recorded so, and whoever asks again is told the same."""
    phone.gateway.repeatable = repeatable
    phone.gateway.fails.append(SmsAmbiguous("timeout"))
    assert [phone.code(), phone.code()] == [SmsStatus.AMBIGUOUS] * 2
    row = phone.row()
    assert row is not None
    assert (row.status, row.error) == (SmsStatus.AMBIGUOUS, "timeout")
    assert phone.gateway.sent == []
    assert [(one.event, one.reason) for one in phone.events()] == [("sms-ambiguous", "timeout")]


def test_an_interrupted_send_is_not_repeated_by_a_gateway_that_repeats(phone: Phone) -> None:
    """The process died after the act: the retry sends nothing and says that nobody knows."""
    phone.gateway.dies = True
    with pytest.raises(PowerCut):
        phone.code()
    assert [phone.code(), phone.code()] == [SmsStatus.AMBIGUOUS] * 2
    assert len(phone.gateway.sent) == 1
    assert [(one.event, one.reason) for one in phone.events()] == [("sms-ambiguous", "interrupted")]


def test_an_interrupted_send_is_repeated_by_a_gateway_that_knows_repeats(phone: Phone) -> None:
    """The outbox stores a step once: the retry hands it over again and knows the outcome."""
    phone.gateway.repeatable = True
    phone.gateway.dies = True
    with pytest.raises(PowerCut):
        phone.code()
    assert phone.code() == SmsStatus.SENT
    assert phone.gateway.sent[0] == phone.gateway.sent[1]


def test_a_refused_message_is_recorded(phone: Phone) -> None:
    """The provider's code is kept, the message failed for good, and the ceremony goes on."""
    phone.gateway.fails.append(SmsRefused("21211"))
    assert [phone.code(), phone.code()] == [SmsStatus.FAILED] * 2
    row = phone.row()
    assert row is not None
    assert (row.status, row.error) == (SmsStatus.FAILED, "21211")
    assert [(one.event, one.reason) for one in phone.events()] == [("sms-failed", "21211")]
    assert phone.gateway.sent == []


def test_an_unmodelled_fault_leaves_the_intent(phone: Phone) -> None:
    """A fault of ours within the gateway counts as interrupted: it is not sent blindly again."""
    phone.gateway.fails.append(RuntimeError("bug"))
    with pytest.raises(RuntimeError):
        phone.code()
    assert phone.code() == SmsStatus.AMBIGUOUS
    assert phone.gateway.sent == []


@pytest.mark.parametrize(
    "bent",
    [
        {"request_id": "A" * 24},
        {"terminal_no": "ATM-0002"},
        {"terminal_no": "no such"},
        {"n": 0},
        {"n": 4},
        {"n": -1},
    ],
)
def test_a_forged_command_sends_nothing(phone: Phone, bent: dict[str, Any]) -> None:
    """Who writes to Temporal cannot have codes sent for requests, terminals or numbers at will."""
    assert phone.code(**bent) == NO_RECIPIENT
    assert phone.gateway.sent == []
    with phone.recording.stage.database.read() as session:
        assert messages.of_request(session, phone.recording.request_id) == []


def test_codes_are_sent_in_their_stage_only(phone: Phone) -> None:
    """After the application there is nothing to type a code for."""
    phone.recording.apply()
    assert phone.code() == NO_RECIPIENT


@pytest.mark.parametrize("event", ["review", "approved", "ended"])
def test_a_forged_notice_sends_nothing(phone: Phone, event: Event) -> None:
    """No notice before its time, whatever stage the command claims; no approval code above all."""
    for stage in Stage:
        assert phone.notice(event, stage=stage) == NO_RECIPIENT
    assert phone.notice(event, request_id="A" * 24) == NO_RECIPIENT
    phone.recording.apply()
    phone.recording.decide(decision="reject")
    assert phone.notice("approved") == NO_RECIPIENT
    assert phone.notice("ended", terminal_no="ATM-0002") == NO_RECIPIENT
    assert phone.gateway.sent == []


def test_each_notice_goes_to_whom_it_concerns(phone: Phone) -> None:
    """The second is told of the review, the first of the approval, with its code, and the end."""
    recording = phone.recording
    world = recording.world
    recording.apply()
    phone.notice("review")
    recording.decide()
    phone.notice("approved")
    recording.record(recording.stage.file(world.cancellation(recording.request)))
    phone.notice("ended")
    assert [to for _, to, _ in phone.gateway.sent] == [
        world.second.number,
        world.first.number,
        world.first.number,
    ]
    review, approved, ended = (text for _, _, text in phone.gateway.sent)
    assert "awaits your review" in review
    assert review.endswith(f"{ORIGIN}/r")
    assert f"Approval code {world.approval_code(recording.request)}" in approved
    assert "was cancelled" in ended


def test_messages_come_in_the_deployments_language(recording: Recording) -> None:
    """Every text of a sender that was given Chinese is Chinese; the codes are the same."""
    stage, world = recording.stage, recording.world
    gateway = WatchedSms(stage=stage)
    sender = SmsSender(
        stage.database, world.trust, world.codes, gateway, stage.clock, language="zh-CN"
    )
    phone = Phone(recording, gateway, sender)
    stage.note_asked(recording.request)
    phone.code()
    recording.apply()
    phone.notice("review")
    recording.decide()
    phone.notice("approved")
    recording.record(stage.file(world.cancellation(recording.request)))
    phone.notice("ended")
    code, review, approved, ended = (text for _, _, text in gateway.sent)
    assert f"短信验证码{world.sms_code(recording.request)}" in code
    assert "等待您复核" in review and review.endswith(f"{ORIGIN}/r")
    assert f"审批码{world.approval_code(recording.request)}" in approved
    assert "已取消" in ended


def test_a_registry_without_a_recipient_sends_nothing(phone: Phone) -> None:
    """A revoked administrator is told nothing; the ceremony goes on without."""
    recording = phone.recording
    first = recording.world.standing().first.digest
    with recording.stage.database.write() as session:
        credentialentries.revoke_credential(session, first, now=recording.world.now)
    assert phone.code() == NO_RECIPIENT
    assert phone.gateway.sent == []


def test_the_end_is_told_to_the_requests_own_first_administrator(phone: Phone) -> None:
    """Also if the registry has made somebody else the terminal's first by now."""
    recording = phone.recording
    world = recording.world
    recording.record(recording.stage.file(world.cancellation(recording.request)))
    envelope = world.terminal_entry(seq=2, first=world.third.person)
    world.terminal_envelopes["ATM-0001"] = envelope
    recording.stage.register()
    assert phone.notice("ended") == SmsStatus.SENT
    assert [to for _, to, _ in phone.gateway.sent] == [world.first.number]


def test_no_number_and_no_code_is_kept(phone: Phone) -> None:
    """Rows, statuses and audit events know a masked number and the staff number."""
    recording = phone.recording
    world = recording.world
    told = [phone.code()]
    recording.apply()
    recording.decide()
    told.append(phone.notice("approved"))
    secrets = (
        world.first.number,
        world.first.number[3:],
        world.sms_code(recording.request),
        f"code {world.approval_code(recording.request)}",
    )
    with recording.stage.database.read() as session:
        rows = messages.of_request(session, recording.request_id)
    kept = " ".join(
        [*told]
        + [f"{one.to_masked} {one.error} {one.purpose} {one.step}" for one in rows]
        + [f"{one.actor} {one.reason} {one.detail}" for one in phone.events()]
    )
    assert not any(secret in kept for secret in secrets)
    assert [one.to_masked[-2:] for one in rows] == [world.first.number[-2:]] * 2
    assert '"to":"A1001"' in kept
