"""Verifying statements: both signature forms, one function, everything ambiguous refused.

A statement text is either a compact JWS (RFC 7515 section 7.1) or the JSON text of the WebAuthn
form: `typ`, `payload`, `credential_id`, `authenticator_data`, `client_data_json`, `signature`,
all but `typ` as base64url.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

from joserfc import jws
from joserfc.errors import JoseError
from pydantic import ValidationError

from ceremony.approvalkeys import APPROVALS, ApprovalKeys
from ceremony.encoding import (
    MAX_JSON_BYTES,
    EncodingError,
    b64url,
    canonical_json,
    from_b64url,
    strict_json,
)
from ceremony.keys import ALGORITHMS, PASSKEY_ONLY, PublicKey
from ceremony.passkeys import (
    Assertion,
    Attested,
    PasskeyError,
    PasskeyPolicy,
    verify_assertion,
)
from ceremony.reasons import Reason
from ceremony.signing import OneAlgorithm, statement_digest
from ceremony.statements import KIND_OF, PAYLOADS, Kind, Payload

P = TypeVar("P", bound=Payload)

MAX_STATEMENT_CHARS: Final = 32_768
_JWS_PARTS: Final = 3
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_WEBAUTHN: Final = frozenset(
    {"typ", "payload", "credential_id", "authenticator_data", "client_data_json", "signature"}
)


class StatementError(ValueError):
    """A statement is refused; `reason` is the code, and the message holds nothing else.

    `signed_by` is the key id of the signer whose signature holds all the same; None otherwise.
    """

    def __init__(self, reason: Reason, *, signed_by: str | None = None) -> None:
        """Refuse for this reason."""
        super().__init__(reason.value)
        self.reason = reason
        self.signed_by = signed_by


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A key that may sign: `credential_id` (base64url) if it is a passkey's, else None.

    `backup_eligible` is whether its passkey said at the enrolment that it may leave its device.
    """

    public_key: PublicKey
    credential_id: str | None = None
    backup_eligible: bool = False


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a statement claims, before anything is proved: enough to find its signer's key."""

    kind: Kind
    payload: Payload
    digest: str
    kid: str | None
    credential_id: str | None


@dataclass(frozen=True, slots=True)
class Verified(Generic[P]):
    """A statement whose signature holds, by the key `kid`.

    `sign_count` and `backup_eligible` (see `Attested`) are of passkeys only, None otherwise. The
    latter is true also of one that said so at its enrolment.
    """

    payload: P
    digest: str
    kid: str
    text: str
    sign_count: int | None = None
    backup_eligible: bool | None = None

    @property
    def kind(self) -> Kind:
        """The statement's kind."""
        return KIND_OF[type(self.payload)]


@dataclass(frozen=True, slots=True)
class _Parsed:
    kind: Kind
    payload: Payload
    payload_bytes: bytes
    digest: str
    alg: str | None
    kid: str | None
    assertion: Assertion | None


def peek(text: str) -> Unverified:
    """Read what a statement claims, proving nothing.

    Raises:
        StatementError: if it is malformed, too large, or of no known kind.
    """
    parsed = _parse(text)
    return Unverified(
        kind=parsed.kind,
        payload=parsed.payload,
        digest=parsed.digest,
        kid=parsed.kid,
        credential_id=parsed.assertion.credential_id if parsed.assertion else None,
    )


def verify(
    text: str,
    expected: type[P],
    keys: Iterable[EnrolledKey],
    *,
    audience: str,
    passkeys: PasskeyPolicy | None = None,
    decoy: EnrolledKey | None = None,
) -> Verified[P]:
    """Verify a statement of one kind by one of the keys that may sign it.

    Args:
        text: the statement text, in either form.
        expected: the payload class; its kind's `typ` must match exactly.
        keys: every key allowed for this kind; no other is looked at.
        audience: the deployment; `aud` must equal it.
        passkeys: origins, relying party, and which keys may sign approvals; None refuses the
            WebAuthn form, and every approval with it.
        decoy: a key to spend the time of a signature check on where none of `keys` is meant, so
            that the time of a refusal does not tell who is enrolled; it accepts nothing.

    Raises:
        StatementError: with the reason; nothing is ever returned unverified.
    """
    parsed = _parse(text)
    if parsed.kind is not KIND_OF[expected]:
        raise StatementError(Reason.WRONG_TYPE)
    key = _signer(parsed, keys)
    if key is None:
        if decoy is not None:
            with contextlib.suppress(StatementError):
                _verify_signature(text, parsed, decoy.public_key, passkeys)
        raise StatementError(Reason.UNKNOWN_KEY)
    attested = _verify_signature(text, parsed, key.public_key, passkeys)
    if parsed.payload.aud != audience:
        raise StatementError(Reason.WRONG_AUDIENCE)
    # Whoever has a copy says what they like; a passkey's flag never changes (WebAuthn Level 3,
    # section 6.1.3), so what was once said counts on.
    backup_eligible = None if attested is None else attested.backup_eligible or key.backup_eligible
    if parsed.kind in APPROVALS:
        demanded = ApprovalKeys.DEVICE_BOUND_PASSKEYS if passkeys is None else passkeys.approvals
        refusal = demanded.refusal(backup_eligible=backup_eligible)
        if refusal is not None:
            raise StatementError(refusal, signed_by=key.public_key.kid)
    return Verified(
        payload=cast(P, parsed.payload),
        digest=parsed.digest,
        kid=key.public_key.kid,
        text=text,
        sign_count=None if attested is None else attested.sign_count,
        backup_eligible=backup_eligible,
    )


