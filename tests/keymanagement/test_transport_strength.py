"""A key is never stronger than its transport (design, section 3; issue 2, part 6; issue 5)."""

import pytest

from ceremony.eppcertificate import EppKey
from ceremony.sm2 import Sm2PublicKey
from keymanagement.port import KeyAlgorithm, TransportTooWeak
from keymanagement.strength import require_rsa, require_transport
from tests.support.certificates import rsa_key

UP_TO_112 = {KeyAlgorithm.TDES}
UP_TO_128 = UP_TO_112 | {KeyAlgorithm.AES_128, KeyAlgorithm.SM4}
UP_TO_192 = UP_TO_128 | {KeyAlgorithm.AES_192}
CARRIES: dict[int, set[KeyAlgorithm]] = {
    0: set(),
    512: set(),
    1024: set(),
    2047: set(),
    2048: UP_TO_128,
    3071: UP_TO_128,
    3072: UP_TO_192,
    4095: UP_TO_192,
    4096: set(KeyAlgorithm),
    8192: set(KeyAlgorithm),
}
# GB/T 32918.5: the base point of sm2p256v1, which is a point as good as any
SM2 = Sm2PublicKey(
    bytes.fromhex(
        "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
        "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
    )
)


@pytest.mark.parametrize("bits", CARRIES)
@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_the_table(bits: int, algorithm: KeyAlgorithm) -> None:
    """Each RSA length carries exactly the keys that the table names."""
    if algorithm in CARRIES[bits]:
        require_rsa(algorithm, bits)
    else:
        with pytest.raises(TransportTooWeak):
            require_rsa(algorithm, bits)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
@pytest.mark.parametrize(
    ("key", "carried"), [(rsa_key("strength").public_key(), UP_TO_128), (SM2, UP_TO_128)]
)
def test_a_key_carries_by_its_kind_and_length(
    key: EppKey, carried: set[KeyAlgorithm], algorithm: KeyAlgorithm
) -> None:
    """RSA-2048 carries no AES-192 or AES-256 key; nor does SM2, which is good for 128 bits."""
    if algorithm in carried:
        require_transport(algorithm, key)
    else:
        with pytest.raises(TransportTooWeak):
            require_transport(algorithm, key)
