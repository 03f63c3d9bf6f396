"""Signing statements, and the digest that names one for ever."""

import secrets
from typing import Final

from joserfc import jws
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel

from ceremony.encoding import canonical_json, sha256_hex
from ceremony.keys import PASSKEY_ONLY, KeyRefused, SigningKey
from ceremony.statements import KIND_OF, Payload

NONCE_BYTES: Final = 16


class OneAlgorithm(jws.JWSRegistry):
    """The JOSE library's registry cut down to one algorithm: the enrolled key's.

    RFC 9864 renames EdDSA to Ed25519 and the library warns at every use. The statements' contract
    keeps the name that authenticators report; each key is pinned to Ed25519 by its curve. A
    warning filter would be the whole process's, so the lookup is replaced instead.
    """

    def __init__(self, alg: str) -> None:
        """Allow this algorithm."""
        super().__init__(algorithms=[alg])

    def get_alg(self, name: str) -> JWSAlgModel:
        """Find the algorithm.

        Raises:
            UnsupportedAlgorithmError: if it is not the one allowed.
        """
        if self.allowed is None or name not in self.allowed:
            raise UnsupportedAlgorithmError("not the enrolled key's algorithm")
        return self.algorithms[name]


def new_nonce() -> str:
    """Make a statement's nonce: 16 random bytes as lower-case hexadecimal."""
    return secrets.token_hex(NONCE_BYTES)


def statement_digest(typ: str, payload: bytes) -> str:
    """SHA-256 over `typ "." payload` as hex; never over a signature.

    `payload` are the exact bytes that were signed, so a malleated signature or a second one by
    the same key names the same statement.
    """
    return sha256_hex(typ.encode("ascii") + b"." + payload)


def payload_bytes(payload: Payload) -> bytes:
    """The bytes of a payload as Keyfill's own signers write them: canonical JSON."""
    return canonical_json(_plain(payload))


def sign(payload: Payload, key: SigningKey) -> str:
    """Sign a payload as a compact JWS (RFC 7515 section 7.1) with header alg, kid and typ.

    Raises:
        KeyRefused: if the key's algorithm is for passkeys only.
    """
    if key.alg in PASSKEY_ONLY:
        raise KeyRefused("this algorithm is for passkeys only")
    header = {"alg": key.alg, "kid": key.kid, "typ": KIND_OF[type(payload)].typ}
    return jws.serialize_compact(
        header, payload_bytes(payload), key.signing_key, registry=OneAlgorithm(key.alg)
    )


def digest_of(payload: Payload) -> str:
    """The digest of the statement that `sign` makes of this payload, whoever signs it."""
    return statement_digest(KIND_OF[type(payload)].typ, payload_bytes(payload))


def _plain(payload: Payload) -> object:
    document = payload.model_dump(mode="json")
    for name, value in document.items():
        if isinstance(value, dict):
            document[name] = {k: v for k, v in value.items() if v is not None}
    return document
