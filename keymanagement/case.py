"""The case for a release: the statements that a command names, found in the archive by digest.

Nothing is proved here but that each text is the one of its digest; `ceremony.release_rule` does.
"""

from ceremony.messages import ReleaseCommand
from ceremony.reasons import Reason
from ceremony.release_rule import ReleaseRefused, Statements
from ceremony.statements import request_id_of
from ceremony.verification import StatementError, peek
from keymanagement.archive import Archive, ArchivedStatement


def statements_for(command: ReleaseCommand, archive: Archive) -> Statements:
    """Load a command's four statements, what was typed with them, and the QR code's numbers.

    The command's request_id is then that of its `request` statement: whatever is counted for a
    request is counted for the right one.

    Raises:
        ReleaseRefused: if one is missing, filed under another's digest, or lacks what was typed;
            or if the request_id is another's.
    """
    request = _statement(archive, command.request)
    if command.request_id != request_id_of(command.request):
        raise ReleaseRefused(Reason.WRONG_REQUEST)
    application = _statement(archive, command.application)
    confirmation = _statement(archive, command.confirmation)
    if application.qr_n is None or application.qr_expires_at is None:
        raise ReleaseRefused(Reason.QR_REFUSED)
    if application.code is None:
        raise ReleaseRefused(Reason.SMS_CODE_WRONG)
    if confirmation.code is None:
        raise ReleaseRefused(Reason.APPROVAL_CODE_WRONG)
    return Statements(
        request=request.text,
        application=application.text,
        decision=_statement(archive, command.decision).text,
        confirmation=confirmation.text,
        qr_n=application.qr_n,
        qr_expires_at=application.qr_expires_at,
        sms_code=application.code,
        approval_code=confirmation.code,
    )


def _statement(archive: Archive, digest: str) -> ArchivedStatement:
    statement = archive.statement(digest)
    if statement is None:
        raise ReleaseRefused(Reason.STATEMENT_MISSING)
    try:
        claimed = peek(statement.text)
    except StatementError as error:
        raise ReleaseRefused(error.reason) from None
    # Whoever edits the records could file one statement under another's digest.
    if claimed.digest != digest:
        raise ReleaseRefused(Reason.STATEMENT_MISSING)
    return statement
