"""Claims about a sealed SMS: its layout, what opens it, and that a refusal carries nothing."""

import json

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ceremony.sealedsms import OutboxError, OutboxMessage, open_message, seal_message

KEY = bytes(range(32))
MESSAGE = OutboxMessage(to="+8613800138000", text="code 918273", sent_at=1_800_000_000)
LABEL = b"keyfill.sms-outbox.1\x00step-1"


def sealed_as(plain: bytes) -> bytes:
    """What a writer of rows who had the key could put in place of a message."""
    return bytes(12) + AESGCM(KEY).encrypt(bytes(12), plain, LABEL)


def test_a_row_has_the_documented_layout() -> None:
    """A nonce of 12 bytes, never the same, then AES-256-GCM with label and step bound to it."""
    sealed = seal_message(KEY, "step-1", MESSAGE)
    opened = AESGCM(KEY).decrypt(sealed[:12], sealed[12:], LABEL)
    assert opened == b'{"sent_at":1800000000,"text":"code 918273","to":"+8613800138000"}'
    assert seal_message(KEY, "step-1", MESSAGE)[:12] != sealed[:12]
    assert open_message(KEY, "step-1", sealed_as(opened)) == MESSAGE


def test_only_its_key_and_step_open_a_row() -> None:
    """A row that was moved, cut or changed is refused, always in the same words."""
    sealed = seal_message(KEY, "step-1", MESSAGE)
    assert open_message(KEY, "step-1", sealed) == MESSAGE
    for key, step, row in (
        (bytes(32), "step-1", sealed),
        (KEY, "step-2", sealed),
        *((KEY, "step-1", sealed[:length]) for length in (0, 7, 12, 27, len(sealed) - 1)),
    ):
        with pytest.raises(OutboxError, match=r"\Aoutbox-row-refused\Z"):
            open_message(key, step, row)


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"[]",
        b'{"to":"a","text":"b"}',
        b'{"to":"a","text":"b","sent_at":null}',
        b'{"to":"a","text":"b","sent_at":"noon"}',
        b'{"to":"a","text":"b","sent_at":1,"sent_at":2}',
        b'"\xff"',
    ],
)
def test_a_row_that_holds_no_message_is_refused_unseen(plain: bytes) -> None:
    """What a JSON reader complains of would carry the text with it."""
    with pytest.raises(OutboxError) as refusal:
        open_message(KEY, "step-1", sealed_as(plain))
    assert refusal.value.__cause__ is refusal.value.__context__ is None


def test_members_are_read_as_what_they_are() -> None:
    """Two texts and a whole number of seconds, however they were written."""
    opened = open_message(KEY, "step-1", sealed_as(json.dumps(ODD).encode()))
    assert opened == OutboxMessage(to="1", text="2", sent_at=3)


ODD = {"to": 1, "text": 2, "sent_at": "3"}


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    """A shorter AES key would work, and would not be what the contract says."""
    with pytest.raises(ValueError, match="32 bytes"):
        seal_message(bytes(length), "step-1", MESSAGE)
    with pytest.raises(ValueError, match="32 bytes"):
        open_message(bytes(length), "step-1", seal_message(KEY, "step-1", MESSAGE))


def test_a_message_prints_neither_number_nor_text() -> None:
    """Its representation may reach a log; only the time is in it."""
    assert repr(MESSAGE) == "OutboxMessage(sent_at=1800000000)"