def assertion_text(typ: str, payload: bytes, assertion: Assertion) -> str:
    """Write the WebAuthn form of a statement as its statement text."""
    return canonical_json(
        {
            "typ": typ,
            "payload": b64url(payload),
            "credential_id": assertion.credential_id,
            "authenticator_data": b64url(assertion.authenticator_data),
            "client_data_json": b64url(assertion.client_data_json),
            "signature": b64url(assertion.signature),
        }
    ).decode()


def _parse(text: str) -> _Parsed:
    if len(text) > MAX_STATEMENT_CHARS:
        raise StatementError(Reason.TOO_LARGE)
    try:
        return _parse_assertion(text) if text.startswith("{") else _parse_jws(text)
    except (EncodingError, ValidationError, UnicodeError) as error:
        # The cause is cut: a validation error would repeat the input, and inputs hold secrets.
        del error
        raise StatementError(Reason.MALFORMED) from None


def _parse_jws(text: str) -> _Parsed:
    parts = text.split(".")
    if len(parts) != _JWS_PARTS:
        raise StatementError(Reason.MALFORMED)
    header = strict_json(from_b64url(parts[0]))
    from_b64url(parts[2])
    if set(header) != _HEADER or not all(isinstance(value, str) for value in header.values()):
        raise StatementError(Reason.HEADER_REFUSED)
    if header["alg"] not in ALGORITHMS - PASSKEY_ONLY:
        raise StatementError(Reason.WRONG_ALGORITHM)
    return _read(
        typ=header["typ"],
        payload=from_b64url(parts[1]),
        alg=header["alg"],
        kid=header["kid"],
        assertion=None,
    )


def _parse_assertion(text: str) -> _Parsed:
    members = strict_json(text)
    if set(members) != _WEBAUTHN or not all(isinstance(value, str) for value in members.values()):
        raise StatementError(Reason.MALFORMED)
    from_b64url(members["credential_id"])
    return _read(
        typ=members["typ"],
        payload=from_b64url(members["payload"]),
        alg=None,
        kid=None,
        assertion=Assertion(
            credential_id=members["credential_id"],
            authenticator_data=from_b64url(members["authenticator_data"]),
            client_data_json=from_b64url(members["client_data_json"]),
            signature=from_b64url(members["signature"]),
        ),
    )


def _read(
    *, typ: str, payload: bytes, alg: str | None, kid: str | None, assertion: Assertion | None
) -> _Parsed:
    try:
        kind = Kind.of_typ(typ)
    except ValueError:
        raise StatementError(Reason.WRONG_TYPE) from None
    if len(payload) > MAX_JSON_BYTES:
        raise StatementError(Reason.TOO_LARGE)
    strict_json(payload)
    return _Parsed(
        kind=kind,
        payload=PAYLOADS[kind].model_validate_json(payload),
        payload_bytes=payload,
        digest=statement_digest(typ, payload),
        alg=alg,
        kid=kid,
        assertion=assertion,
    )


def _signer(parsed: _Parsed, keys: Iterable[EnrolledKey]) -> EnrolledKey | None:
    wanted = parsed.assertion.credential_id if parsed.assertion else None
    for key in keys:
        # A passkey's key signs assertions only, so it never verifies a JWS, and vice versa.
        if key.credential_id != wanted:
            continue
        if parsed.assertion is not None or key.public_key.kid == parsed.kid:
            return key
    return None


def _verify_signature(
    text: str, parsed: _Parsed, key: PublicKey, passkeys: PasskeyPolicy | None
) -> Attested | None:
    if parsed.assertion is not None:
        return _verify_passkey(parsed, parsed.assertion, key, passkeys)
    _verify_jws(text, parsed, key)
    return None


def _verify_jws(text: str, parsed: _Parsed, key: PublicKey) -> None:
    if parsed.alg != key.alg:
        raise StatementError(Reason.WRONG_ALGORITHM)
    try:
        verified = jws.deserialize_compact(text, key.verifying_key, registry=OneAlgorithm(key.alg))
    except (JoseError, ValueError) as error:
        raise StatementError(Reason.BAD_SIGNATURE) from error
    if verified.payload != parsed.payload_bytes:
        raise StatementError(Reason.BAD_SIGNATURE)


def _verify_passkey(
    parsed: _Parsed, assertion: Assertion, key: PublicKey, policy: PasskeyPolicy | None
) -> Attested:
    if policy is None:
        raise StatementError(Reason.PASSKEY_REFUSED)
    try:
        return verify_assertion(assertion, digest=parsed.digest, key=key, policy=policy)
    except PasskeyError as error:
        raise StatementError(error.reason) from error
