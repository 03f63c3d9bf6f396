"""A software WebAuthn authenticator: genuine assertions, and every way of bending one."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ceremony.encoding import b64url, from_hex
from ceremony.keys import SigningKey
from ceremony.passkeys import Assertion
from ceremony.signing import payload_bytes, statement_digest
from ceremony.statements import KIND_OF, Payload
from ceremony.verification import EnrolledKey, assertion_text

USER_PRESENT = 0x01
USER_VERIFIED = 0x04
BACKUP_ELIGIBLE = 0x08
BACKED_UP = 0x10
ATTESTED = 0x40


@dataclass
class Passkey:
    """A passkey of one relying party, with its signature counter.

    `step` is what each assertion adds to the counter; 0 is an authenticator without one. `flags`
    is what its authenticator says in every assertion.
    """

    key: SigningKey
    rp_id: str
    origin: str
    credential_id: str
    count: int = 0
    step: int = 1
    flags: int = USER_PRESENT | USER_VERIFIED

    @property
    def enrolled(self) -> EnrolledKey:
        """The credential as the registry enrols it."""
        return EnrolledKey(self.key.public, self.credential_id)

    def sign(self, payload: Payload, **bent: Any) -> str:
        """Sign a statement in the WebAuthn form; `bent` overrides a field of `Ceremonial`."""
        typ = KIND_OF[type(payload)].typ
        content = payload_bytes(payload)
        assertion = self.assertion(statement_digest(typ, content), **bent)
        return assertion_text(typ, content, assertion)

    def assertion(self, digest: str, **bent: Any) -> Assertion:
        """Make an assertion over a statement digest (hex)."""
        self.count += self.step
        asked = Ceremonial(
            **{
                "challenge": b64url(from_hex(digest)),
                "origin": self.origin,
                "rp_id": self.rp_id,
                "count": self.count,
                "flags": self.flags,
                **bent,
            }
        )
        client_data = asked.client_data()
        authenticator_data = asked.authenticator_data()
        return Assertion(
            credential_id=self.credential_id,
            authenticator_data=authenticator_data,
            client_data_json=client_data,
            signature=raw_signature(self.key, authenticator_data + sha256(client_data).digest()),
        )


@dataclass(frozen=True)
class Ceremonial:
    """What a browser and an authenticator say in one assertion; honest unless told otherwise."""

    challenge: str
    origin: str
    rp_id: str
    count: int
    type: str = "webauthn.get"
    cross_origin: bool | None = False
    flags: int = USER_PRESENT | USER_VERIFIED
    further: dict[str, Any] = field(default_factory=dict)

    def client_data(self) -> bytes:
        """The clientDataJSON, written as browsers write it."""
        members: dict[str, Any] = {
            "type": self.type,
            "challenge": self.challenge,
            "origin": self.origin,
        }
        if self.cross_origin is not None:
            members["crossOrigin"] = self.cross_origin
        return json.dumps({**members, **self.further}, separators=(",", ":")).encode()

    def authenticator_data(self) -> bytes:
        """The authenticatorData: rpIdHash, flags, counter."""
        return (
            sha256(self.rp_id.encode()).digest()
            + bytes([self.flags])
            + self.count.to_bytes(4, "big")
        )


def raw_signature(key: SigningKey, message: bytes) -> bytes:
    """Sign as authenticators do: ECDSA in DER, Ed25519 raw, RSA PKCS #1 v1.5 or PSS."""
    private = key.signing_key.private_key
    match private:
        case ec.EllipticCurvePrivateKey():
            return private.sign(message, ec.ECDSA(SHA256()))
        case ed25519.Ed25519PrivateKey():
            return private.sign(message)
        case rsa.RSAPrivateKey() if key.alg == "RS256":
            return private.sign(message, padding.PKCS1v15(), SHA256())
        case rsa.RSAPrivateKey():
            pss = padding.PSS(padding.MGF1(SHA256()), SHA256().digest_size)
            return private.sign(message, pss, SHA256())
    raise TypeError("no private key of an accepted kind")
