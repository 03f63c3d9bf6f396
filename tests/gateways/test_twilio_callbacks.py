"""Claims about the signature of Twilio's status callbacks."""

import base64
import hashlib
import hmac

import pytest

from ceremony.sms import SmsStatus
from gateways.twiliocallbacks import CallbackRefused, DeliveryReport, TwilioSignature

TOKEN = "f00dfeedf00dfeedf00dfeedf00dfeed"
URL = "https://bank.example/v1/sms/status"
SID = "SM" + "ab" * 16
FORM = [
    ("MessageSid", SID),
    ("MessageStatus", "delivered"),
    ("To", "+4915112345678"),
    ("AccountSid", "AC" + "0" * 32),
]


def signature(form: list[tuple[str, str]], token: str = TOKEN, url: str = URL) -> str:
    """Twilio's rule by hand: HMAC-SHA1 over the URL and the sorted fields, base64."""
    text = url + "".join(name + value for name, value in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def test_twilios_published_example_is_authentic() -> None:
    """The worked example of Twilio's security page passes the signature check.

    https://www.twilio.com/docs/usage/security, with auth token 12345, also in the tests of
    Twilio's helper libraries. It is about a call, so a message's fields are added to read it.
    """
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]
    assert signature(form, "12345", url) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    form += [("MessageSid", SID), ("MessageStatus", "sent")]
    report = TwilioSignature("12345", url).verify(form, signature(form, "12345", url))
    assert report.provider_sid == SID


@pytest.mark.parametrize(
    ("reported", "kept"),
    [
        ("queued", SmsStatus.SENT),
        ("sent", SmsStatus.SENT),
        ("delivered", SmsStatus.DELIVERED),
        ("undelivered", SmsStatus.UNDELIVERED),
        ("failed", SmsStatus.FAILED),
        ("partially_delivered", None),
    ],
)
def test_an_authentic_callback_is_read(reported: str, kept: SmsStatus | None) -> None:
    """A callback gives the message's SID, a status that Keyfill keeps or none, and the error."""
    form = [("ErrorCode", "30003"), ("MessageSid", SID), ("MessageStatus", reported)]
    report = TwilioSignature(TOKEN, URL).verify(form, signature(form))
    assert report == DeliveryReport(SID, kept, "30003")


def test_the_order_of_fields_does_not_matter() -> None:
    """The signature is over sorted fields, so any order of them verifies."""
    assert TwilioSignature(TOKEN, URL).verify(FORM[::-1], signature(FORM)).provider_sid == SID


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "ü",
        "A" * 28,
        signature(FORM, token="another"),
        signature(FORM, url="http://bank.example/v1/sms/status"),
        signature(FORM)[:-1],
        signature([*FORM, ("x", "y")]),
    ],
)
def test_every_other_signature_gets_the_same_refusal(given: str | None) -> None:
    """A missing, empty, foreign or shortened signature: one error, one wording, no TypeError."""
    with pytest.raises(CallbackRefused) as caught:
        TwilioSignature(TOKEN, URL).verify(FORM, given)
    assert caught.value.args == ("callback-refused",)


@pytest.mark.parametrize(
    "form",
    [
        [],
        [("MessageStatus", "sent")],
        [("MessageSid", SID)],
        [("MessageSid", SID), ("MessageSid", SID + "x"), ("MessageStatus", "sent")],
        [("MessageSid", SID), ("MessageStatus", "sent"), ("MessageStatus", "delivered")],
        [("MessageSid", "'; DROP TABLE"), ("MessageStatus", "sent")],
    ],
)
def test_a_signed_but_unreadable_form_is_refused(form: list[tuple[str, str]]) -> None:
    """Even under a right signature there is exactly one SID and one status, or nothing."""
    with pytest.raises(CallbackRefused):
        TwilioSignature(TOKEN, URL).verify(form, signature(form))


def test_an_odd_error_code_is_dropped() -> None:
    """An error that is no number of Twilio's is not kept."""
    form = [("ErrorCode", "to +4915112345678"), ("MessageSid", SID), ("MessageStatus", "failed")]
    assert TwilioSignature(TOKEN, URL).verify(form, signature(form)).error is None
