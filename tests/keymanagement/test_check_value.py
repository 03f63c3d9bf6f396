"""Key check values: published vectors, and two implementations of our own that agree."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from terminal.eppkeys import check_value, cmac_subkey

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "check-values.json").read_text()
)


def _ecb(key: bytes, block: bytes) -> bytes:
    return Cipher(AES(key), ECB()).encryptor().update(block)  # noqa: S305 - the form to tell apart


@pytest.mark.parametrize("row", VECTORS["check_values"], ids=lambda row: row["kcv"])
def test_published_check_values(row: dict[str, str]) -> None:
    """Every published key has its published KCV."""
    algorithm = KeyAlgorithm(row["algorithm"])
    assert key_check_value(algorithm, bytes.fromhex(row["key"])) == row["kcv"]


@pytest.mark.parametrize("row", VECTORS["cmac_subkeys"], ids=lambda row: row["algorithm"])
def test_the_published_subkeys_give_the_check_value(row: dict[str, str]) -> None:
    """The KCV is the encryption of the subkey that NIST prints, for each AES key length."""
    key, subkey = bytes.fromhex(row["key"]), bytes.fromhex(row["k1"])
    assert cmac_subkey(key) == subkey
    assert key_check_value(KeyAlgorithm(row["algorithm"]), key) == _ecb(key, subkey)[:3].hex()


def test_an_aes_check_value_is_not_the_ecb_form() -> None:
    """The same key has 08793e by CMAC and e5e07c by ECB; only the first is ever given."""
    key = bytes.fromhex("3f419e1cb7079442aa37474c2efbf8b8")
    assert _ecb(key, bytes(16))[:3].hex() == "e5e07c"
    assert key_check_value(KeyAlgorithm.AES_128, key) == "08793e"
    assert check_value("AES-128", key) == "08793e"


@given(
    st.sampled_from(list(KeyAlgorithm)).flatmap(
        lambda algorithm: st.tuples(
            st.just(algorithm),
            st.binary(min_size=algorithm.key_bytes, max_size=algorithm.key_bytes),
        )
    )
)
def test_server_and_terminal_agree(case: tuple[KeyAlgorithm, bytes]) -> None:
    """The server's and the terminal's implementation give one value for any key."""
    algorithm, key = case
    assert key_check_value(algorithm, key) == check_value(algorithm.value, key)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
@pytest.mark.parametrize("length", [0, 8, 15, 17, 31, 33])
def test_a_key_of_another_length_has_no_check_value(algorithm: KeyAlgorithm, length: int) -> None:
    """A length that is not the algorithm's is refused, not padded."""
    with pytest.raises(ValueError, match="length"):
        key_check_value(algorithm, bytes(length))
