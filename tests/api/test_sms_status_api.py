"""SMS status: Twilio's callbacks are believed if signed, and change nothing but the display."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio

from api.app import TwilioCallbacks
from ceremony.smscaps import DEFAULT_CAPS
from gateways.twiliocallbacks import TwilioSignature
from records import messages
from records.messages import Recipient
from records.tables.sms_message import SmsStatus
from tests.support.apihouse import House

TOKEN = "f00dfeedf00dfeedf00dfeedf00dfeed"
URL = "https://bank.example/v1/sms/status"
SID = "SM" + "ab" * 16
FORM = {"MessageSid": SID, "MessageStatus": "delivered", "To": "+4915112345678"}


@pytest_asyncio.fixture
async def twilio(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose messages go through Twilio, with one message on its way."""
    house = House.make(tmp_path, sms_callbacks=TwilioCallbacks(TwilioSignature(TOKEN, URL)))
    with house.backstage.database.write() as session:
        to = Recipient("p", "T", "+49••78")
        messages.begin(
            session, "step", request_id="r", purpose="code", to=to, caps=DEFAULT_CAPS, now=1
        )
        messages.finish(session, "step", SmsStatus.SENT, now=2, provider_sid=SID)
    yield house
    await house.close()


def signature(form: dict[str, str]) -> str:
    """Twilio's rule by hand: HMAC-SHA1 over the URL and the sorted fields, base64."""
    text = URL + "".join(name + value for name, value in sorted(form.items()))
    return base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


async def call(house: House, form: dict[str, str], *, signed: str | None) -> httpx.Response:
    """Send a callback."""
    headers = {b"Content-Type": b"application/x-www-form-urlencoded"}
    if signed is not None:
        headers[b"X-Twilio-Signature"] = signed.encode()
    return await house.client.post(
        "/v1/sms/status", content=urlencode(form).encode(), headers=headers
    )


def status(house: House) -> SmsStatus:
    """What is known of the message."""
    with house.backstage.database.read() as session:
        row = messages.message(session, "step")
    assert row is not None
    return row.status


async def test_a_signed_callback_is_recorded(twilio: House) -> None:
    """A signed callback becomes the message's status; a late one does not take it back."""
    assert (await call(twilio, FORM, signed=signature(FORM))).status_code == 204
    assert status(twilio) is SmsStatus.DELIVERED
    older = {**FORM, "MessageStatus": "sent"}
    assert (await call(twilio, older, signed=signature(older))).status_code == 204
    assert status(twilio) is SmsStatus.DELIVERED


@pytest.mark.parametrize("signed", [None, "", "AAAA", "Ä"])
async def test_a_callback_without_its_signature_is_refused(
    twilio: House, signed: str | None
) -> None:
    """No signature, or a wrong one: 403, and nothing is recorded."""
    response = await call(twilio, FORM, signed=signed)
    assert (response.status_code, response.json()["code"]) == (403, "callback-refused")
    assert status(twilio) is SmsStatus.SENT


async def test_a_changed_callback_is_refused(twilio: House) -> None:
    """The signature covers every field."""
    response = await call(twilio, {**FORM, "MessageStatus": "failed"}, signed=signature(FORM))
    assert response.status_code == 403
    assert status(twilio) is SmsStatus.SENT


@pytest.mark.parametrize("content", [b"\xff\xfe=1", b"&".join([b"a=b"] * 200), b""])
async def test_an_unreadable_form_is_refused(twilio: House, content: bytes) -> None:
    """What is no form of a few fields is refused like a wrong signature."""
    response = await twilio.client.post("/v1/sms/status", content=content)
    assert response.status_code == 403


async def test_a_status_that_is_not_kept_changes_nothing(twilio: House) -> None:
    """A status that Keyfill has no word for, or of a message it never sent: 204, and no change."""
    for form in (
        {**FORM, "MessageStatus": "partially_delivered"},
        {**FORM, "MessageSid": "SM" + "cd" * 16},
    ):
        assert (await call(twilio, form, signed=signature(form))).status_code == 204
    assert status(twilio) is SmsStatus.SENT


async def test_without_twilio_there_is_no_such_call(house: House) -> None:
    """Where messages go through another gateway the call is 404."""
    response = await call(house, FORM, signed=signature(FORM))
    assert response.status_code == 404
