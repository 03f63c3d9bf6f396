"""The published examples of SM2, SM3 and SM4, through the very functions that tokens use."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SM3, Hash

from ceremony.sm2 import Sm2PublicKey
from keymanagement.algorithm import KeyAlgorithm
from keymanagement.checkvalue import key_check_value
from keymanagement.gm import sm2 as sending
from keymanagement.tr34.der import integer, octets, sequence
from terminal.eppkeys import check_value
from terminal.gm.refusal import GmRefused, Rule
from terminal.gm.sm2 import Sm2PrivateKey, require_signed

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "gm.json").read_text())


def octets_of(vector: dict[str, str], name: str) -> bytes:
    """A vector's member."""
    return bytes.fromhex(vector[name])


def number(vector: dict[str, str], name: str) -> bytes:
    """A vector's member as an INTEGER."""
    return integer(int(vector[name], 16))


def sm2_cipher(vector: dict[str, str]) -> bytes:
    """The encryption example as SM2Cipher, DER."""
    hashed, text = octets_of(vector, "hash"), octets_of(vector, "cipher")
    return sequence(number(vector, "x"), number(vector, "y"), octets(hashed), octets(text))


def test_the_signature_example_verifies_on_both_sides() -> None:
    """GB/T 32918.5 annex A: server and terminal accept it, and not over another message."""
    vector = VECTORS["sm2_signature"]
    signature = sequence(number(vector, "r"), number(vector, "s"))
    key, message = Sm2PublicKey(octets_of(vector, "public_key")), octets_of(vector, "message")
    key.verify(signature, message)
    require_signed(key.point, message, signature)
    with pytest.raises(InvalidSignature):
        key.verify(signature, message + b"!")
    with pytest.raises(GmRefused) as refused:
        require_signed(key.point, message + b"!", signature)
    assert refused.value.rule is Rule.SIGNATURE


def test_the_encryption_example_opens() -> None:
    """GB/T 32918.5 annex C: the terminal opens it with the example's private key."""
    vector = VECTORS["sm2_encryption"]
    key = Sm2PrivateKey(octets_of(vector, "private_key"))
    assert key.opened(sm2_cipher(vector)) == octets_of(vector, "message")


def test_what_the_server_encrypts_and_signs_the_terminal_reads() -> None:
    """The example's key pair serves our own encryption and signature, new ones each time."""
    vector = VECTORS["sm2_signature"]
    key, secret = Sm2PublicKey(octets_of(vector, "public_key")), octets_of(vector, "private_key")
    first, second = sending.encrypt(key, b"sixteen bytes ..."), sending.encrypt(key, b"the other")
    assert Sm2PrivateKey(secret).opened(first) == b"sixteen bytes ..."
    assert Sm2PrivateKey(secret).opened(second) == b"the other"
    signatures = {sending.sign(secret, key, b"a message") for _ in range(4)}
    assert len(signatures) == 4
    for one in signatures:
        require_signed(key.point, b"a message", one)


@pytest.mark.parametrize("vector", VECTORS["sm3"], ids=lambda one: one["source"])
def test_sm3(vector: dict[str, str]) -> None:
    """GB/T 32905's examples."""
    digest = Hash(SM3())
    digest.update(octets_of(vector, "message"))
    assert digest.finalize() == octets_of(vector, "digest")


def test_sm4() -> None:
    """GB/T 32907's first example."""
    vector = VECTORS["sm4"]
    cipher = Cipher(SM4(octets_of(vector, "key")), ECB())  # noqa: S305 - one block
    encryptor = cipher.encryptor()
    assert encryptor.update(octets_of(vector, "block")) == octets_of(vector, "ciphertext")


def test_the_sm4_check_value_is_the_encryption_of_a_zero_block() -> None:
    """Server and terminal give one value, which is not the CMAC that AES keys have."""
    vector = VECTORS["sm4_check_value"]
    key = octets_of(vector, "key")
    assert key_check_value(KeyAlgorithm.SM4, key) == vector["kcv"] == check_value("SM4", key)
    with pytest.raises(ValueError, match="length"):
        key_check_value(KeyAlgorithm.SM4, key[:15])


@pytest.mark.parametrize("member", ["x", "y", "hash", "cipher"])
def test_a_changed_example_does_not_open(member: str) -> None:
    """A point off the curve, another hash, another ciphertext: nothing comes out."""
    vector = dict(VECTORS["sm2_encryption"])
    changed = bytearray(octets_of(vector, member))
    changed[-1] ^= 1
    vector[member] = changed.hex()
    with pytest.raises(GmRefused) as refused:
        Sm2PrivateKey(octets_of(vector, "private_key")).opened(sm2_cipher(vector))
    assert refused.value.rule is Rule.UNOPENED
