"""Opening a key token inside the EPP, in each format that it takes.

A token of any format must be from the pinned KDH and for this EPP, and answer the nonce that is
outstanding. `oaep-jws` and `gm-envelope` say besides which terminal, request and time they are for;
a `tr34` token cannot (docs/adr/0012): there the nonce, which only this request's confirmation
named, has to do.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

from ceremony.encoding import EncodingError, b64url, from_b64url
from terminal import keytoken as oaepjws
from terminal.epperrors import EppCode, EppError
from terminal.eppkeys import KEY_BYTES, SM4_KEY, is_well_formed
from terminal.eppstore import EppMemory
from terminal.gm import keytoken as gm
from terminal.gm.sm2 import Sm2PrivateKey
from terminal.hosts import succeeded
from terminal.keytoken import KeyTokenContents, read_key_token
from terminal.tr34 import keytoken as tr34
from terminal.tr34.binding import Anchors, Binding, Krd

_USAGE: Final = "K1"
_UNDER_RSA: Final = frozenset(KEY_BYTES) - {SM4_KEY}
_OAEP: Final = MappingProxyType(
    {
        "RSA-OAEP-256": OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None),
        "RSA-OAEP": OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None),  # noqa: S303 - as signed
    }
)


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a token has to answer: the request, the outstanding nonce, and when (Unix seconds)."""

    request_id: str
    nonce: bytes | None
    now: int


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A clear key, which in a real EPP never leaves it, and what it is for."""

    usage: str
    algorithm: str
    key: bytes = field(repr=False)


def open_token(token: bytes, token_format: str, memory: EppMemory, awaited: Awaited) -> OpenedKey:
    """Verify a token by every rule of its format and open it.

    Raises:
        EppError: as `terminal.epp.Epp.import_key_token` says.
    """
    opener = _OPENERS.get(token_format)
    if opener is None:
        raise EppError(EppCode.FORMAT_INVALID, "the EPP takes no tokens of this format")
    if memory.kdh_thumbprint is None:
        raise EppError(EppCode.INVALID_CERT_STATE, "no KDH certificate was pinned")
    following = succeeded(memory)
    try:
        return opener(token, memory, memory.kdh_thumbprint, awaited)
    except EppError as error:
        if following is None or error.code is not EppCode.SIGNATURE_INVALID:
            raise
    return opener(token, following, following.kdh_thumbprint or "", awaited)


def host_is_pinned(certificate_der: bytes, kdh_thumbprint: str) -> bool:
    """Tell whether a KDH certificate (DER) is the one of a pin (SHA-256, base64url)."""
    return hmac.compare_digest(b64url(sha256(certificate_der).digest()), kdh_thumbprint)


def _open_tr34(token: bytes, memory: EppMemory, pin: str, awaited: Awaited) -> OpenedKey:
    host, nonce = _pinned_host(memory, pin), _outstanding(awaited)
    opened = tr34.open_key_token(
        token,
        Krd(x509.load_der_x509_certificate(memory.certificate), _private_key(memory)),
        Binding(host),
        Anchors(authority=None),
        tr34.TwoPass(nonce),
        now=awaited.now,
    )
    return OpenedKey(opened.block.usage, opened.block.algorithm, opened.block.key)


def _open_gm_envelope(token: bytes, memory: EppMemory, pin: str, awaited: Awaited) -> OpenedKey:
    host = _pinned_host(memory, pin)
    recipient = gm.Recipient(
        terminal_no=memory.terminal_no,
        request_id=awaited.request_id,
        nonce=_outstanding(awaited),
        now=awaited.now,
        certificate=x509.load_der_x509_certificate(memory.certificate),
        private_key=Sm2PrivateKey.read(memory.private_key),
    )
    opened = gm.open_key_token(token, recipient, host)
    return OpenedKey(opened.terms.use[0], SM4_KEY, opened.key)


def _pinned_host(memory: EppMemory, pin: str) -> x509.Certificate:
    host = memory.kdh_certificate
    if host is None or not host_is_pinned(host, pin):
        raise EppError(EppCode.INVALID_CERT_STATE, "the pinned KDH certificate was not loaded")
    return x509.load_der_x509_certificate(host)


def _outstanding(awaited: Awaited) -> bytes:
    if awaited.nonce is None:
        raise EppError(EppCode.RANDOM_INVALID, "no nonce is outstanding")
    return awaited.nonce


def _open_oaep_jws(token: bytes, memory: EppMemory, pin: str, awaited: Awaited) -> OpenedKey:
    contents = read_key_token(token, pin, now=awaited.now)
    _require_mine(contents, memory, awaited)
    private_key = _private_key(memory)
    try:
        key = private_key.decrypt(
            from_b64url(contents.encrypted_key), _OAEP[contents.key_encryption]
        )
    except (EncodingError, ValueError):
        raise EppError(EppCode.CONTENT_INVALID, "the key does not open") from None
    if len(key) != KEY_BYTES[contents.key_algorithm]:
        raise EppError(EppCode.INVALID_KEY_LENGTH, "the key has not its algorithm's length")
    if not is_well_formed(contents.key_algorithm, key):
        raise EppError(EppCode.CONTENT_INVALID, "a TDES key has odd parity and three parts")
    return OpenedKey(contents.key_usage, contents.key_algorithm, key)


def _require_mine(contents: KeyTokenContents, memory: EppMemory, awaited: Awaited) -> None:
    if not hmac.compare_digest(contents.krd_nonce, _outstanding(awaited).hex()):
        raise EppError(EppCode.RANDOM_INVALID, "the token answers another nonce")
    if contents.terminal_no != memory.terminal_no:
        raise EppError(EppCode.CONTENT_INVALID, "the token is another terminal's")
    if contents.epp_fingerprint != sha256(memory.certificate).hexdigest():
        raise EppError(EppCode.CONTENT_INVALID, "the token is another EPP's")
    if contents.request_id != awaited.request_id:
        raise EppError(EppCode.CONTENT_INVALID, "the token is another request's")
    if contents.exp <= awaited.now or contents.exp <= contents.iat:
        raise EppError(EppCode.CONTENT_INVALID, "the token is expired")
    if contents.key_usage != _USAGE or contents.key_algorithm not in _UNDER_RSA:
        raise EppError(EppCode.USE_VIOLATION, "the EPP takes K1 keys of AES and TDES")


def _private_key(memory: EppMemory) -> RSAPrivateKey:
    try:
        private_key = load_der_private_key(memory.private_key, password=None)
    except UnsupportedAlgorithm:
        private_key = None
    if not isinstance(private_key, RSAPrivateKey):
        raise EppError(EppCode.ACCESS_DENIED, "the EPP has no RSA key")
    return private_key


_Opener = Callable[[bytes, EppMemory, str, Awaited], OpenedKey]
_OPENERS: Final[Mapping[str, _Opener]] = MappingProxyType(
    {
        tr34.FORMAT: _open_tr34,
        oaepjws.FORMAT: _open_oaep_jws,
        gm.FORMAT: _open_gm_envelope,
    }
)
