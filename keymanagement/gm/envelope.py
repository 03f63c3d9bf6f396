"""GB/T 35275 EnvelopedData: content under SM4-CBC, its key under SM2 to one recipient.

Version 1, recipient by issuer and serial number, the key as SM2Cipher in DER. CFCA's recipients by
SubjectKeyIdentifier and its raw C1C2C3 are outside the standard and are not written.
"""

import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from ceremony.sm2 import Sm2PublicKey
from keymanagement.gm import sm2
from keymanagement.gm.identifiers import DATA, ENVELOPED_DATA, SM2_ENCRYPTION, SM4_CBC
from keymanagement.tr34.der import context, context_octets, integer, octets, sequence, set_of
from keymanagement.tr34.identity import issuer_and_serial

_VERSION: Final = 1
_KEY_BYTES: Final = 16
_IV_BYTES: Final = 16


def envelope(content: bytes, recipient: x509.Certificate, key: Sm2PublicKey) -> bytes:
    """Encrypt content to a recipient, whose certificate names it and whose key is `key`.

    Returns:
        The ContentInfo of EnvelopedData, DER, different at every call.

    Raises:
        Sm2Missing: if there is no SM2 here.
        TermsRefused: if the recipient's name cannot be written.
    """
    content_key, iv = os.urandom(_KEY_BYTES), os.urandom(_IV_BYTES)
    padder = PKCS7(SM4.block_size).padder()
    encryptor = Cipher(SM4(content_key), CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(content) + padder.finalize())
    recipient_info = sequence(
        integer(_VERSION),
        issuer_and_serial(recipient),
        SM2_ENCRYPTION,
        octets(sm2.encrypt(key, content_key)),
    )
    encrypted = sequence(
        DATA,
        sequence(SM4_CBC, octets(iv)),
        context_octets(0, ciphertext + encryptor.finalize()),
    )
    enveloped = sequence(integer(_VERSION), set_of(recipient_info), encrypted)
    return sequence(ENVELOPED_DATA, context(0, enveloped))
