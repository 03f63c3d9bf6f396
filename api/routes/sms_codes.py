"""SMS codes: the first administrator asks for one; for anyone else it only looks so."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.authentication import BySession
from api.ceremonies import CeremonyClosed
from api.limits import Scope
from api.parts import Parts, PartsDep
from api.problems import ApiProblem, ApplicationRefused, Refused, WrongStage
from api.qrcodes import live_code
from api.refusals import note_denied
from api.responses import BODY, SESSION, STAGED, TEMPORAL, problems
from api.routes.applications import QR_EXPIRED, REFUSED, ScannedBody
from api.sessionopening import actor_kind_of
from api.signedin import SignedIn
from api.wire import UnixSeconds
from ceremony.checks import RESEND_SECONDS, SMS_CODE_SECONDS
from ceremony.codes import MAX_CODES
from ceremony.messages import CodeRequest
from ceremony.reasons import Reason
from ceremony.sms import mask_number
from ceremony.stages import Stage
from records import audit, coderequests, projection
from records.coderequests import CodeGranted, CodesExhausted, CodeTooEarly
from records.standing import verified_terminal
from records.tables.loading_request import LoadingRequestRow

router = APIRouter(prefix="/v1/applications/sms-codes", tags=["applications"])


class SmsCodeSent(BaseModel):
    """An SMS code is on its way to the number in the registry: the `n`th of this request."""

    sent_to: Annotated[str, Field(description="Masked.", examples=["+49•••••••••78"])]
    n: Annotated[int, Field(ge=1, le=MAX_CODES, examples=[1])]
    expires_at: UnixSeconds
    resend_after: UnixSeconds


@router.post(
    "",
    status_code=202,
    summary="Ask for an SMS code",
    responses=problems(
        BODY, SESSION, REFUSED, {403: ("sms-codes-exhausted",)}, STAGED, QR_EXPIRED, TEMPORAL
    ),
)
async def ask_for_code(body: ScannedBody, signed_in: BySession, parts: PartsDep) -> SmsCodeSent:
    """Send an SMS code to the terminal's first administrator; `resend_after` ends a pause.

    It sends nothing, and looks the same, for anyone else: the number shown is the asker's own.
    """
    await parts.limits.admit(Scope.SMS_CODES, signed_in.counted)
    try:
        _, contents = live_code(parts, body.qr_text)
        row = await parts.database.run(_awaiting, parts, contents.request_id)
        asked, is_first = await parts.database.run(_ask, parts, signed_in, row)
        # Also when it was asked for a moment ago: an outage may have swallowed that signal, and
        # the workflow drops a repeat.
        if is_first:
            await _tell(parts, row, asked.n)
        else:
            # So that a stranger waits, and meets an outage, just as the administrator does.
            await parts.ceremonies.ready()
    except ApiProblem as problem:
        await note_denied(parts, signed_in, "sms-code-refused", problem.reason)
        raise
    return SmsCodeSent(
        sent_to=mask_number(signed_in.number),
        n=asked.n,
        expires_at=asked.requested_at + SMS_CODE_SECONDS,
        resend_after=asked.resend_at,
    )


def _awaiting(parts: Parts, request_id: str) -> LoadingRequestRow:
    with parts.database.read() as session:
        row = projection.find(session, request_id)
    if row is None:
        raise ApplicationRefused(Reason.WRONG_REQUEST)
    if row.stage is not Stage.AWAITING_APPLICATION:
        raise WrongStage(row.stage)
    return row


def _ask(
    parts: Parts, signed_in: SignedIn, row: LoadingRequestRow
) -> tuple[CodeGranted | CodeTooEarly, bool]:
    now = parts.now()
    with parts.database.write() as session:
        terminal = verified_terminal(session, parts.trust, row.terminal_no, now=now)
        is_first = terminal is not None and terminal.entry.first == signed_in.person
        asked = coderequests.ask(
            session,
            row.request_id,
            signed_in.person,
            now=now,
            resend_after=RESEND_SECONDS,
            limit=MAX_CODES,
        )
        if isinstance(asked, CodesExhausted):
            raise Refused("sms-codes-exhausted")
        if isinstance(asked, CodeGranted):
            audit.write(
                session,
                "sms-code-asked",
                at=now,
                actor_kind=actor_kind_of(signed_in.roles),
                actor=signed_in.staff_no,
                request_id=row.request_id,
                terminal_no=row.terminal_no,
                reason=None if is_first else Reason.NOT_FIRST_ADMINISTRATOR,
                detail={"n": asked.n},
            )
    return asked, is_first


async def _tell(parts: Parts, row: LoadingRequestRow, n: int) -> None:
    try:
        await parts.ceremonies.ask_code(
            row.terminal_no, CodeRequest(request_id=row.request_id, n=n)
        )
    except CeremonyClosed:
        raise WrongStage(row.stage) from None
