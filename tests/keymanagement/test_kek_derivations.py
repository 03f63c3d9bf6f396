"""What lies under the KEK, opened a second time from the documented layout alone.

A host's copy and a KCV digest outlive the software that made them: a label, a length or a code
that changed would leave every key of the bank unreadable after an upgrade.
"""

import hmac
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import psec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ceremony import sealedsms
from keymanagement import journalrows, port
from keymanagement.hostcopy import HostCopies
from keymanagement.kcvseal import KcvSeal, SealedKcvInvalid
from keymanagement.port import KeyAlgorithm, KeyBinding

KEK = bytes(range(32))
REQUEST_ID = "A" * 24
BINDING = KeyBinding("ATM-0001", REQUEST_ID)
CODES = {one: {"TDES": "T", "SM4": "4"}.get(one, "A") for one in KeyAlgorithm}
UNPRINTED = {"block", "host_block", "kcv", "to", "value"}


def derived(purpose: bytes) -> bytes:
    """HKDF (RFC 5869, SHA-256, no salt), one block, label `keyfill/kek/1/<purpose>`."""
    extracted = hmac.digest(bytes(32), KEK, "sha256")
    return hmac.digest(extracted, b"keyfill/kek/1/" + purpose + b"\x01", "sha256")


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_hosts_copy_has_the_documented_layout(algorithm: KeyAlgorithm) -> None:
    """An X9.143 block of version D under a derived key; another implementation opens it."""
    key = bytes(range(algorithm.key_bytes))
    block = HostCopies(KEK).seal(key, algorithm, BINDING)
    header, opened = psec.tr31.unwrap(derived(b"host-copy-block"), block.decode())
    assert (opened, str(header)[5:12]) == (key, f"K1{CODES[algorithm]}E00E")
    assert header.blocks["LB"] == f"{REQUEST_ID} ATM-0001"


def test_a_kcv_at_rest_is_bound_to_its_request() -> None:
    """A nonce of 12 bytes, then AES-256-GCM with the request_id as associated data."""
    sealed = KcvSeal(KEK).seal(REQUEST_ID, "0a1b2c")
    opened = AESGCM(derived(b"kcv-seal")).decrypt(sealed[:12], sealed[12:], REQUEST_ID.encode())
    assert opened == b"0a1b2c"
    assert KcvSeal(KEK).open(REQUEST_ID, sealed) == "0a1b2c"


@pytest.mark.parametrize("length", [0, 1, 7, 11, 12, 20, 27])
def test_a_kcv_cut_short_is_refused_as_any_other(length: int) -> None:
    """However much of it is left, the answer is the one error."""
    with pytest.raises(SealedKcvInvalid):
        KcvSeal(KEK).open(REQUEST_ID, KcvSeal(KEK).seal(REQUEST_ID, "0a1b2c")[:length])


def test_a_release_record_commits_to_the_kcv_by_a_keyed_digest() -> None:
    """HMAC-SHA256 over `request_id.kcv` under a key of its own, so guessing 2**24 is no use."""
    message = f"{REQUEST_ID}.0a1b2c".encode()
    expected = hmac.digest(derived(b"kcv-digest"), message, "sha256").hex()
    assert KcvSeal(KEK).digest(REQUEST_ID, "0a1b2c") == expected


def records_of(module: ModuleType) -> list[type[Any]]:
    """The records that a module defines."""
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__ and is_dataclass(one)
    ]


@pytest.mark.parametrize(
    "record",
    [*records_of(port), *records_of(journalrows), *records_of(sealedsms)],
    ids=lambda one: one.__name__,
)
def test_no_record_prints_a_key_a_kcv_or_a_number(record: type[Any]) -> None:
    """Design, section 9: a representation reaches logs and tracebacks."""
    made = object.__new__(record)
    for field in fields(record):
        object.__setattr__(made, field.name, f"<{field.name}>")
    unprinted = UNPRINTED | ({"text"} if record is sealedsms.OutboxMessage else set())
    assert not any(f"<{name}>" in repr(made) for name in unprinted)
