"""The trust file: what a deployment believes before it has read a single row.

Root-owned and read-only to the services, never in the database. It pins the feed keys, the
officers and their threshold, the EPP roots, and the lowest `seq` that still counts.
"""

from functools import cached_property
from typing import Annotated, Final, Self

from cryptography import x509
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from ceremony.approvalkeys import ApprovalKeys
from ceremony.encoding import EncodingError, strict_json
from ceremony.keys import PASSKEY_ONLY, KeyRefused, PublicKey
from ceremony.passkeys import PasskeyPolicy
from ceremony.statements import Name, PublicJwk
from ceremony.verification import EnrolledKey

MIN_THRESHOLD: Final = 2
MAX_COOLING_OFF: Final = 7 * 86_400
"""Seconds; a change that takes longer than a week is not waited for but worked around."""


class TrustError(ValueError):
    """The trust file cannot be used; the message says what to mend."""


class Officer(BaseModel):
    """One who may enrol administrators: a name for people, a key for the machine."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: Name
    key: PublicJwk


class Trust(BaseModel):
    """A deployment's pinned keys and names.

    `audience` is the deployment's name in every statement; `origin` the one web origin
    (scheme, host, port) of QR codes and passkeys; `rp_id` the WebAuthn relying party.
    `cooling_off_seconds` is how long a change of an administrator waits before it grants anything.
    What the
    deployment demands of the keys that sign approvals is a setting of each process, not the
    file's, and goes wherever the trust goes.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    audience: Annotated[str, Field(min_length=1, max_length=100)]
    origin: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")]
    rp_id: Annotated[str, Field(min_length=1, max_length=253)]
    feed_keys: Annotated[tuple[PublicJwk, ...], Field(min_length=1)]
    officers: tuple[Officer, ...]
    officer_threshold: Annotated[int, Field(ge=MIN_THRESHOLD)]
    epp_roots: Annotated[tuple[str, ...], Field(min_length=1)]
    lowest_seq: Annotated[int, Field(ge=0)] = 0
    cooling_off_seconds: Annotated[int, Field(ge=0, le=MAX_COOLING_OFF)] = 0
    _approvals: ApprovalKeys = PrivateAttr(default=ApprovalKeys.ANY)

    @classmethod
    def read(cls, text: str | bytes, *, approvals: ApprovalKeys = ApprovalKeys.ANY) -> Self:
        """Read a trust file's JSON.

        Args:
            text: the file.
            approvals: what the keys that sign approvals must be. Whoever verifies approvals reads
                the file through the settings (`Settings.read_trust`), which say so.

        Raises:
            TrustError: if it is malformed, a key is refused, two officers share a key, or fewer
                officers are named than the threshold needs.
        """
        try:
            strict_json(text)
            trust = cls.model_validate_json(text)
        except EncodingError as error:
            raise TrustError(f"trust file: {error}") from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise TrustError(f"trust file: {where or 'content'}: {first['msg']}") from None
        trust._approvals = approvals
        return trust

    @model_validator(mode="after")
    def _check(self) -> Self:
        kids = [key.public_key.kid for key in self.officer_keys]
        if len(set(kids)) != len(kids):
            raise ValueError("two officers share a key")
        if len(kids) < self.officer_threshold:
            raise ValueError("fewer officers than the threshold")
        if {key.public_key.kid for key in self.feed} & set(kids):
            raise ValueError("a feed key is also an officer's key")
        if not self.roots:
            raise ValueError("no EPP root")
        return self

    @cached_property
    def feed(self) -> tuple[EnrolledKey, ...]:
        """The ATM back office's feed keys."""
        return tuple(_enrolled(key) for key in self.feed_keys)

    @cached_property
    def officer_keys(self) -> tuple[EnrolledKey, ...]:
        """The officers' keys."""
        return tuple(_enrolled(officer.key) for officer in self.officers)

    @cached_property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """The EPP roots: certificates whose keys may issue EPP certificates directly."""
        try:
            return tuple(x509.load_pem_x509_certificate(pem.encode()) for pem in self.epp_roots)
        except ValueError as error:
            raise ValueError("an EPP root is not a PEM certificate") from error

    @property
    def passkeys(self) -> PasskeyPolicy:
        """Relying party and exact origin for passkeys, and which keys may sign approvals."""
        return PasskeyPolicy(rp_id=self.rp_id, origins=(self.origin,), approvals=self._approvals)


def _enrolled(jwk: PublicJwk) -> EnrolledKey:
    if jwk.alg in PASSKEY_ONLY:
        raise ValueError("this algorithm is for passkeys only")
    try:
        return EnrolledKey(PublicKey.from_jwk(jwk.members()))
    except KeyRefused as error:
        raise ValueError(str(error)) from error
