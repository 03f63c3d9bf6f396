"""What an SMS provider reports of its messages; `app.py` binds the provider."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ceremony.sms import SmsStatus


class CallbackUnauthentic(Exception):
    """A report is not the provider's, or not readable."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """An authentic report: `status` None is one that Keyfill does not keep."""

    provider_sid: str
    status: SmsStatus | None
    error: str | None


class SmsCallbacks(Protocol):
    """Reads a provider's reports."""

    def read(self, fields: Iterable[tuple[str, str]], signature: str | None) -> DeliveryReport:
        """Verify a report's form fields and read it.

        Raises:
            CallbackUnauthentic: if the signature is missing or wrong.
        """
