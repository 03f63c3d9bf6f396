"""Opening a loading request, or joining the one that the server has open for this terminal."""

from typing import Final

from ceremony.reasons import Reason
from ceremony.statements import RequestPayload
from terminal.epperrors import EppError
from terminal.loadsession import LoadSession
from terminal.transport import ServerRefused

CHALLENGE_TRIES: Final = 3
"""How often a request is signed anew because its challenge grew old before it arrived."""


def open_request(session: LoadSession) -> None:
    """Send the `request` statement on record, or sign one; the stage is known afterwards.

    Raises:
        ServerRefused: the server opens no loading request for this terminal; nothing is on
            record then.
    """
    for tries_left in reversed(range(CHALLENGE_TRIES)):
        if session.state.request is None:
            session.save(request=_signed_request(session))
        try:
            _send(session, session.state.request or "")
            return
        except ServerRefused as error:
            session.save(request=None)
            if error.code != Reason.CHALLENGE_REFUSED or not tries_left:
                raise


def _signed_request(session: LoadSession) -> str:
    return session.sign(
        RequestPayload,
        epp_fingerprint=session.terminal.epp.fingerprint,
        formats=session.terminal.profile.formats,
        challenge=session.client.challenge(),
        current_kcv=_current_kcv(session),
        reload_reason=session.reload_reason,
    )


def _send(session: LoadSession, statement: str) -> None:
    session.kiosk.tell("request")
    opened = session.client.request(statement)
    if opened.request_id != session.state.request_id:
        session.begin(request=statement)
    session.save(
        request_id=opened.request_id,
        status_token=opened.status_token,
        stage=opened.stage,
        version=0,
    )
    session.tell_stage(None)
    session.show(opened.qr)


def _current_kcv(session: LoadSession) -> str | None:
    try:
        return session.terminal.epp.generate_kcv().key_check_value
    except EppError:
        return None
