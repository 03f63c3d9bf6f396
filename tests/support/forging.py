"""Forging statements for tests: a JWS with any header and payload bytes, signed for real."""

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ceremony.encoding import b64url, canonical_json, from_b64url
from ceremony.keys import SigningKey
from tests.support.authenticator import raw_signature

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE: Final = 32


def parts_of(jws: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and payload of a compact JWS, unverified."""
    header, payload, _ = jws.split(".")
    return json.loads(from_b64url(header)), json.loads(from_b64url(payload))


def raw_jws(
    header: bytes | Mapping[str, Any], payload: bytes | Mapping[str, Any], key: SigningKey
) -> str:
    """A compact JWS of exactly these bytes, with a signature that holds."""
    first = header if isinstance(header, bytes) else canonical_json(header)
    second = payload if isinstance(payload, bytes) else canonical_json(payload)
    signed = f"{b64url(first)}.{b64url(second)}"
    return f"{signed}.{b64url(jws_signature(key, signed.encode()))}"


def jws_signature(key: SigningKey, message: bytes) -> bytes:
    """Sign as JWS does: as authenticators do, but ECDSA as `r` and `s` (RFC 7518 section 3.4)."""
    signature = raw_signature(key, message)
    if key.alg != "ES256":
        return signature
    r, s = decode_dss_signature(signature)
    return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")


def hs256_with_public_key(header: Mapping[str, Any], payload: str, key: SigningKey) -> str:
    """The classic confusion: an HMAC whose secret is the public key, as PEM."""
    public = key.signing_key.public_key
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{b64url(canonical_json({**header, 'alg': 'HS256'}))}.{payload}"
    return f"{signed}.{b64url(hmac.new(secret, signed.encode(), sha256).digest())}"


def malleated(jws: str) -> str:
    """The same ES256 signature with `n - s` for `s`: another text, and it verifies."""
    head, payload, signature = jws.split(".")
    octets = from_b64url(signature)
    s = int.from_bytes(octets[_COORDINATE:], "big")
    other = octets[:_COORDINATE] + (P256_ORDER - s).to_bytes(_COORDINATE, "big")
    return f"{head}.{payload}.{b64url(other)}"
