"""The SMS outbox: the embedded gateway. Messages become sealed rows instead of going out."""

import time
from collections.abc import Callable

from ceremony.sealedsms import KEY_BYTES, OutboxMessage, seal_message
from ceremony.sms import SmsReceipt


class OutboxGateway:
    """Stores each message, sealed, under its step.

    Args:
        put: stores (step, sealed row) and returns the row's id; find-or-create, so that the
            first row of a step stays. Its errors pass through: repeating a send is harmless.
        key: 32 bytes.
        clock: Unix time in seconds.
    """

    repeatable = True

    def __init__(
        self,
        put: Callable[[str, bytes], str],
        key: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("the outbox key must be 32 bytes")
        self._put = put
        self._key = key
        self._clock = clock

    def send(self, step: str, to: str, text: str) -> SmsReceipt:
        """Seal one message and store it; the receipt is `outbox:<step>`, whatever the row's id."""
        message = OutboxMessage(to=to, text=text, sent_at=int(self._clock()))
        self._put(step, seal_message(self._key, step, message))
        return SmsReceipt(f"outbox:{step}")
