"""What is sent by SMS, to whom and when: codes, reviews that wait, approvals, how it ended.

A retry or a reset makes the same message again, with the same code, which is not sent anew
(`activities.smsdelivery`). The recipient comes from the verified registry,
never from a command.
"""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypedDict

from sqlmodel import Session
from temporalio import activity

from activities.smsdelivery import SmsDelivery, SmsGateway, SmsMessage
from ceremony.checks import APPROVAL_SECONDS, SMS_CODE_SECONDS
from ceremony.codes import MAX_CODES, CodeBook
from ceremony.messages import NOT_ASKED, Notice, SmsCodeCommand
from ceremony.registry import VerifiedCredential
from ceremony.smscaps import DEFAULT_CAPS, SmsCaps
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
from records import coderequests, projection
from records.database import Database
from records.standing import present, verified_credential
from records.tables.loading_request import LoadingRequestRow

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
        caps: SmsCaps = DEFAULT_CAPS,
    ) -> None:
        """Bind records, trust file, code book, gateway, clock, language and caps."""
        self._database = database
        self._trust = trust
        self._codes = codes
        self._delivery = SmsDelivery(database, gateway, clock, caps)
        self._clock = clock
        self._language: SmsLanguage = language

    @activity.defn(no_thread_cancel_exception=True)
    def send_sms_code(self, command: SmsCodeCommand) -> str:
        """Send SMS code n to the terminal's first administrator, who asked for it.

        That they did is the API's own record. `NOT_ASKED` without it: whoever only writes to
        Temporal has nothing sent, and uses nothing up.

        Raises:
            SmsUnavailable: it was surely not sent; Temporal asks again.
        """
        with self._database.read() as session:
            now = int(self._clock())
            row = _due(session, command.request_id, command.terminal_no, "sms-code")
            standing = present(session, self._trust, command.terminal_no, now=now).standing
            if row is None or standing is None or not 1 <= command.n <= MAX_CODES:
                return NO_RECIPIENT
            first = standing.first.entry.person
            if coderequests.get(session, command.request_id, first, command.n) is None:
                return NOT_ASKED
        code = self._codes.sms_code(standing.code_scope(command.request_id), command.n)
        return self._delivery.send(
            SmsMessage(
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
        return NO_RECIPIENT if message is None else self._delivery.send(message)

    def send_about(
        self, step: str, *, about: str, scope: str, to: VerifiedCredential, text: SmsText
    ) -> str:
        """Send a text that is of no loading request; its step names it for ever.

        `about` is what it is of, as the messages of a loading request have that; `scope` is whom
        caps count it for beside its recipient.

        Raises:
            SmsUnavailable: it was surely not sent; the same call may be made again.
        """
        return self._delivery.send(SmsMessage(step, about, scope, "change", to, text))

    def _compose(self, session: Session, notice: Notice) -> SmsMessage | None:
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

    def _message(self, notice: Notice, to: VerifiedCredential, text: SmsText) -> SmsMessage:
        return SmsMessage(
            step=f"{notice.request_id}/sms/{notice.event}",
            request_id=notice.request_id,
            terminal_no=notice.terminal_no,
            purpose=notice.event,
            recipient=to,
            text=text,
        )


def _due(
    session: Session, request_id: str, terminal_no: str, purpose: str
) -> LoadingRequestRow | None:
    # Whoever writes to Temporal could otherwise have messages sent about requests of their own.
    row = projection.find(session, request_id)
    if row is None or row.terminal_no != terminal_no or row.stage not in _DUE[purpose]:
        return None
    return row
