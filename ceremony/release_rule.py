"""The release rule: may this key exist? Asked by the key worker, who believes nobody.

Independent of the reducer and of everything that the workflow, the database or the API say: it
takes signed texts, the trust file, the key worker's own secrets and clock, and proves the whole
authorisation again. `may_release` proves all of it but the approval code, which the caller counts
before `confirmed` compares it: four digits must not be found by trying. There is no other way to a
`Grant`.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from ceremony.approvalkeys import ApprovalKeys
from ceremony.checks import APPLICATION_SECONDS, APPROVAL_SECONDS, CLOCK_SKEW_SECONDS
from ceremony.codes import CodeBook, EdgeSeal, TypedCode
from ceremony.eppcertificate import EntryError
from ceremony.qr import VALID_SECONDS, QrContents, QrError, QrSeal, qr_digest
from ceremony.reasons import Reason
from ceremony.registry import read_credential_entry, read_terminal_entry
from ceremony.standing import Standing, standing_of
from ceremony.statements import (
    ApplicationPayload,
    ConfirmationPayload,
    DecisionPayload,
    Payload,
    RequestPayload,
    request_id_of,
)
from ceremony.trust import Trust
from ceremony.verification import EnrolledKey, StatementError, Verified, verify

CHECKS: Final = (
    "signatures",
    "registry-entries",
    "dual-control",
    "qr-code",
    "sms-code",
    "approval-code",
    "expiry",
)
"""What a release record says was checked; `confirmed` grants only if all of it holds.

Where the key worker's own settings demand passkeys for approvals, it says that too, in the words of
the setting (`ApprovalKeys`).
"""

P = TypeVar("P", bound=Payload)


class ReleaseRefused(Exception):
    """The key worker makes no key: `reason` is the code, and the message holds nothing else."""

    def __init__(self, reason: Reason) -> None:
        """Refuse for this reason."""
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Statements:
    """The four statements as texts, and the typed codes as they travelled with two of them."""

    request: str
    application: str
    decision: str
    confirmation: str
    qr_n: int
    qr_expires_at: int
    sms_code: TypedCode
    approval_code: TypedCode


@dataclass(frozen=True, slots=True)
class Entries:
    """The envelopes in force now: the terminal's and both administrators'."""

    terminal: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class ReleaseSecrets:
    """The key worker's own means to prove codes and QR codes."""

    codes: CodeBook
    edge: EdgeSeal
    qr: QrSeal


@dataclass(frozen=True, slots=True)
class Authorisation:
    """What is proved before the approval code is compared; it releases nothing yet."""

    request_id: str
    request: Verified[RequestPayload]
    application: Verified[ApplicationPayload]
    decision: Verified[DecisionPayload]
    confirmation: Verified[ConfirmationPayload]
    standing: Standing
    approvals: ApprovalKeys


@dataclass(frozen=True, slots=True)
class Grant(Authorisation):
    """A proved authorisation: everything verified, nothing taken on trust."""

    @property
    def checks(self) -> tuple[str, ...]:
        """What was checked, for the release record."""
        demanded = () if self.approvals is ApprovalKeys.ANY else (self.approvals.value,)
        return (*CHECKS, *demanded)


def may_release(
    statements: Statements, entries: Entries, trust: Trust, secrets: ReleaseSecrets, *, now: int
) -> Authorisation:
    """Prove, but for the approval code, that a key may be made for this terminal now.

    Args:
        statements: the four statements and the typed codes.
        entries: the registry entries that are in force now.
        trust: the trust file.
        secrets: to recompute codes and QR codes.
        now: the key worker's own clock, Unix seconds.

    Raises:
        ReleaseRefused: with the reason code of the first rule that does not hold.
    """
    proved = may_rewrap(statements, entries, trust, secrets, now=now)
    if proved.application.payload.expires_at <= now:
        raise ReleaseRefused(Reason.STATEMENT_EXPIRED)
    if proved.decision.payload.expires_at <= now:
        raise ReleaseRefused(Reason.APPROVAL_EXPIRED)
    return proved


def may_rewrap(
    statements: Statements, entries: Entries, trust: Trust, secrets: ReleaseSecrets, *, now: int
) -> Authorisation:
    """Prove the same as `may_release`, but for a key that was released before approval expired.

    Raises:
        ReleaseRefused: with the reason code of the first rule that does not hold.
    """
    standing = _standing(entries, trust, now)
    device = (standing.terminal.device_key,)
    request = _proved(statements.request, RequestPayload, device, trust)
    request_id = request_id_of(request.digest)
    application = _proved(statements.application, ApplicationPayload, (standing.first.key,), trust)
    decision = _proved(statements.decision, DecisionPayload, (standing.second.key,), trust)
    confirmation = _proved(statements.confirmation, ConfirmationPayload, device, trust)
    proved = Authorisation(
        request_id=request_id,
        request=request,
        application=application,
        decision=decision,
        confirmation=confirmation,
        standing=standing,
        approvals=trust.passkeys.approvals,
    )
    _check_subject(proved)
    _check_people(proved)
    _check_order(proved, now)
    _check_qr(proved, statements, secrets.qr)
    _check_sms_code(proved, statements.sms_code, secrets)
    return proved


