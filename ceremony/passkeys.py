"""Passkeys: verifying a WebAuthn assertion as the signature of a statement.

The assertion's challenge is the statement digest (32 bytes), so the authenticator signs this
statement and no other (W3C Web Authentication Level 3, section 7.2). User verification is
required, the origin must be listed exactly, and a cross-origin frame is refused. A passkey that
says it is backed up (flag BS) and never could be (no flag BE) is malformed (section 6.1.3).
"""

from dataclasses import dataclass
from typing import Final

from webauthn import verify_authentication_response
from webauthn.helpers import encode_cbor
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    CredentialDeviceType,
)

from ceremony.approvalkeys import ApprovalKeys
from ceremony.encoding import EncodingError, from_b64url, from_hex, strict_json
from ceremony.keys import PublicKey
from ceremony.reasons import Reason

_COSE_ALGORITHM: Final = {"ES256": -7, "EdDSA": -8, "PS256": -37, "RS256": -257}


class PasskeyError(ValueError):
    """An assertion does not prove the statement; `reason` says why in one code."""

    def __init__(self, reason: Reason) -> None:
        """Refuse for this reason."""
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PasskeyPolicy:
    """Which relying party and which exact origins may ask for an assertion, and whose approves.

    `approvals` is what the deployment demands of the keys that sign approvals.
    """

    rp_id: str
    origins: tuple[str, ...]
    approvals: ApprovalKeys


@dataclass(frozen=True, slots=True)
class Assertion:
    """The parts of a WebAuthn assertion, decoded, with the digest that it must be about."""

    credential_id: str
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Attested:
    """What an authenticator signed of itself in an assertion that verified.

    `sign_count` is its signature counter; `backup_eligible` its flag BE: the passkey may be copied
    to other devices, as by a cloud, whether or not it was yet.
    """

    sign_count: int
    backup_eligible: bool


def verify_assertion(
    assertion: Assertion, *, digest: str, key: PublicKey, policy: PasskeyPolicy
) -> Attested:
    """Verify that the passkey signed this digest; give what its authenticator said of itself.

    The counter is only compared when a statement is accepted (`counter_advances`), because the
    key worker verifies the same assertion again later.

    Raises:
        PasskeyError: if any of the checks of WebAuthn section 7.2 fails.
    """
    _check_client_data(assertion.client_data_json)
    credential = AuthenticationCredential(
        id=assertion.credential_id,
        raw_id=from_b64url(assertion.credential_id),
        response=AuthenticatorAssertionResponse(
            client_data_json=assertion.client_data_json,
            authenticator_data=assertion.authenticator_data,
            signature=assertion.signature,
        ),
    )
    try:
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=from_hex(digest),
            expected_rp_id=policy.rp_id,
            expected_origin=list(policy.origins),
            credential_public_key=cose_key(key),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except WebAuthnException as error:
        raise PasskeyError(Reason.PASSKEY_REFUSED) from error
    return Attested(
        sign_count=verified.new_sign_count,
        backup_eligible=verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
    )


def counter_advances(*, last: int, new: int) -> bool:
    """Say whether a signature counter may be accepted (WebAuthn section 6.1.1).

    An authenticator without a counter reports zero for ever; any other must rise.
    """
    return (last == 0 and new == 0) or new > last


def cose_key(key: PublicKey) -> bytes:
    """Write a public key as a COSE_Key (RFC 9053 section 7), the form authenticators use."""
    jwk = key.jwk
    members: dict[int, int | bytes] = {3: _COSE_ALGORITHM[key.alg]}
    match jwk["kty"]:
        case "EC":
            members |= {1: 2, -1: 1, -2: from_b64url(jwk["x"]), -3: from_b64url(jwk["y"])}
        case "OKP":
            members |= {1: 1, -1: 6, -2: from_b64url(jwk["x"])}
        case _:
            members |= {1: 3, -1: from_b64url(jwk["n"]), -2: from_b64url(jwk["e"])}
    return bytes(encode_cbor(members))


def _check_client_data(client_data_json: bytes) -> None:
    try:
        client_data = strict_json(client_data_json)
    except EncodingError as error:
        raise PasskeyError(Reason.PASSKEY_REFUSED) from error
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        raise PasskeyError(Reason.PASSKEY_REFUSED)
