"""Twilio's status callbacks (`POST /v1/sms/status`): whether one is authentic, and what it says."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from twilio.request_validator import RequestValidator

from ceremony.sms import SmsStatus

_SID: Final = re.compile(r"[A-Z]{2}[0-9A-Za-z]{1,62}\Z")
_ERROR_CODE: Final = re.compile(r"[0-9]{1,6}\Z")

# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
_STATUSES: Final[Mapping[str, SmsStatus]] = MappingProxyType(
    {
        "accepted": SmsStatus.SENT,
        "scheduled": SmsStatus.SENT,
        "queued": SmsStatus.SENT,
        "sending": SmsStatus.SENT,
        "sent": SmsStatus.SENT,
        "delivered": SmsStatus.DELIVERED,
        "read": SmsStatus.DELIVERED,
        "undelivered": SmsStatus.UNDELIVERED,
        "failed": SmsStatus.FAILED,
        "canceled": SmsStatus.FAILED,
    }
)


class CallbackRefused(Exception):
    """A status callback is not Twilio's, or not readable; it never says which of its parts."""

    def __init__(self) -> None:
        """Refuse, always in the same words."""
        super().__init__("callback-refused")


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What an authentic callback says: `status` None is one that Keyfill does not keep.

    `error` is Twilio's error code in digits. A report may be old or a replay: store it through
    `ceremony.sms.later_status`, and let nothing but the display depend on it.
    """

    provider_sid: str
    status: SmsStatus | None
    error: str | None


class _Form:
    """Form fields for Twilio's validator, which asks a multi-value form with `getlist`."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name, []).append(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def getlist(self, name: str) -> list[str]:
        return self._values[name]

    def only(self, name: str) -> str | None:
        values = self._values.get(name, [])
        return values[0] if len(values) == 1 else None


class TwilioSignature:
    """Verifies `X-Twilio-Signature` (HMAC-SHA1 over URL and form) for one configured URL.

    Args:
        auth_token: the account's auth token; an API key's secret does not sign callbacks.
        url: the exact public URL that Twilio was given, whatever a proxy made of the request.

    Source: https://www.twilio.com/docs/usage/security#validating-requests
    """

    def __init__(self, auth_token: str, url: str) -> None:
        self._validator = RequestValidator(auth_token)  # type: ignore[no-untyped-call]
        self._url = url

    def verify(self, fields: Iterable[tuple[str, str]], signature: str | None) -> DeliveryReport:
        """Verify a callback and read it.

        Args:
            fields: all form fields, decoded, in any order.
            signature: the header's value, None if it is missing.

        Raises:
            CallbackRefused: missing or wrong signature, or no readable message id and status.
        """
        form = _Form(fields)
        # A missing header would be a TypeError in Twilio's validator: it is compared like a
        # wrong one, so that both refusals look and last the same.
        given = signature if signature is not None and signature.isascii() else ""
        authentic = self._validator.validate(self._url, form, given)  # type: ignore[no-untyped-call]
        if not authentic:
            raise CallbackRefused
        sid, status = form.only("MessageSid"), form.only("MessageStatus")
        if sid is None or status is None or not _SID.match(sid):
            raise CallbackRefused
        error = form.only("ErrorCode")
        return DeliveryReport(
            provider_sid=sid,
            status=_STATUSES.get(status),
            error=error if error is not None and _ERROR_CODE.match(error) else None,
        )
