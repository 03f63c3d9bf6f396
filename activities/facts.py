"""Facts: everything outside a statement that its check needs, found in the records."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from ceremony.checks import Facts
from ceremony.codes import MAX_CODES, CodeBook, EdgeSeal, TypedCode
from ceremony.names import TOKEN_FORMATS
from ceremony.qr import QrContents
from ceremony.reasons import Reason
from ceremony.standing import Standing
from ceremony.state import CeremonyState
from ceremony.statements import PAYLOADS, Kind
from ceremony.trust import Trust
from ceremony.verification import EnrolledKey, StatementError, Verified, verify
from records import attempts, keystore
from records.standing import Present
from records.tables.submission import SubmissionRow


class FactFinder:
    """Verifies stored statements again, and finds the facts that their checks need."""

    def __init__(self, trust: Trust, codes: CodeBook, edge: EdgeSeal) -> None:
        """Bind the trust file and the secrets that SMS codes are recomputed with."""
        self.trust = trust
        self._codes = codes
        self._edge = edge

    def prove(self, submission: SubmissionRow, present: Present) -> Verified[Any]:
        """Verify a stored statement by the keys that the registry allows for its kind now.

        Raises:
            StatementError: if none of them signed it, or it is not the one of its digest.
        """
        proved = verify(
            submission.statement,
            PAYLOADS[submission.kind],
            signers(submission.kind, present),
            audience=self.trust.audience,
            passkeys=self.trust.passkeys,
        )
        # Whoever edits the records could file one statement under another's digest.
        if proved.digest != submission.digest:
            raise StatementError(Reason.STATEMENT_MISSING)
        return proved

    def gather(
        self,
        session: Session,
        submission: SubmissionRow,
        present: Present,
        state: CeremonyState | None,
    ) -> Facts:
        """Find the facts for one statement; `state` is None for the one that opens a request."""
        facts = Facts(
            now=submission.received_at,
            terminal=present.terminal,
            standing=present.standing,
            formats=frozenset(TOKEN_FORMATS),
        )
        if state is None:
            active = keystore.active_key(session, submission.terminal_no)
            return replace(facts, active=active is not None)
        return Facts(
            now=facts.now,
            terminal=facts.terminal,
            standing=facts.standing,
            formats=facts.formats,
            qr=_scanned(submission),
            code_n=submission.code_n or 0,
            code_right=present.standing is not None
            and self._sms_code_right(submission, present.standing, state.request_id),
            attempts=attempts.used(session, attempts_scope(state.request_id, submission)),
            daily_attempts=attempts.used(session, daily_scope(submission)),
            tries=attempts.used(session, tries_scope(state.request_id)),
            tokens=frozenset(
                token.token_digest for token in keystore.tokens_of(session, state.request_id)
            ),
        )

    def _sms_code_right(
        self, submission: SubmissionRow, standing: Standing, request_id: str
    ) -> bool:
        if submission.kind is not Kind.APPLICATION:
            return False
        if submission.code_mac is None or submission.code_n is None:
            return False
        typed = TypedCode(submission.code_n, submission.code_mac)
        if not 1 <= typed.n <= MAX_CODES:
            return False
        code = self._codes.sms_code(standing.code_scope(request_id), typed.n)
        return self._edge.matches(typed, "sms", request_id, submission.digest, code)


def signers(kind: Kind, present: Present) -> Iterable[EnrolledKey]:
    """The keys that may sign a statement of this kind about a terminal."""
    device = [present.terminal.device_key] if present.terminal else []
    people = [present.standing.first.key, present.standing.second.key] if present.standing else []
    match kind:
        case Kind.REQUEST | Kind.CONFIRMATION | Kind.RECEIPT:
            return device
        case Kind.APPLICATION | Kind.DECISION:
            return people
        case Kind.CANCELLATION:
            return device + people
    return []


def attempts_scope(request_id: str, submission: SubmissionRow) -> str:
    """Counts wrong applications of one credential in one request."""
    return f"request/{request_id}/{submission.signer_kid}"


def daily_scope(submission: SubmissionRow) -> str:
    """Counts wrong applications of one person in one day (UTC), whatever the credential."""
    day = datetime.fromtimestamp(submission.received_at, UTC).strftime("%Y%m%d")
    return f"day/{submission.person or submission.signer_kid}/{day}"


def tries_scope(request_id: str) -> str:
    """Counts mistyped confirmations of one request."""
    return f"confirmation/{request_id}"


def _scanned(submission: SubmissionRow) -> QrContents | None:
    match submission:
        case SubmissionRow(
            qr_request_id=str(request_id),
            qr_terminal_no=str(terminal_no),
            qr_n=int(n),
            qr_expires_at=int(expires_at),
        ):
            return QrContents(request_id, terminal_no, n, expires_at)
    return None
