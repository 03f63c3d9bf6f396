"""A key is never stronger than its transport: which TMK an EPP's key may carry.

NIST SP 800-57 part 1 rev. 5, section 5.6.1.1 (table 2) puts RSA-2048 at 112 bits, as it does
three-key TDES, and RSA-3072 at 128. PCI PIN and P2PE allow RSA-2048 to carry an AES-128 key in
remote key loading (P2PE v3.1 domain 5, annex C). The design takes that one step as its scale:
RSA-2048 carries TDES and AES-128, RSA-3072 AES-192, RSA-4096 AES-256; below 2048, nothing. By
NIST's table alone the last two are weaker than what they carry; what the scale keeps is that a
longer key always needs a longer transport, and no EPP has RSA-15360.

SM4 counts as AES-128: 128 bits. So does SM2, whose curve has 256 (table 2 again): it carries keys
of up to 128 bits.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ceremony.eppcertificate import EppKey
from keymanagement.port import KeyAlgorithm, TransportTooWeak

LEAST_RSA_BITS: Final[Mapping[KeyAlgorithm, int]] = MappingProxyType(
    {
        KeyAlgorithm.TDES: 2048,
        KeyAlgorithm.AES_128: 2048,
        KeyAlgorithm.AES_192: 3072,
        KeyAlgorithm.AES_256: 4096,
        KeyAlgorithm.SM4: 2048,
    }
)
SM2_CARRIES: Final = frozenset({KeyAlgorithm.TDES, KeyAlgorithm.AES_128, KeyAlgorithm.SM4})


def require_transport(algorithm: KeyAlgorithm, key: EppKey) -> None:
    """Pass only if an EPP's key may carry a key of `algorithm`.

    Raises:
        TransportTooWeak: if it may not.
    """
    if isinstance(key, RSAPublicKey):
        require_rsa(algorithm, key.key_size)
    elif algorithm not in SM2_CARRIES:
        raise TransportTooWeak(f"SM2 does not carry {algorithm}")


def require_rsa(algorithm: KeyAlgorithm, rsa_bits: int) -> None:
    """Pass only if an RSA key of `rsa_bits` (modulus length) may carry a key of `algorithm`.

    Raises:
        TransportTooWeak: if it may not.
    """
    if rsa_bits < LEAST_RSA_BITS[algorithm]:
        raise TransportTooWeak(
            f"RSA-{rsa_bits} does not carry {algorithm}: RSA-{LEAST_RSA_BITS[algorithm]} does"
        )
