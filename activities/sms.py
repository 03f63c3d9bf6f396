"""Sending SMS: intent first, then the act, then the outcome; never twice without being asked.

A message's step, `request_id/sms/<what>`, names it for ever: a retry or a reset sends nothing
anew, and the code it would send is the same. The recipient comes from the verified registry,
never from a command.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypedDict

from sqlmodel import Session
from temporalio import activity

from ceremony.checks import APPROVAL_SECONDS, SMS_CODE_SECONDS
from ceremony.codes import MAX_CODES, CodeBook
from ceremony.messages import Notice, SmsCodeCommand
from ceremony.registry import VerifiedCredential
from ceremony.sms import SmsAmbiguous, SmsReceipt, SmsRefused, SmsUnavailable, mask_number
from ceremony.smstexts import (
    SmsLanguage,
    SmsText,
    approval_text,
    code_text,
    ended_text,
    review_text,
)
from ceremony.stages import FINAL, Stage
from ceremony.trust import Trust
from records import audit, messages, projection
from records.database import Database
from records.standing import present, verified_credential
from records.tables.audit_event import ActorKind
from records.tables.loading_request import LoadingRequestRow
from records.tables.sms_message import SmsStatus

REVIEW_SECONDS: Final = 4 * 3600
REVIEW_PATH: Final = "/r"
"""Where the second administrator finds, on the trust file's origin, what awaits them."""
NO_RECIPIENT: Final = "no-recipient"
_DUE: Final[Mapping[str, frozenset[Stage]]] = MappingProxyType(
    {
        "sms-code": frozenset({Stage.AWAITING_APPLICATION}),
        # A slow SMS may be overtaken by what it tells of.
        "review": frozenset(
            {Stage.AWAITING_REVIEW, Stage.AWAITING_CONFIRMATION, Stage.AWAITING_RECEIPT}
        ),
        "approved": frozenset({Stage.AWAITING_CONFIRMATION, Stage.AWAITING_RECEIPT}),
        "ended": FINAL,
    }
)
"""The stages at which a loading request has each message sent; nobody else can have it sent."""


class SmsGateway(Protocol):
    """Whatever carries an SMS.

    `repeatable` says that sending the same step again delivers it once only.
    """

    @property
    def repeatable(self) -> bool:
        """Whether a send may be repeated without asking."""
        ...

    def send(self, step: str, to: str, text: str) -> SmsReceipt:
        """Send a text to an E.164 number.

        Raises:
            SmsRefused: the provider said no, for good.
            SmsUnavailable: surely not sent.
            SmsAmbiguous: nobody knows.
        """
        ...


@dataclass(frozen=True)
class _Message:
    step: str
    request_id: str
    terminal_no: str
    purpose: str
    recipient: VerifiedCredential
    text: SmsText


class _About(TypedDict):
    terminal_no: str
    request_id: str
    language: SmsLanguage


