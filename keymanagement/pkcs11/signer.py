"""The KDH's signing key in an HSM, in the form in which `cryptography` knows private keys.

So `keymanagement.kdh.KdhIdentity` holds it as it holds one of software, with every check of key
against certificate, and `x509.CertificateBuilder` signs with it. What is signed is hashed here,
since the message of a token is public; the RSA operation is the HSM's.
"""

import os
from typing import Any, Final, NoReturn

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric import utils as asym_utils
from cryptography.hazmat.primitives.asymmetric.padding import (
    MGF1,
    PSS,
    AsymmetricPadding,
    PKCS1v15,
)
from cryptography.hazmat.primitives.hashes import SHA256, Hash, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
)
from cryptography.utils import Buffer
from pkcs11 import MGF, Attribute, KeyType, Mechanism, ObjectClass

from keymanagement.kdh import LEAST_RSA_BITS, KdhIdentity, KdhInvalid
from keymanagement.pkcs11.faults import HsmKeyInvalid
from keymanagement.pkcs11.objects import Attributes, HsmKey, find, require, require_login
from keymanagement.pkcs11.session import HsmConnection

KDH_LABEL: Final = "keyfill-kdh"
EXPONENT: Final = 65537
_ONLY_SIGNS: Final[Attributes] = {
    Attribute.KEY_TYPE: KeyType.RSA,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PSS: Final = (Mechanism.SHA256, MGF.SHA256, SHA256.digest_size)


class HsmSigningKey(rsa.RSAPrivateKey):
    """An RSA key that never was outside its HSM: signs PS256 and RSASSA-PKCS1-v1_5 with SHA-256."""

    def __init__(self, connection: HsmConnection, public: rsa.RSAPublicKey) -> None:
        """Find the private key of a public one, that of the KDH's certificate, and check it.

        Raises:
            HsmKeyInvalid: if the HSM has not one such key, or it may do more than sign.
            HsmUnavailable: if the module fails.
        """
        self._connection = connection
        self._public = public
        connection.run(lambda session: require(self._held(session), _ONLY_SIGNS, "the KDH's key"))

    @property
    def key_size(self) -> int:
        """Length of the modulus in bits."""
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public key, as a key of software."""
        return self._public

    def sign(
        self,
        data: Buffer,
        padding: AsymmetricPadding,
        algorithm: asym_utils.Prehashed | HashAlgorithm | asym_utils.NoDigestInfo,
    ) -> bytes:
        """Sign a message inside the HSM.

        Raises:
            ValueError: for another padding than the two, or another hash than SHA-256.
            HsmKeyInvalid, HsmUnavailable: if the key is gone, or the module fails.
        """
        if not isinstance(algorithm, SHA256):
            raise ValueError("the KDH signs with SHA-256")
        message = bytes(data)
        if isinstance(padding, PKCS1v15):
            return self._connection.run(
                lambda session: bytes(
                    self._held(session).sign(message, mechanism=Mechanism.SHA256_RSA_PKCS)
                )
            )
        if not _is_ps256(padding):
            raise ValueError("the KDH signs by PS256 or RSASSA-PKCS1-v1_5")
        hashed = Hash(SHA256())
        hashed.update(message)
        digest = hashed.finalize()
        return self._connection.run(
            lambda session: bytes(
                self._held(session).sign(
                    digest, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=_PSS
                )
            )
        )

    def decrypt(self, ciphertext: Buffer, padding: AsymmetricPadding) -> NoReturn:
        """Refuse: the KDH's key signs and has no other purpose."""
        raise ValueError("the KDH's key does not decrypt")

    def private_numbers(self) -> NoReturn:
        """Refuse: nobody has them."""
        raise ValueError("the key is in an HSM")

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002 - the library's name
        encryption_algorithm: KeySerializationEncryption,
    ) -> NoReturn:
        """Refuse: nobody has them."""
        raise ValueError("the key is in an HSM")

    def __copy__(self) -> "HsmSigningKey":
        """The same key: there is but one."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "HsmSigningKey":
        """The same key: there is but one."""
        return self

    def _held(self, session: pkcs11.Session) -> HsmKey:
        wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.TOKEN: True}
        modulus = self._public.public_numbers().n
        found = [
            key
            for key in find(session, wanted)
            if int.from_bytes(key[Attribute.MODULUS], "big") == modulus
        ]
        if len(found) != 1:
            require_login(session)
            raise HsmKeyInvalid(f"the HSM has {len(found)} keys of the KDH's certificate, not one")
        return found[0]


def generate_signing_key(
    connection: HsmConnection, *, bits: int = LEAST_RSA_BITS, label: str = KDH_LABEL
) -> HsmSigningKey:
    """Make a KDH key inside the HSM: it signs, and never leaves it in any form.

    Raises:
        HsmKeyInvalid: if the HSM made it otherwise.
        HsmUnavailable: if the module fails.
    """

    def make(session: pkcs11.Session) -> int:
        public, _ = session.generate_keypair(
            KeyType.RSA,
            bits,
            label=label,
            id=os.urandom(16),
            store=True,
            public_template={
                Attribute.PUBLIC_EXPONENT: EXPONENT.to_bytes(3, "big"),
                Attribute.VERIFY: True,
                Attribute.ENCRYPT: False,
                Attribute.WRAP: False,
            },
            private_template={
                Attribute.PRIVATE: True,
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
                Attribute.SIGN: True,
                Attribute.DECRYPT: False,
                Attribute.UNWRAP: False,
            },
        )
        return int.from_bytes(public[Attribute.MODULUS], "big")

    modulus = connection.run(make)
    return HsmSigningKey(connection, rsa.RSAPublicNumbers(EXPONENT, modulus).public_key())


def read_kdh(connection: HsmConnection, certificate_pem: bytes, *, now: int) -> KdhIdentity:
    """The KDH of a certificate (PEM) whose key is in the HSM; `now` is Unix time in seconds.

    Raises:
        KdhInvalid: if the certificate cannot be read or is not a KDH's.
        HsmKeyInvalid, HsmUnavailable: as `HsmSigningKey`.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise KdhInvalid("the KDH's certificate cannot be read") from error
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise KdhInvalid("the KDH's key is an RSA key")
    return KdhIdentity(HsmSigningKey(connection, public), certificate, now=now)


def _is_ps256(padding: AsymmetricPadding) -> bool:
    if not isinstance(padding, PSS):
        return False
    # the library shows them in no other way
    mask = padding._mgf
    return (
        isinstance(mask, MGF1)
        and isinstance(mask._algorithm, SHA256)
        and padding._salt_length == SHA256.digest_size
    )
