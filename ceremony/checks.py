"""The checks: pure functions from a state, a verified statement and facts to reason codes.

An empty result accepts. Every rule of a check is always evaluated, so that a caller learns
nothing from which one came first, and the audit trail shows all that was wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ceremony.qr import QrContents
from ceremony.reasons import Reason
from ceremony.registry import VerifiedTerminal
from ceremony.standing import Standing
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, DAILY_ATTEMPTS, CeremonyState
from ceremony.statements import (
    ApplicationPayload,
    CancellationPayload,
    ConfirmationPayload,
    DecisionPayload,
    ReceiptPayload,
    RequestPayload,
)
from ceremony.verification import Verified

SMS_CODE_SECONDS: Final = 600
"""An SMS code lives ten minutes (NIST SP 800-63B-4 section 3.1.3.2)."""
RESEND_SECONDS: Final = 60
"""A further SMS code may be asked for after one minute."""
APPLICATION_SECONDS: Final = 86_400
APPROVAL_SECONDS: Final = 3_600
CLOCK_SKEW_SECONDS: Final = 300

Reasons = tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about a statement outside of it.

    Attributes:
        now: Unix time in seconds at which the API received the statement.
        terminal: the terminal's present entry; None if there is none in force.
        standing: the registry's present standing on terminal and both administrators; None
            where an entry is missing, expired, or breaks dual control.
        qr: what the scanned QR code sealed; applications only.
        code_n: number of the SMS code that was typed; applications only.
        code_right: the typed SMS code is the one that was issued; applications only. Approval
            codes are judged by the key worker alone.
        attempts: wrong applications already counted for this request and credential.
        daily_attempts: wrong applications of this person today (UTC).
        tries: mistyped confirmations already counted for this request.
        tokens: digests of the key tokens given for this request.
        formats: key token formats that the key manager makes.
        active: the terminal has an active key; requests only.
    """

    now: int
    terminal: VerifiedTerminal | None
    standing: Standing | None
    qr: QrContents | None = None
    code_n: int = 0
    code_right: bool = False
    attempts: int = 0
    daily_attempts: int = 0
    tries: int = 0
    tokens: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    active: bool = False


def opening_check(request: Verified[RequestPayload], facts: Facts) -> Reasons:
    """Check the statement that opens a loading request."""
    return tuple(_opening(request, facts))


def first_check(
    state: CeremonyState, application: Verified[ApplicationPayload], facts: Facts
) -> Reasons:
    """Check an application: number typed = number sealed, right administrator, right code."""
    return tuple(_first(state, application, facts))


def decision_check(
    state: CeremonyState, decision: Verified[DecisionPayload], facts: Facts
) -> Reasons:
    """Check a decision: this terminal's second administrator, about this very application."""
    return tuple(_decision(state, decision, facts))


def second_check(
    state: CeremonyState, confirmation: Verified[ConfirmationPayload], facts: Facts
) -> Reasons:
    """Check a confirmation: same QR code, same administrator, approved, and nothing changed.

    The approval code is not judged here: whoever may call a check may call it again and again.
    The key worker judges it, and counts in a journal of its own.
    """
    return tuple(_second(state, confirmation, facts))


def receipt_check(state: CeremonyState, receipt: Verified[ReceiptPayload], facts: Facts) -> Reasons:
    """Check that a receipt is this terminal's, about a token that it was given."""
    return tuple(_receipt(state, receipt, facts))


def cancellation_check(
    state: CeremonyState, cancellation: Verified[CancellationPayload], facts: Facts
) -> Reasons:
    """Check that a cancellation is by the terminal or one of its administrators."""
    return tuple(_cancellation(state, cancellation, facts))


def is_unexplained(request: RequestPayload, *, active: bool) -> bool:
    """Whether a request is for another key and does not say why.

    The registry's word (`active`: the terminal has an active key) or the EPP's own (it has a key,
    whose KCV it names) is enough to ask for a reason. That the two differ is no ground to refuse:
    after a lost receipt the EPP has a key that nobody confirmed, and a reload is the remedy.
    """
    reloads = active or request.current_kcv is not None
    return reloads and not (request.reload_reason or "").strip()


def is_first(facts: Facts, kid: str) -> bool:
    """Whether this key is the terminal's first administrator's."""
    return facts.standing is not None and facts.standing.first.key.public_key.kid == kid


def is_second(facts: Facts, kid: str) -> bool:
    """Whether this key is the terminal's second administrator's."""
    return facts.standing is not None and facts.standing.second.key.public_key.kid == kid


def is_terminal(facts: Facts, kid: str) -> bool:
    """Whether this key is the terminal's device key."""
    return facts.terminal is not None and facts.terminal.device_key.public_key.kid == kid


def _opening(request: Verified[RequestPayload], facts: Facts) -> Iterator[Reason]:
    if facts.standing is None:
        yield Reason.REGISTRY_INCOMPLETE
        return
    if not is_terminal(facts, request.kid):
        yield Reason.WRONG_SIGNATORY
    if request.payload.terminal_no != facts.standing.terminal.entry.terminal_no:
        yield Reason.WRONG_TERMINAL
    if request.payload.epp_fingerprint != facts.standing.terminal.epp.fingerprint:
        yield Reason.WRONG_EPP
    if not facts.formats.intersection(request.payload.formats):
        yield Reason.FORMAT_UNSUPPORTED
    if is_unexplained(request.payload, active=facts.active):
        yield Reason.RELOAD_REASON_MISSING


