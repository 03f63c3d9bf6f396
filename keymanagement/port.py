"""The key manager port: what Keyfill asks of whatever makes and wraps terminal master keys.

The clear key never crosses this port, in either direction: a key goes out as the host's copy
(a key block that only the same key manager opens) or as a key token (that only one EPP opens).
The software manager answers it here, an HSM behind PKCS#11 answers it elsewhere.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal, Protocol

from ceremony.reasons import Reason


class KeyManagementError(Exception):
    """The key worker refuses or cannot go on; messages never hold key material.

    `reason` is the reason code where the refusal is a business outcome, None where it is a fault
    of configuration or storage.
    """

    reason: ClassVar[Reason | None] = None


class KeyAlgorithm(StrEnum):
    """What a TMK is for. TDES is the three-key form (NIST SP 800-67 rev. 2 keying option 1)."""

    AES_128 = "AES-128"
    AES_192 = "AES-192"
    AES_256 = "AES-256"
    TDES = "TDES"

    @property
    def key_bytes(self) -> int:
        """Length of the key in bytes; for TDES with its parity bits."""
        match self:
            case KeyAlgorithm.AES_128:
                return 16
            case KeyAlgorithm.AES_192 | KeyAlgorithm.TDES:
                return 24
            case KeyAlgorithm.AES_256:
                return 32


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """The one terminal and the one loading request that a key belongs to, for ever."""

    terminal_no: str
    request_id: str


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """What a key token says beside the key.

    `epp_certificate_der` holds the transport key and `epp_fingerprint` is its SHA-256 as
    lower-case hex; `krd_nonce` is the EPP's, 16 bytes as lower-case hex; times are Unix seconds.
    The caller has verified the certificate's chain and validity; a key manager checks only that
    the fingerprint is this certificate's, and that its key may carry the TMK.
    """

    request_id: str
    terminal_no: str
    epp_certificate_der: bytes = field(repr=False)
    epp_fingerprint: str
    krd_nonce: str
    issued_at: int
    expires_at: int
    key_usage: Literal["K1"] = "K1"


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key: the host's copy (opaque to all but its key manager) and the KCV, 6 hex digits.

    The KCV stays inside the server until a receipt (design, section 9): it is not in the repr.
    """

    block: bytes = field(repr=False)
    kcv: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyToken:
    """A TMK encrypted to one EPP and signed by the KDH.

    `value` is what travels; `digest` is its SHA-256 as lower-case hex.
    """

    format: str
    value: bytes = field(repr=False)
    key_algorithm: KeyAlgorithm
    digest: str


class HostCopyInvalid(KeyManagementError):
    """A host's copy was changed, belongs to another binding or algorithm, or to another KEK."""


class TermsRefused(KeyManagementError):
    """The terms of a token contradict the binding, their certificate or themselves."""


class TransportTooWeak(KeyManagementError):
    """The EPP's key may not carry a key of this strength."""

    reason = Reason.KEY_TOO_STRONG


class FormatUnsupported(KeyManagementError):
    """The key manager does not make this token format."""

    reason = Reason.FORMAT_UNSUPPORTED


class KeyManager(Protocol):
    """Makes, wraps and checks TMKs; every implementation keeps the clear key to itself.

    All errors are `KeyManagementError`s. Calls are synchronous and may be made from any thread.
    """

    def formats_for(self, algorithm: KeyAlgorithm) -> tuple[str, ...]:
        """The token formats in which `make_token` carries keys of an algorithm, best first."""
        ...

    def create(self, algorithm: KeyAlgorithm, binding: KeyBinding) -> CreatedKey:
        """Make a new random key and return the host's copy, bound to `binding` and algorithm."""
        ...

    def make_token(
        self,
        block: bytes,
        algorithm: KeyAlgorithm,
        binding: KeyBinding,
        terms: TokenTerms,
        token_format: str,
    ) -> KeyToken:
        """Wrap the key in `block` to the EPP of `terms`; different bytes at every call.

        Raises:
            HostCopyInvalid: if `block` is not this key manager's for this binding and algorithm.
            TermsRefused: if the terms contradict the binding or their certificate.
            TransportTooWeak: if the EPP's key is weaker than the rule in `strength` asks, or the
                format's own transport is.
            FormatUnsupported: if it makes no `token_format` at all.
        """
        ...

    def kcv(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> str:
        """Compute the KCV of the key in `block`: 6 lower-case hex digits.

        Raises:
            HostCopyInvalid: as for `make_token`.
        """
        ...
