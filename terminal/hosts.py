"""The KDHs whose tokens an EPP takes: the pinned one and, while the KDH is rotated, the next one.

Both are pinned by hand. A token is the next KDH's only if the pinned one did not sign it; what else
is wrong with it is wrong for good. docs/key-policy.md has the steps of a rotation.
"""

from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509

from ceremony.encoding import b64url
from terminal.epperrors import EppCode, EppError
from terminal.eppstore import EppMemory
from terminal.keytoken import KDH_PURPOSE
from terminal.tr34.certificates import UNREADABLE


def thumbprint(certificate_der: bytes) -> str:
    """SHA-256 of a KDH certificate (DER) as base64url: its pin."""
    return b64url(sha256(certificate_der).digest())


def certificates_of(memory: EppMemory) -> tuple[bytes, ...]:
    """The KDH certificates (DER) that the EPP holds, the pinned one first."""
    held = (memory.kdh_certificate, memory.kdh_next_certificate)
    return tuple(one for one in held if one is not None)


def beside(memory: EppMemory, certificate_der: bytes, *, now: int) -> EppMemory:
    """The memory with a second KDH; the same one again changes nothing.

    Raises:
        EppError: INVALID_CERT_STATE if no KDH is pinned yet, another one is there beside it, or the
            certificate is not a KDH's or not valid at `now` (Unix seconds).
    """
    if memory.kdh_thumbprint is None:
        raise EppError(EppCode.INVALID_CERT_STATE, "no KDH certificate was pinned")
    if thumbprint(certificate_der) == memory.kdh_thumbprint:
        raise EppError(EppCode.INVALID_CERT_STATE, "this KDH is the pinned one")
    if memory.kdh_next_certificate not in (None, certificate_der):
        raise EppError(EppCode.INVALID_CERT_STATE, "there is a second KDH beside the pinned one")
    _require_host(certificate_der, now)
    return memory.model_copy(update={"kdh_next_certificate": certificate_der})


def succeeded(memory: EppMemory) -> EppMemory | None:
    """The memory with the second KDH as its only one; None if there is no second one."""
    following = memory.kdh_next_certificate
    if following is None:
        return None
    return memory.model_copy(
        update={
            "kdh_thumbprint": thumbprint(following),
            "kdh_certificate": following,
            "kdh_next_certificate": None,
        }
    )


def _require_host(certificate_der: bytes, now: int) -> None:
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except UNREADABLE:
        raise EppError(EppCode.INVALID_CERT_STATE, "the certificate is no KDH's") from None
    if list(purposes) != [KDH_PURPOSE]:
        raise EppError(EppCode.INVALID_CERT_STATE, "the certificate is no KDH's")
    moment = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise EppError(EppCode.INVALID_CERT_STATE, "the KDH certificate is not valid now")
