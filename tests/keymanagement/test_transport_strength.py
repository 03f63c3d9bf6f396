"""A key is never stronger than its transport (design, section 3; issue 2, part 6)."""

import pytest

from keymanagement.port import KeyAlgorithm, TransportTooWeak
from keymanagement.strength import require_transport, strongest_for

CARRIES = {
    1024: set(),
    2047: set(),
    2048: {KeyAlgorithm.TDES, KeyAlgorithm.AES_128},
    3071: {KeyAlgorithm.TDES, KeyAlgorithm.AES_128},
    3072: {KeyAlgorithm.TDES, KeyAlgorithm.AES_128, KeyAlgorithm.AES_192},
    4095: {KeyAlgorithm.TDES, KeyAlgorithm.AES_128, KeyAlgorithm.AES_192},
    4096: set(KeyAlgorithm),
    8192: set(KeyAlgorithm),
}


@pytest.mark.parametrize("bits", CARRIES)
@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_the_table(bits: int, algorithm: KeyAlgorithm) -> None:
    """Each RSA length carries exactly the keys that the table names."""
    if algorithm in CARRIES[bits]:
        require_transport(algorithm, bits)
    else:
        with pytest.raises(TransportTooWeak):
            require_transport(algorithm, bits)


@pytest.mark.parametrize(
    ("bits", "algorithm"),
    [
        (2048, KeyAlgorithm.AES_128),
        (3072, KeyAlgorithm.AES_192),
        (4096, KeyAlgorithm.AES_256),
    ],
)
def test_the_strongest_aes_key_of_a_transport(bits: int, algorithm: KeyAlgorithm) -> None:
    """The strongest key named for a transport is one that it may carry."""
    assert strongest_for(bits) is algorithm
    require_transport(strongest_for(bits), bits)


def test_a_short_transport_carries_nothing() -> None:
    """Under RSA-2048 there is no strongest key."""
    with pytest.raises(TransportTooWeak):
        strongest_for(2047)
