"""Opening GB/T 35275 EnvelopedData: SM4-CBC content whose key is under SM2 to this EPP."""

import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC

from terminal.gm import identifiers as ids
from terminal.gm.refusal import GmRefused, Rule
from terminal.gm.sm2 import Sm2PrivateKey
from terminal.tr34.der import (
    CONTEXT_0,
    CONTEXT_0_PRIMITIVE,
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    SET,
    NotDer,
    whole,
    wrapped,
)

_VERSION: Final = 1
_BLOCK: Final = 16
_KEY_ENCRYPTION: Final = wrapped(SEQUENCE, wrapped(OBJECT_ID, ids.SM2_ENCRYPTION))


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope, read and not yet opened; `recipient` is an encoded IssuerAndSerialNumber."""

    recipient: bytes = field(repr=False)
    encrypted_key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)

    def open(self, key: Sm2PrivateKey, recipient: bytes) -> bytes:
        """Decrypt the content: a clear key is in it.

        Raises:
            GmRefused: RECIPIENT if it is for another EPP, UNOPENED if it does not open, NO_SM2.
            NotDer: if the encrypted key is no SM2Cipher.
        """
        if not hmac.compare_digest(self.recipient, recipient):
            raise GmRefused(Rule.RECIPIENT)
        content_key = key.opened(self.encrypted_key)
        blocks = len(self.ciphertext) % _BLOCK == 0 and len(self.ciphertext) >= _BLOCK
        if len(content_key) != _BLOCK or len(self.iv) != _BLOCK or not blocks:
            raise GmRefused(Rule.UNOPENED)
        decryptor = Cipher(SM4(content_key), CBC(self.iv)).decryptor()
        return _unpadded(decryptor.update(self.ciphertext) + decryptor.finalize())


def read_envelope(data: bytes) -> Envelope:
    """Read a ContentInfo that holds EnvelopedData for one recipient.

    Raises:
        NotDer: if it is anything else; recipients by SubjectKeyIdentifier are, too.
    """
    info = whole(data).members()
    kind = info.take(OBJECT_ID).value
    body = info.take(CONTEXT_0).only(SEQUENCE).members()
    info.end()
    version = body.take(INTEGER).integer()
    recipient = body.take(SET).only(SEQUENCE).members()
    content = body.take(SEQUENCE).members()
    body.end()
    recipient_version = recipient.take(INTEGER).integer()
    name = recipient.take(SEQUENCE).raw
    key_encryption = recipient.take(SEQUENCE).raw
    encrypted_key = recipient.take(OCTETS).value
    recipient.end()
    content_kind = content.take(OBJECT_ID).value
    algorithm = content.take(SEQUENCE).members()
    ciphertext = content.take(CONTEXT_0_PRIMITIVE).value
    content.end()
    cipher, iv = algorithm.take(OBJECT_ID).value, algorithm.take(OCTETS).value
    algorithm.end()
    kinds = (kind, content_kind, cipher, key_encryption)
    if kinds != (ids.ENVELOPED_DATA, ids.DATA, ids.SM4_CBC, _KEY_ENCRYPTION):
        raise NotDer("not an envelope of SM2 and SM4-CBC")
    if (version, recipient_version) != (_VERSION, _VERSION):
        raise NotDer("an envelope has version 1")
    return Envelope(name, encrypted_key, iv, ciphertext)


def _unpadded(padded: bytes) -> bytes:
    count = padded[-1]
    if not 1 <= count <= _BLOCK or padded[-count:] != bytes([count]) * count:
        raise GmRefused(Rule.UNOPENED)
    return padded[:-count]
