"""Reading a key token of format `oaep-jws`: the receiving side, written apart from the sending one.

A compact JWS by PS256 whose header holds `alg`, `typ`, `kid` and `x5c` and nothing else. The
terminal trusts one KDH certificate, pinned by its SHA-256; the `x5c` in the token only saves it
from having to store the certificate. What the contents mean for this EPP is `terminal.epp`'s.
"""

from hashlib import sha256
from typing import Annotated, Any, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ceremony.encoding import EncodingError, b64url, from_b64, from_b64url, strict_json
from ceremony.statements import Digest, Nonce, RequestId, Seconds, TerminalNo
from terminal.epperrors import EppCode, EppError

FORMAT: Final = "oaep-jws"
TYP: Final = "keyfill.oaep-jws+jws"
MOST_BYTES: Final = 16_384
LEAST_KDH_BITS: Final = 3072
# the extended key usage of KDH certificates: no EPP's, feed's or server's certificate has it
KDH_PURPOSE: Final = x509.ObjectIdentifier("2.25.119589597409290980121874722824758596049.1")


class _Registry(jws.JWSRegistry):
    # the library's limit of 512 bytes leaves no room for a certificate in x5c
    max_header_length = MOST_BYTES


class KeyTokenContents(BaseModel):
    """What the KDH signed. Times are Unix seconds; `encrypted_key` is base64url of RSAES-OAEP.

    `key_encryption` names OAEP's hash, which is MGF1's too (RFC 7518 section 4.1): SHA-256, or
    SHA-1 from a host whose module has no better. Signed as all the rest is, it cannot be lowered
    on the way.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    request_id: RequestId
    terminal_no: TerminalNo
    epp_fingerprint: Digest
    krd_nonce: Nonce
    key_usage: Annotated[str, Field(pattern=r"^[A-Z0-9]{2}$")]
    key_algorithm: Annotated[str, Field(max_length=16)]
    iat: Seconds
    exp: Seconds
    key_encryption: Literal["RSA-OAEP-256", "RSA-OAEP"]
    encrypted_key: Annotated[str, Field(max_length=2048)]


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    alg: Literal["PS256"]
    typ: Literal["keyfill.oaep-jws+jws"]
    kid: Annotated[str, Field(min_length=43, max_length=43)]
    x5c: Annotated[list[str], Field(min_length=1, max_length=1)]


def read_key_token(token: bytes, kdh_thumbprint: str, *, now: int) -> KeyTokenContents:
    """Verify a token (the ASCII bytes of the JWS) against the pinned KDH and return its contents.

    `kdh_thumbprint` is SHA-256 of the KDH certificate's DER as base64url; `now` is Unix seconds.

    Raises:
        EppError: FORMAT_INVALID if it is no such token, SIGNATURE_INVALID if another signed it
            or it was changed, INVALID_CERT_STATE if the KDH's certificate is expired or not one.
    """
    header, payload = _parts(token)
    certificate_der = _decoded_certificate(header.x5c[0])
    if not b64url(sha256(certificate_der).digest()) == header.kid == kdh_thumbprint:
        raise EppError(EppCode.SIGNATURE_INVALID, "another KDH signed the token")
    key = _kdh_key(certificate_der, now)
    try:
        jws.deserialize_compact(token, key, registry=_Registry(algorithms=["PS256"]))
    except (JoseError, ValueError):
        raise EppError(EppCode.SIGNATURE_INVALID, "the token was changed") from None
    try:
        return KeyTokenContents.model_validate(payload)
    except ValidationError:
        # its text would quote the contents
        raise EppError(EppCode.FORMAT_INVALID, "the token lacks what it must say") from None


def _parts(token: bytes) -> tuple[_Header, dict[str, Any]]:
    if len(token) > MOST_BYTES:
        raise EppError(EppCode.FORMAT_INVALID, "the token is too long")
    try:
        header, payload, signature = token.decode("ascii").split(".")
        from_b64url(signature)
        protected = _Header.model_validate(strict_json(from_b64url(header)))
        contents = strict_json(from_b64url(payload))
    except ValueError:
        raise EppError(EppCode.FORMAT_INVALID, "not a token of format oaep-jws") from None
    return protected, contents


def _decoded_certificate(text: str) -> bytes:
    try:
        return from_b64(text)
    except EncodingError:
        raise EppError(EppCode.FORMAT_INVALID, "the KDH certificate is not base64") from None


def _kdh_key(certificate_der: bytes, now: int) -> RSAKey:
    """The key of the pinned certificate, once it is valid and a KDH's by its purpose."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        key = certificate.public_key()
    except (ValueError, x509.ExtensionNotFound):
        raise EppError(EppCode.INVALID_CERT_STATE, "the pinned certificate is no KDH's") from None
    if list(purposes) != [KDH_PURPOSE] or not isinstance(key, RSAPublicKey):
        raise EppError(EppCode.INVALID_CERT_STATE, "the pinned certificate is no KDH's")
    if key.key_size < LEAST_KDH_BITS:
        raise EppError(EppCode.INVALID_CERT_STATE, "the KDH's key is too short")
    begins = certificate.not_valid_before_utc.timestamp()
    if not begins <= now <= certificate.not_valid_after_utc.timestamp():
        raise EppError(EppCode.INVALID_CERT_STATE, "the KDH certificate is not valid now")
    return RSAKey.import_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