def _first(
    state: CeremonyState, application: Verified[ApplicationPayload], facts: Facts
) -> Iterator[Reason]:
    said = application.payload
    if not is_first(facts, application.kid) or said.administrator != state.first_staff_no:
        yield Reason.NOT_FIRST_ADMINISTRATOR
    # Past a limit the code must not be judged any more: the answer would be one more guess.
    if facts.daily_attempts >= DAILY_ATTEMPTS:
        yield Reason.DAILY_ATTEMPTS_EXHAUSTED
        return
    if facts.attempts >= ATTEMPTS:
        yield Reason.ATTEMPTS_EXHAUSTED
        return
    yield from _qr(state, facts)
    if facts.qr is None or said.terminal_no != facts.qr.terminal_no:
        yield Reason.TERMINAL_NUMBER_WRONG
    if said.terminal_no != state.terminal_no:
        yield Reason.WRONG_TERMINAL
    yield from _sms_code(state, facts)
    yield from _registry(state, facts, said.registry_digest, said.epp_fingerprint)
    yield from _expiry(said.iat, said.expires_at, APPLICATION_SECONDS, facts.now)


def _qr(state: CeremonyState, facts: Facts) -> Iterator[Reason]:
    if facts.qr is None or facts.qr.request_id != state.request_id:
        yield Reason.QR_REFUSED
    elif facts.qr.expires_at <= facts.now:
        yield Reason.QR_EXPIRED


def _sms_code(state: CeremonyState, facts: Facts) -> Iterator[Reason]:
    if not 1 <= facts.code_n == len(state.codes_sent_at):
        yield Reason.SMS_CODE_NOT_SENT
    elif facts.now > state.codes_sent_at[-1] + SMS_CODE_SECONDS:
        yield Reason.SMS_CODE_EXPIRED
    if not facts.code_right:
        yield Reason.SMS_CODE_WRONG


def _decision(
    state: CeremonyState, decision: Verified[DecisionPayload], facts: Facts
) -> Iterator[Reason]:
    said = decision.payload
    if not is_second(facts, decision.kid) or said.administrator != state.second_staff_no:
        yield Reason.NOT_SECOND_ADMINISTRATOR
    if said.application_digest != state.application_digest:
        yield Reason.WRONG_APPLICATION
    if said.terminal_no != state.terminal_no:
        yield Reason.WRONG_TERMINAL
    if said.decision == "reject":
        return
    yield from _registry(state, facts, said.registry_digest, said.epp_fingerprint)
    yield from _expiry(said.iat, said.expires_at, APPROVAL_SECONDS, facts.now)
    if state.application_expires_at is None or state.application_expires_at <= facts.now:
        yield Reason.STATEMENT_EXPIRED


def _second(
    state: CeremonyState, confirmation: Verified[ConfirmationPayload], facts: Facts
) -> Iterator[Reason]:
    said = confirmation.payload
    if not is_terminal(facts, confirmation.kid):
        yield Reason.WRONG_SIGNATORY
    if said.terminal_no != state.terminal_no:
        yield Reason.WRONG_TERMINAL
    if said.qr_digest != state.qr_digest:
        yield Reason.QR_REFUSED
    yield from _registry(state, facts, state.registry_digest, said.epp_fingerprint)
    yield from _approval(state, facts.now)
    if state.tries_left == 0 or facts.tries >= CONFIRMATION_TRIES:
        yield Reason.CONFIRMATION_TRIES_EXHAUSTED
        return
    if said.administrator != state.first_staff_no:
        yield Reason.ADMINISTRATOR_WRONG


def _approval(state: CeremonyState, now: int) -> Iterator[Reason]:
    if state.decision_digest is None or state.approval_expires_at is None:
        yield Reason.NOT_APPROVED
    elif state.token_digest is None:
        if state.approval_expires_at <= now:
            yield Reason.APPROVAL_EXPIRED
        if state.application_expires_at is None or state.application_expires_at <= now:
            yield Reason.STATEMENT_EXPIRED
    elif state.rewraps_left == 0:
        yield Reason.REWRAPS_EXHAUSTED


def _receipt(
    state: CeremonyState, receipt: Verified[ReceiptPayload], facts: Facts
) -> Iterator[Reason]:
    said = receipt.payload
    if not is_terminal(facts, receipt.kid):
        yield Reason.WRONG_SIGNATORY
    if said.terminal_no != state.terminal_no:
        yield Reason.WRONG_TERMINAL
    if said.epp_fingerprint != state.epp_fingerprint:
        yield Reason.WRONG_EPP
    if said.token_digest not in facts.tokens:
        yield Reason.TOKEN_UNKNOWN
    if (said.outcome == "loaded") != (said.kcv is not None):
        yield Reason.MALFORMED


def _cancellation(
    state: CeremonyState, cancellation: Verified[CancellationPayload], facts: Facts
) -> Iterator[Reason]:
    kid = cancellation.kid
    if not (is_terminal(facts, kid) or is_first(facts, kid) or is_second(facts, kid)):
        yield Reason.WRONG_SIGNATORY
    if cancellation.payload.terminal_no != state.terminal_no:
        yield Reason.WRONG_TERMINAL


def _registry(
    state: CeremonyState, facts: Facts, registry_digest: str, epp_fingerprint: str
) -> Iterator[Reason]:
    if epp_fingerprint != state.epp_fingerprint:
        yield Reason.WRONG_EPP
    present = facts.standing.registry_digest if facts.standing else None
    if not registry_digest == state.registry_digest == present:
        yield Reason.REGISTRY_CHANGED


def _expiry(iat: int, expires_at: int, longest: int, now: int) -> Iterator[Reason]:
    if expires_at <= now:
        yield Reason.STATEMENT_EXPIRED
    if expires_at > min(iat, now + CLOCK_SKEW_SECONDS) + longest:
        yield Reason.EXPIRY_TOO_LATE
