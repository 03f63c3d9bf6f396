"""Claims about the SMS outbox: what is stored is sealed, and belongs to its step."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.sealedsms import OutboxError, open_message
from gateways.smsoutbox import OutboxGateway

KEY = bytes(range(32))
TO = "+4915112345678"
TEXT = "Keyfill SMS code 918273"


class Rows:
    """Stored rows; the first of a step stays."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def put(self, step: str, sealed: bytes) -> str:
        """Find or create, as the records do."""
        self.stored.setdefault(step, sealed)
        return str(len(self.stored))


def test_a_message_comes_back_as_it_was() -> None:
    """What was sent is what `keyfill sms` shows, and the receipt names the step."""
    rows = Rows()
    receipt = OutboxGateway(rows.put, KEY, clock=lambda: 1_700_000_000.9).send("r/sms/1", TO, TEXT)
    message = open_message(KEY, "r/sms/1", rows.stored["r/sms/1"])
    assert receipt.provider_sid == "outbox:r/sms/1"
    assert (message.to, message.text, message.sent_at) == (TO, TEXT, 1_700_000_000)


def test_a_row_shows_nothing() -> None:
    """Neither the row nor the opened message's representation holds number, text or step."""
    rows = Rows()
    OutboxGateway(rows.put, KEY).send("s", TO, TEXT)
    sealed = rows.stored["s"]
    assert TO.encode() not in sealed
    assert b"918273" not in sealed
    shown = repr(open_message(KEY, "s", sealed))
    assert TO not in shown
    assert "918273" not in shown


def test_the_same_message_never_seals_alike() -> None:
    """Two rows of one message differ in nonce and ciphertext."""
    first, second = Rows(), Rows()
    OutboxGateway(first.put, KEY, clock=lambda: 1).send("s", TO, TEXT)
    OutboxGateway(second.put, KEY, clock=lambda: 1).send("s", TO, TEXT)
    assert first.stored["s"][:12] != second.stored["s"][:12]
    assert first.stored["s"][12:] != second.stored["s"][12:]


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_row_does_not_open(position: int, change: int) -> None:
    """Any changed byte, another step, another key or a cut row: one refusal."""
    rows = Rows()
    OutboxGateway(rows.put, KEY).send("s", TO, TEXT)
    sealed = bytearray(rows.stored["s"])
    whole = bytes(sealed)
    sealed[position % len(sealed)] ^= change
    cut = whole[: position % len(whole)]
    for key, step, row in (
        (KEY, "s", bytes(sealed)),
        (KEY, "t", whole),
        (os.urandom(32), "s", whole),
        (KEY, "s", cut),
    ):
        with pytest.raises(OutboxError) as caught:
            open_message(key, step, row)
        assert caught.value.args == ("outbox-row-refused",)


def test_a_wrong_key_size_is_refused_at_once() -> None:
    """A key that is not 32 bytes is a mistake of configuration, not of a row."""
    with pytest.raises(ValueError, match="32 bytes"):
        OutboxGateway(Rows().put, b"short")


def test_errors_of_the_store_pass_through() -> None:
    """The outbox does not hide a store that fails: the caller may simply repeat."""

    def put(step: str, sealed: bytes) -> str:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        OutboxGateway(put, KEY).send("s", TO, TEXT)
