"""The software key manager: keys are made and wrapped in this process.

For development, tests and sites without an HSM. Whoever is root on its host can read a key while
it is being wrapped (docs/threat-model.md). A clear TMK is a local of one method at a time and
never an attribute, an argument of anything logged, or part of an exception; Python cannot wipe
`bytes`, so the design's promise is "microseconds", not "erased".
"""

import os
from typing import Protocol

from ceremony.encoding import sha256_hex
from keymanagement.checkvalue import key_check_value
from keymanagement.gm.keytoken import Sm2Signer
from keymanagement.hostcopy import HostCopies
from keymanagement.oaepjws import TokenSigner
from keymanagement.port import (
    CreatedKey,
    FormatUnsupported,
    KeyAlgorithm,
    KeyBinding,
    KeyToken,
    KeyUsage,
    TokenTerms,
)
from keymanagement.strength import require_transport
from keymanagement.tdeskey import random_tdes_key
from keymanagement.tokenformat import (
    REACH,
    GmEnvelopeFormat,
    OaepJwsFormat,
    TokenFormat,
    Tr34Format,
)
from keymanagement.tr34.identity import CmsSigner
from keymanagement.transport import transport_of
from keymanagement.uniqueness import KeyUniqueness


class KdhSigner(TokenSigner, CmsSigner, Protocol):
    """The KDH as the tokens of every format need it."""


class SoftwareKeyManager:
    """Answers `keymanagement.port.KeyManager` with the `cryptography` library."""

    __slots__ = ("_copies", "_formats", "_signer", "_uniqueness")

    def __init__(
        self,
        kek: bytes,
        signer: KdhSigner,
        sm2_signer: Sm2Signer | None = None,
        *,
        former: tuple[bytes, ...] = (),
    ) -> None:
        """Take the KEK (32 random bytes) and the KDH that signs tokens.

        `gm-envelope` is offered only with the KDH's SM2 identity. Host's copies under one of the
        `former` KEKs are still opened.

        Raises:
            KekInvalid: if a KEK has another length.
        """
        self._copies = HostCopies(kek, *former)
        self._signer = signer
        self._uniqueness = KeyUniqueness(kek)
        formats: list[TokenFormat] = [
            Tr34Format(signer, signer.not_after),
            OaepJwsFormat(signer),
        ]
        if sm2_signer is not None:
            formats.append(GmEnvelopeFormat(sm2_signer))
        self._formats = {one.name: one for one in formats}

    def formats_for(self, algorithm: KeyAlgorithm) -> tuple[str, ...]:
        """The formats that carry the algorithm; see the port."""
        return tuple(name for name in self._formats if algorithm in REACH[name].algorithms)

    def create(
        self, algorithm: KeyAlgorithm, binding: KeyBinding, usage: KeyUsage = "K1"
    ) -> CreatedKey:
        """Make a key from the operating system's generator; see the port."""
        key = _random_key(algorithm)
        return CreatedKey(
            self._copies.seal(key, algorithm, binding, usage),
            key_check_value(algorithm, key),
            self._uniqueness.of(key),
        )

    def make_token(
        self,
        block: bytes,
        algorithm: KeyAlgorithm,
        binding: KeyBinding,
        terms: TokenTerms,
        token_format: str,
    ) -> KeyToken:
        """Wrap the key to the EPP; see the port."""
        chosen = self._formats.get(token_format)
        if chosen is None:
            raise FormatUnsupported(f"this key manager makes {', '.join(self._formats)} only")
        epp, epp_key = transport_of(binding, terms)
        if not REACH[chosen.name].takes(epp_key):
            raise FormatUnsupported(f"an EPP with this key does not open {chosen.name}")
        require_transport(algorithm, epp_key)
        key = self._copies.open(block, algorithm, binding)
        value = chosen.compose(key, algorithm, terms, epp, epp_key)
        return KeyToken(chosen.name, value, algorithm, sha256_hex(value))

    def kcv(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> str:
        """Compute the KCV of the key in a host's copy; see the port."""
        return key_check_value(algorithm, self._copies.open(block, algorithm, binding))

    def forget(self, binding: KeyBinding) -> None:
        """Do nothing: the host's copy is all there is; see the port."""

    def __repr__(self) -> str:
        """Name the KDH by its thumbprint, nothing else."""
        return f"SoftwareKeyManager(kdh={self._signer.thumbprint})"


def _random_key(algorithm: KeyAlgorithm) -> bytes:
    if algorithm is KeyAlgorithm.TDES:
        return random_tdes_key()
    return os.urandom(algorithm.key_bytes)
