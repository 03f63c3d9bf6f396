"""Where a statement belongs: to the loading request in the path, and to its rightful signer.

Unknown ids and ids of others get the same 404; the audit trail is told which it was.
"""

from typing import TypeVar

from sqlmodel import Session

from api.enrolled import Signed
from api.problems import NotAuthenticated, NotFound, Refused
from api.signedin import SignedIn
from ceremony.reasons import Reason
from ceremony.statements import RequestBound
from records import projection
from records.tables.loading_request import LoadingRequestRow

P = TypeVar("P", bound=RequestBound)


def of_terminal(session: Session, signed: Signed[P], request_id: str) -> LoadingRequestRow:
    """The loading request of a statement that its own terminal signed about it.

    Raises:
        ApiProblem: 404 or 403.
    """
    row = projection.find(session, request_id)
    if row is None:
        raise NotFound
    if signed.terminal_no != row.terminal_no:
        raise NotFound(Reason.WRONG_SIGNATORY)
    return _about(row, signed)


def of_administrator(
    session: Session, signed: Signed[P], request_id: str, signed_in: SignedIn | None
) -> LoadingRequestRow:
    """The loading request of a statement that one of its administrators signed, in their session.

    Raises:
        ApiProblem: 401, 403 or 404.
    """
    check_own_session(signed, signed_in)
    row = projection.find(session, request_id)
    if row is None:
        raise NotFound
    if signed.person is None or signed.person.entry.person not in (
        row.first_person,
        row.second_person,
    ):
        raise NotFound(Reason.WRONG_SIGNATORY)
    return _about(row, signed)


def check_own_session(signed: Signed[P], signed_in: SignedIn | None) -> None:
    """Check that a statement came in its signer's own session.

    Raises:
        NotAuthenticated: in none.
        Refused: in another's.
    """
    if signed_in is None:
        raise NotAuthenticated
    if signed.person is None or signed.person.entry.person != signed_in.person:
        raise Refused("not-your-session", reason=Reason.WRONG_SIGNATORY)


def _about(row: LoadingRequestRow, signed: Signed[P]) -> LoadingRequestRow:
    if signed.payload.request_id != row.request_id:
        raise Refused(Reason.WRONG_REQUEST)
    if signed.payload.terminal_no != row.terminal_no:
        raise Refused(Reason.WRONG_TERMINAL)
    return row
