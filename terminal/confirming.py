"""Confirming an approved application: at the terminal, with what the administrator types there."""

from typing import Final

from ceremony.encoding import from_b64, sha256_hex
from ceremony.reasons import Reason
from ceremony.stages import OPEN, Stage
from ceremony.statements import ConfirmationPayload
from terminal.epperrors import EppCode
from terminal.loadsession import LoadSession
from terminal.loadstate import Approval
from terminal.receiving import write_receipt
from terminal.transport import ServerRefused

MISTYPED: Final = frozenset({Reason.ADMINISTRATOR_WRONG.value, Reason.APPROVAL_CODE_WRONG.value})
"""Refusals after which the administrator may type again."""


class UnknownQr(Exception):
    """The accepted application rests on a QR code that this terminal did not show.

    Either the state file was lost, or somebody else's screen showed a code for this terminal;
    nothing is confirmed.
    """


def confirm(session: LoadSession) -> None:
    """Send the confirmation on record, or make one; a key token is on record afterwards.

    While nobody types, the stage is read again instead: it may have ended elsewhere. A
    confirmation that the server refuses leaves the next step to the stage that it reports.

    Raises:
        NoInput: nobody types the approval code.
        UnknownQr: see there.
        ServerRefused: the server refused for a reason that typing again does not mend.
    """
    approval = _approval(session)
    if approval is None:
        session.refresh(wait=0)
        return
    statement = _statement(session, approval)
    session.kiosk.tell("confirmation", administrator=approval.administrator)
    started = session.monotonic()
    try:
        answer = session.client.confirmation(session.request_id, statement, approval.code)
    except ServerRefused as error:
        _refused(session, error)
        return
    milliseconds = round((session.monotonic() - started) * 1000)
    session.save(
        stage=answer.stage,
        token=answer.token,
        token_digest=sha256_hex(from_b64(answer.token.value)),
    )
    session.kiosk.tell(
        "token",
        format=answer.token.format,
        key_algorithm=answer.token.key_algorithm,
        milliseconds=milliseconds,
    )


def _approval(session: LoadSession) -> Approval | None:
    if session.state.approval is not None:
        return session.state.approval
    approval = session.kiosk.ask_approval(session.problem)
    if approval is None:
        return None
    session.problem = None
    session.save(approval=approval, confirmation=None)
    return approval


def _statement(session: LoadSession, approval: Approval) -> str:
    if session.state.confirmation is not None:
        return session.state.confirmation
    statement = session.sign(
        ConfirmationPayload,
        request_id=session.request_id,
        administrator=approval.administrator,
        epp_fingerprint=session.terminal.epp.fingerprint,
        qr_digest=_scanned_qr(session),
        krd_nonce=session.terminal.epp.start_key_exchange().hex(),
    )
    session.save(confirmation=statement, token=None)
    return statement


def _scanned_qr(session: LoadSession) -> str:
    shown, named = session.state.shown, session.state.qr_digest
    if not shown or (named is not None and named not in shown):
        raise UnknownQr("the application rests on a QR code that this terminal did not show")
    return named or shown[-1]


def _refused(session: LoadSession, error: ServerRefused) -> None:
    before = session.state.stage
    if error.code in MISTYPED:
        session.save(mistyped=session.state.mistyped + 1)
    session.refresh(wait=0)
    if session.state.stage not in OPEN:
        return
    if error.code in MISTYPED:
        session.problem = error.code
        session.save(approval=None, confirmation=None)
    elif before is Stage.AWAITING_RECEIPT and session.state.token_digest is not None:
        # Wrapped as often as may be, and still the EPP has no key: the server must hear of it.
        write_receipt(session, error=EppCode.RANDOM_INVALID)
    elif session.state.stage is before:
        raise error
