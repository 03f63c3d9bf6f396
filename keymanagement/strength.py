"""A key is never stronger than its transport: which TMK an EPP's RSA key may carry.

NIST SP 800-57 part 1 rev. 5, section 5.6.1.1 (table 2) puts RSA-2048 at 112 bits, as it does
three-key TDES, and RSA-3072 at 128. PCI PIN and P2PE allow RSA-2048 to carry an AES-128 key in
remote key loading (P2PE v3.1 domain 5, annex C). The design takes that one step as its scale:
RSA-2048 carries TDES and AES-128, RSA-3072 AES-192, RSA-4096 AES-256; below 2048, nothing. By
NIST's table alone the last two are weaker than what they carry; what the scale keeps is that a
longer key always needs a longer transport, and no EPP has RSA-15360.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from keymanagement.port import KeyAlgorithm, TransportTooWeak

LEAST_RSA_BITS: Final[Mapping[KeyAlgorithm, int]] = MappingProxyType(
    {
        KeyAlgorithm.TDES: 2048,
        KeyAlgorithm.AES_128: 2048,
        KeyAlgorithm.AES_192: 3072,
        KeyAlgorithm.AES_256: 4096,
    }
)


def require_transport(algorithm: KeyAlgorithm, rsa_bits: int) -> None:
    """Pass only if an RSA key of `rsa_bits` (modulus length) may carry a key of `algorithm`.

    Raises:
        TransportTooWeak: if it may not.
    """
    if rsa_bits < LEAST_RSA_BITS[algorithm]:
        raise TransportTooWeak(
            f"RSA-{rsa_bits} does not carry {algorithm}: RSA-{LEAST_RSA_BITS[algorithm]} does"
        )


def strongest_for(rsa_bits: int) -> KeyAlgorithm:
    """Name the strongest AES key that an RSA key of `rsa_bits` may carry.

    Raises:
        TransportTooWeak: if it may carry none.
    """
    for algorithm in (KeyAlgorithm.AES_256, KeyAlgorithm.AES_192, KeyAlgorithm.AES_128):
        if rsa_bits >= LEAST_RSA_BITS[algorithm]:
            return algorithm
    raise TransportTooWeak(f"RSA-{rsa_bits} carries no key")
