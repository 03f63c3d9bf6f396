"""SMS status: what the provider says became of a message. Nothing but the display rests on it."""

from urllib.parse import parse_qsl

from fastapi import APIRouter, Request

from api.authentication import Anyone
from api.parts import Parts, PartsDep
from api.problems import NotFound, Refused
from api.responses import DATABASE, problems
from api.smscallbacks import CallbackUnauthentic, DeliveryReport
from records import messages
from records.tables.sms_message import SmsStatus

router = APIRouter(prefix="/v1/sms/status", tags=["sms"])

MAX_FIELDS = 100

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "MessageSid": {"type": "string"},
                        "MessageStatus": {"type": "string"},
                        "ErrorCode": {"type": "string"},
                    },
                    "required": ["MessageSid", "MessageStatus"],
                },
                "example": {"MessageSid": "SM0123456789", "MessageStatus": "delivered"},
            }
        },
    },
    "parameters": [
        {
            "name": "X-Twilio-Signature",
            "in": "header",
            "required": True,
            "schema": {"type": "string"},
        }
    ],
}


@router.post(
    "",
    status_code=204,
    summary="Report a message's status",
    openapi_extra=_FORM,
    responses=problems(
        {403: ("callback-refused",), 404: ("not-found",), 413: ("body-too-large",)}, DATABASE
    ),
)
async def report_status(request: Request, _caller: Anyone, parts: PartsDep) -> None:
    """Take Twilio's status callback; 404 where another gateway sends the messages.

    The signature covers the public URL that Twilio was configured with. It holds no time, so
    reports may be old or repeated: a status only ever moves forward.
    """
    if parts.sms_callbacks is None:
        raise NotFound
    body = await request.body()
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        report = parts.sms_callbacks.read(fields, request.headers.get("x-twilio-signature"))
    except (CallbackUnauthentic, ValueError):
        raise Refused("callback-refused") from None
    if report.status is not None:
        await parts.database.run(_record, parts, report, SmsStatus(report.status.value))


def _record(parts: Parts, report: DeliveryReport, status: SmsStatus) -> None:
    with parts.database.write() as session:
        messages.delivery(session, report.provider_sid, status, now=parts.now(), error=report.error)
