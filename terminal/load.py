"""One load as a resumable procedure: do what the stage asks for, and store it before saying it.

The server's stage is the truth; the state file holds what this terminal said and was given. After
a restart the same statements go out again. Only an EPP that lost its nonce with the power makes
the terminal say something new: a second confirmation, which the server answers by wrapping the
same key again.
"""

from dataclasses import dataclass
from typing import Final

from ceremony.stages import Stage
from ceremony.statements import CancellationPayload
from terminal.client import KeyfillClient
from terminal.confirming import confirm
from terminal.loadsession import LoadSession, Terminal
from terminal.opening import open_request
from terminal.receiving import acknowledge_key, hand_in_receipt, import_token, key_is_in

POLL_SECONDS: Final = 15
"""How long one long poll lasts: short enough to replace a QR code well before it expires."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a load ended; `kcv` is the EPP's, `server_kcv` the server's, None where there is none."""

    stage: Stage
    reason: str | None
    kcv: str | None
    server_kcv: str | None


def perform(session: LoadSession) -> Ending:
    """Perform a load, or go on with the one on record, until the loading request has ended.

    The caller reports the ending and then calls `report`; before that, another run gives it again.

    Raises:
        ServerRefused: the server refused what neither waiting nor typing again mends.
        ServerUnavailable: it did not answer for too long; run again.
        AnswerMalformed: it answered what the contract does not know.
        NoInput: nobody typed the approval code; run again.
        UnknownQr: the application rests on a QR code that this terminal did not show.
        EppStoreError: the EPP's memory is damaged.
    """
    if session.state.request_id is not None and not session.state.ended:
        session.kiosk.tell("resumed", request_id=session.request_id)
        session.refresh(wait=0)
    while not session.state.ended:
        _next_step(session)
    if session.state.reason is None:
        # It ended in the very answer that said so, which does not tell why.
        session.refresh(wait=0)
    state = session.state
    if state.stage is Stage.LOADED and state.server_kcv is None and state.receipt is not None:
        # A restart after the receipt arrived: the same receipt fetches the answer again.
        hand_in_receipt(session)
        state = session.state
    if state.stage is None:
        raise RuntimeError("a load cannot end without a stage")
    return Ending(state.stage, state.reason, state.kcv, state.server_kcv)


def report(session: LoadSession) -> None:
    """Note that the ending was told: the next run performs another load."""
    session.save(reported=True)


def cancel(
    terminal: Terminal, client: KeyfillClient, request_id: str, *, now: int, reason: str | None
) -> Stage:
    """Cancel a loading request; returns the stage that it is in then.

    Raises:
        ServerRefused: the request has ended, or a key was released already.
        ServerUnavailable: the server did not answer for too long.
    """
    statement = terminal.sign(
        CancellationPayload,
        now=now,
        request_id=request_id,
        reason_code="cancelled-at-terminal",
        reason=reason,
    )
    return client.cancellation(request_id, statement).stage


def _next_step(session: LoadSession) -> None:
    state = session.state
    match state.stage:
        case None:
            open_request(session)
        case Stage.AWAITING_APPLICATION:
            session.refresh(wait=session.until_renewal(POLL_SECONDS))
        case Stage.AWAITING_REVIEW:
            session.refresh(wait=POLL_SECONDS)
        case Stage.AWAITING_RECEIPT if state.receipt is not None:
            hand_in_receipt(session)
        case Stage.AWAITING_RECEIPT if state.token_digest is not None and key_is_in(session):
            acknowledge_key(session)
        case Stage.AWAITING_RECEIPT if state.token is not None:
            import_token(session, state.token)
        case _:
            confirm(session)