def confirmed(proved: Authorisation, typed: TypedCode, secrets: ReleaseSecrets) -> Grant:
    """Compare the approval code, last of all; the caller has counted this try already.

    Args:
        proved: what `may_release` or `may_rewrap` gave.
        typed: the code that travelled with the confirmation.
        secrets: to recompute the code.

    Raises:
        ReleaseRefused: `approval-code-wrong`.
    """
    request_id, confirmation = proved.request_id, proved.confirmation
    code = secrets.codes.approval_code(proved.standing.code_scope(request_id))
    if not secrets.edge.matches(typed, "approval", request_id, confirmation.digest, code):
        raise ReleaseRefused(Reason.APPROVAL_CODE_WRONG)
    return Grant(
        request_id,
        proved.request,
        proved.application,
        proved.decision,
        confirmation,
        proved.standing,
        proved.approvals,
    )


def _standing(entries: Entries, trust: Trust, now: int) -> Standing:
    try:
        return standing_of(
            read_terminal_entry(entries.terminal, trust, now=now),
            read_credential_entry(entries.first, trust, now=now),
            read_credential_entry(entries.second, trust, now=now),
        )
    except EntryError as error:
        raise ReleaseRefused(error.reason) from error


def _proved(
    text: str, expected: type[P], keys: tuple[EnrolledKey, ...], trust: Trust
) -> Verified[P]:
    try:
        return verify(text, expected, keys, audience=trust.audience, passkeys=trust.passkeys)
    except StatementError as error:
        raise ReleaseRefused(error.reason) from error


def _check_subject(proved: Authorisation) -> None:
    entry, epp = proved.standing.terminal.entry, proved.standing.terminal.epp
    if proved.request.payload.terminal_no != entry.terminal_no:
        raise ReleaseRefused(Reason.WRONG_TERMINAL)
    if proved.request.payload.epp_fingerprint != epp.fingerprint:
        raise ReleaseRefused(Reason.WRONG_EPP)
    for said in (proved.application.payload, proved.decision.payload, proved.confirmation.payload):
        if said.request_id != proved.request_id:
            raise ReleaseRefused(Reason.WRONG_REQUEST)
        if said.terminal_no != entry.terminal_no:
            raise ReleaseRefused(Reason.WRONG_TERMINAL)
        if said.epp_fingerprint != epp.fingerprint:
            raise ReleaseRefused(Reason.WRONG_EPP)
    for approved in (proved.application.payload, proved.decision.payload):
        if approved.registry_digest != proved.standing.registry_digest:
            raise ReleaseRefused(Reason.REGISTRY_CHANGED)


def _check_people(proved: Authorisation) -> None:
    first, second = proved.standing.first.entry, proved.standing.second.entry
    if proved.application.payload.administrator != first.staff_no:
        raise ReleaseRefused(Reason.NOT_FIRST_ADMINISTRATOR)
    if proved.decision.payload.administrator != second.staff_no:
        raise ReleaseRefused(Reason.NOT_SECOND_ADMINISTRATOR)
    if proved.confirmation.payload.administrator != first.staff_no:
        raise ReleaseRefused(Reason.ADMINISTRATOR_WRONG)


def _check_order(proved: Authorisation, now: int) -> None:
    application, decision = proved.application.payload, proved.decision.payload
    if decision.decision != "approve":
        raise ReleaseRefused(Reason.NOT_APPROVED)
    if decision.application_digest != proved.application.digest:
        raise ReleaseRefused(Reason.WRONG_APPLICATION)
    if decision.iat > now + CLOCK_SKEW_SECONDS or application.iat > now + CLOCK_SKEW_SECONDS:
        raise ReleaseRefused(Reason.STALE)
    if application.expires_at > application.iat + APPLICATION_SECONDS:
        raise ReleaseRefused(Reason.EXPIRY_TOO_LATE)
    if decision.expires_at > decision.iat + APPROVAL_SECONDS:
        raise ReleaseRefused(Reason.EXPIRY_TOO_LATE)


def _check_qr(proved: Authorisation, statements: Statements, seal: QrSeal) -> None:
    contents = QrContents(
        request_id=proved.request_id,
        terminal_no=proved.standing.terminal.entry.terminal_no,
        n=statements.qr_n,
        expires_at=statements.qr_expires_at,
    )
    try:
        digest = qr_digest(seal.token(contents))
    except QrError as error:
        raise ReleaseRefused(error.reason) from error
    said = proved.application.payload
    if not digest == said.qr_digest == proved.confirmation.payload.qr_digest:
        raise ReleaseRefused(Reason.QR_REFUSED)
    shown_from = statements.qr_expires_at - VALID_SECONDS
    if not (
        shown_from - CLOCK_SKEW_SECONDS <= said.iat <= statements.qr_expires_at + CLOCK_SKEW_SECONDS
    ):
        raise ReleaseRefused(Reason.QR_EXPIRED)


def _check_sms_code(proved: Authorisation, typed: TypedCode, secrets: ReleaseSecrets) -> None:
    request_id, application = proved.request_id, proved.application
    try:
        code = secrets.codes.sms_code(proved.standing.code_scope(request_id), typed.n)
    except ValueError as error:
        raise ReleaseRefused(Reason.SMS_CODE_WRONG) from error
    if not secrets.edge.matches(typed, "sms", request_id, application.digest, code):
        raise ReleaseRefused(Reason.SMS_CODE_WRONG)