class SmsSender:
    """The ceremony worker's SMS activities; each returns the message's status."""

    def __init__(
        self,
        database: Database,
        trust: Trust,
        codes: CodeBook,
        gateway: SmsGateway,
        clock: Callable[[], float] = time.time,
        language: SmsLanguage = "en",
    ) -> None:
        """Bind the records, the trust file, the code book, a gateway, a clock and a language."""
        self._database = database
        self._trust = trust
        self._codes = codes
        self._gateway = gateway
        self._clock = clock
        self._language: SmsLanguage = language

    @activity.defn(no_thread_cancel_exception=True)
    def send_sms_code(self, command: SmsCodeCommand) -> str:
        """Send SMS code n to the terminal's first administrator.

        Raises:
            SmsUnavailable: it was surely not sent; Temporal asks again.
        """
        with self._database.read() as session:
            now = int(self._clock())
            row = _due(session, command.request_id, command.terminal_no, "sms-code")
            standing = present(session, self._trust, command.terminal_no, now=now).standing
        if row is None or standing is None or not 1 <= command.n <= MAX_CODES:
            return NO_RECIPIENT
        code = self._codes.sms_code(standing.code_scope(command.request_id), command.n)
        return self._send(
            _Message(
                step=f"{command.request_id}/sms/code-{command.n}",
                request_id=command.request_id,
                terminal_no=command.terminal_no,
                purpose="sms-code",
                recipient=standing.first,
                text=code_text(
                    terminal_no=command.terminal_no,
                    request_id=command.request_id,
                    code=code,
                    n=command.n,
                    valid_seconds=SMS_CODE_SECONDS,
                    language=self._language,
                ),
            )
        )

    @activity.defn(no_thread_cancel_exception=True)
    def send_notice(self, notice: Notice) -> str:
        """Tell the second administrator that a review waits, or the first how it goes.

        Raises:
            SmsUnavailable: it was surely not sent; Temporal asks again.
        """
        with self._database.read() as session:
            message = self._compose(session, notice)
        return NO_RECIPIENT if message is None else self._send(message)

    def _compose(self, session: Session, notice: Notice) -> _Message | None:
        now = int(self._clock())
        row = _due(session, notice.request_id, notice.terminal_no, notice.event)
        if row is None:
            return None
        standing = present(session, self._trust, notice.terminal_no, now=now).standing
        about = _About(
            terminal_no=notice.terminal_no, request_id=notice.request_id, language=self._language
        )
        if notice.event == "review" and standing is not None:
            link = self._trust.origin + REVIEW_PATH
            text = review_text(**about, valid_seconds=REVIEW_SECONDS, link=link)
            return self._message(notice, standing.second, text)
        if notice.event == "approved" and standing is not None:
            code = self._codes.approval_code(standing.code_scope(notice.request_id))
            text = approval_text(**about, approval_code=code, valid_seconds=APPROVAL_SECONDS)
            return self._message(notice, standing.first, text)
        if notice.event != "ended":
            return None
        # The request's own first administrator, even if the registry has another by now.
        first = verified_credential(session, self._trust, row.first_person, now=now)
        if first is None:
            return None
        return self._message(notice, first, ended_text(**about, stage=row.stage))

    def _message(self, notice: Notice, to: VerifiedCredential, text: SmsText) -> _Message:
        return _Message(
            step=f"{notice.request_id}/sms/{notice.event}",
            request_id=notice.request_id,
            terminal_no=notice.terminal_no,
            purpose=notice.event,
            recipient=to,
            text=text,
        )

    def _send(self, message: _Message) -> str:
        number = message.recipient.entry.number
        with self._database.write() as session:
            row, new = messages.begin(
                session,
                message.step,
                request_id=message.request_id,
                purpose=message.purpose,
                to_masked=mask_number(number),
                now=int(self._clock()),
            )
            if not new and row.status is not SmsStatus.INTENT:
                return row.status
        if not new and not self._gateway.repeatable:
            # An earlier attempt died between the act and its outcome: it may have been sent.
            return self._finish(message, SmsStatus.AMBIGUOUS, error="interrupted")
        try:
            receipt = self._gateway.send(message.step, number, message.text)
        except SmsUnavailable:
            with self._database.write() as session:
                messages.forget(session, message.step)
            raise
        except SmsRefused as error:
            return self._finish(message, SmsStatus.FAILED, error=error.code)
        except SmsAmbiguous as error:
            return self._finish(message, SmsStatus.AMBIGUOUS, error=error.code)
        return self._finish(message, SmsStatus.SENT, sid=receipt.provider_sid)

    def _finish(
        self,
        message: _Message,
        status: SmsStatus,
        *,
        sid: str | None = None,
        error: str | None = None,
    ) -> str:
        now = int(self._clock())
        with self._database.write() as session:
            if messages.finish(
                session, message.step, status, now=now, provider_sid=sid, error=error
            ):
                audit.write(
                    session,
                    f"sms-{status}",
                    at=now,
                    actor_kind=ActorKind.SYSTEM,
                    request_id=message.request_id,
                    terminal_no=message.terminal_no,
                    reason=error,
                    detail={
                        "purpose": message.purpose,
                        "to": message.recipient.entry.staff_no,
                    },
                )
        return status


def _due(
    session: Session, request_id: str, terminal_no: str, purpose: str
) -> LoadingRequestRow | None:
    # Whoever writes to Temporal could otherwise have messages sent about requests of their own.
    row = projection.find(session, request_id)
    if row is None or row.terminal_no != terminal_no or row.stage not in _DUE[purpose]:
        return None
    return row
