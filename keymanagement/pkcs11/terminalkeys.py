"""The public keys of terminals' EPPs in the HSM, under which alone TMKs leave it.

Where the module keeps to CKA_WRAP_WITH_TRUSTED, the HSM's security officer stores each EPP's key
with CKA_TRUSTED, which nobody else can set (PKCS#11 2.40, section 4.7.1, table 25): dual control by
the HSM itself. Whoever has the user PIN, the key worker's host included, cannot wrap a key to an
EPP of their own making. Elsewhere the key is brought in for one session, and only Keyfill's
own checks say whose it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, ObjectClass

from keymanagement.pkcs11.faults import TerminalUntrusted
from keymanagement.pkcs11.objects import Attributes, HsmKey, differing, find

_ONLY_WRAPS: Final[Attributes] = {
    Attribute.CLASS: ObjectClass.PUBLIC_KEY,
    Attribute.KEY_TYPE: KeyType.RSA,
    Attribute.PRIVATE: False,
    Attribute.WRAP: True,
    Attribute.ENCRYPT: False,
    Attribute.VERIFY: False,
}


@contextmanager
def session_key(session: pkcs11.Session, key: RSAPublicKey) -> Iterator[HsmKey]:
    """Bring a public key in for a block; the HSM trusts it no more than its bearer."""
    held: Any = session.create_object(
        {**_ONLY_WRAPS, **_numbers(key), Attribute.TOKEN: False, Attribute.ID: identifier(key)}
    )
    try:
        yield held
    finally:
        held.destroy()


def trusted_key(session: pkcs11.Session, key: RSAPublicKey) -> HsmKey:
    """Find an EPP's key that the HSM's security officer has trusted.

    Raises:
        TerminalUntrusted: if there is none of exactly this modulus and exponent.
    """
    wanted = {
        Attribute.CLASS: ObjectClass.PUBLIC_KEY,
        Attribute.TOKEN: True,
        Attribute.ID: identifier(key),
    }
    trusted = {**_numbers(key), Attribute.TRUSTED: True, Attribute.WRAP: True}
    for held in find(session, wanted):
        if not differing(held, trusted):
            return held
    raise TerminalUntrusted("the HSM's security officer has not trusted this EPP's key")


def trust(session: pkcs11.Session, key: RSAPublicKey, label: str) -> bool:
    """Store an EPP's key as trusted; tells whether it was not yet. For a session of the officer."""
    try:
        trusted_key(session, key)
    except TerminalUntrusted:
        session.create_object(
            {
                **_ONLY_WRAPS,
                **_numbers(key),
                Attribute.TOKEN: True,
                Attribute.TRUSTED: True,
                Attribute.LABEL: label,
                Attribute.ID: identifier(key),
            }
        )
        return True
    return False


def identifier(key: RSAPublicKey) -> bytes:
    """CKA_ID of an EPP's key: SHA-256 of its SubjectPublicKeyInfo."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _numbers(key: RSAPublicKey) -> dict[Attribute, Any]:
    numbers = key.public_numbers()
    return {Attribute.MODULUS: _bytes(numbers.n), Attribute.PUBLIC_EXPONENT: _bytes(numbers.e)}


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
