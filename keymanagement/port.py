"""The key manager port: what Keyfill asks of whatever makes and wraps terminal master keys.

The clear key never crosses this port, in either direction: a key goes out as the host's copy
(a key block that only the same key manager opens) or as a key token (that only one EPP opens).
The software manager answers it here, an HSM behind PKCS#11 answers it elsewhere.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from ceremony.reasons import Reason
from keymanagement.algorithm import KeyAlgorithm as KeyAlgorithm  # noqa: PLC0414 - for callers
from keymanagement.tr34.form import TokenForm

KeyUsage = Literal["K1", "K0"]
"""`K1` protects key blocks; `K0`, by policy, wraps keys without one (ANSI X9.143)."""


class KeyManagementError(Exception):
    """The key worker refuses or cannot go on; messages never hold key material.

    `reason` is the reason code where the refusal is a business outcome, None where it is a fault
    of configuration or storage.
    """

    reason: ClassVar[Reason | None] = None


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
    the fingerprint is this certificate's, and that its key may carry the TMK. `key_usage` and
    `form`, how a `tr34` token is written, are the policy's for the terminal's model.
    """

    request_id: str
    terminal_no: str
    epp_certificate_der: bytes = field(repr=False)
    epp_fingerprint: str
    krd_nonce: str
    issued_at: int
    expires_at: int
    key_usage: KeyUsage = "K1"
    form: TokenForm = field(default_factory=TokenForm)


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key: the host's copy (opaque to all but its key manager) and the KCV, 6 hex digits.

    The KCV stays inside the server until a receipt (design, section 9): it is not in the repr.
    `uniqueness` are the 32 bytes of a keyed one-way function (HMAC-SHA-256, its key known to the
    key manager only) over the key's value alone: the same for the same key, whatever its binding
    or algorithm, so that the journal can refuse a key that was made before. It is computed where
    the clear key is, and a KCV of three bytes could not stand in for it.
    """

    block: bytes = field(repr=False)
    kcv: str = field(repr=False)
    uniqueness: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyToken:
    """A TMK encrypted to one EPP and signed by the KDH.

    `value` is what travels; `digest` is its SHA-256 as lower-case hex.
    """

    format: str
    value: bytes = field(repr=False)
    key_algorithm: KeyAlgorithm
    digest: str


@dataclass(frozen=True, slots=True)
class ExportedKey:
    """A key wrapped for the ATM back office: the block (ASCII), its SHA-256 as lower-case hex.

    `check` is the check value of the key that the block is under, 10 upper-case hex digits.
    """

    block: bytes = field(repr=False)
    digest: str
    check: str


class HostCopyInvalid(KeyManagementError):
    """A host's copy was changed, belongs to another binding or algorithm, or to another KEK."""


class HostCopyForeign(HostCopyInvalid):
    """A host's copy is no block of this key manager's: a former version or another made it."""


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

    def create(
        self, algorithm: KeyAlgorithm, binding: KeyBinding, usage: KeyUsage = "K1"
    ) -> CreatedKey:
        """Make a new random key and return the host's copy, bound to `binding` and algorithm.

        A host's copy that says what its key is for says `usage`.
        """
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
            FormatUnsupported: if it makes no `token_format` at all, or none that carries a key of
                `algorithm` or that this EPP opens (`keymanagement.tokenformat`).
        """
        ...

    def kcv(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> str:
        """Compute the KCV of the key in `block`: 6 lower-case hex digits.

        Raises:
            HostCopyInvalid: as for `make_token`.
        """
        ...

    def forget(self, binding: KeyBinding) -> None:
        """Destroy whatever this key manager itself still holds of a binding's key; repeatable.

        The caller erases the host's copy. Where that is all there is, nothing is left to do; a
        module that keeps an object of the key destroys it.
        """
        ...
