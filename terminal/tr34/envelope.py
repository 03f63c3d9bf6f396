"""Opening the envelope of a key token: CMS EnvelopedData (RFC 5652 section 6), in four forms."""

import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from terminal.tr34.der import (
    CONTEXT_0,
    CONTEXT_0_PRIMITIVE,
    CONTEXT_1,
    INTEGER,
    NULL,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    SET,
    Element,
    NotDer,
    Reader,
    whole,
    wrapped,
)
from terminal.tr34.dialects import EnvelopeForm
from terminal.tr34.identifiers import (
    AES_128_CBC,
    DATA,
    DES_EDE3_CBC,
    MGF1,
    P_SPECIFIED,
    RSAES_OAEP,
    SHA256,
)
from terminal.tr34.refusal import Rule, Tr34Refused

_OAEP: Final = padding.OAEP(
    mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None
)
_HASH: Final = wrapped(OBJECT_ID, SHA256)
# implementations differ in whether SHA-256 has a NULL for parameters (RFC 4055 section 2.1)
_HASHES: Final = (wrapped(SEQUENCE, _HASH), wrapped(SEQUENCE, _HASH, wrapped(NULL)))
_MASKS: Final = tuple(wrapped(SEQUENCE, wrapped(OBJECT_ID, MGF1), one) for one in _HASHES)
_TDES_KEY: Final = 24
_EMPTY_LABEL: Final = wrapped(SEQUENCE, wrapped(OBJECT_ID, P_SPECIFIED), wrapped(OCTETS))


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope, read and not yet opened; `recipient` is an encoded IssuerAndSerialNumber."""

    form: EnvelopeForm
    recipient: bytes = field(repr=False)
    cipher: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    encrypted_key: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)

    def open(self, private_key: RSAPrivateKey, recipient: bytes) -> bytes:
        """Decrypt the content: a clear key is in it.

        Raises:
            Tr34Refused: RECIPIENT if it is for another KRD, UNOPENED if it does not open.
        """
        if not hmac.compare_digest(self.recipient, recipient):
            raise Tr34Refused(Rule.RECIPIENT)
        try:
            return _unpadded(self, private_key.decrypt(self.encrypted_key, _OAEP))
        except ValueError:
            # what failed is nobody's business, and the cause may hold some of it
            raise Tr34Refused(Rule.UNOPENED) from None


def read_envelope(data: bytes) -> Envelope:
    """Read an EnvelopedData in any of the four forms.

    Raises:
        NotDer: if it is none.
    """
    bare = data[:1] == bytes((INTEGER,))
    body = Reader(data) if bare else whole(data).members()
    if body.take(INTEGER).integer() != 0:
        raise NotDer("the envelope has version 0")
    recipient = body.take(SET).only(SEQUENCE).members()
    content = body.take(SEQUENCE).members()
    body.end()
    if recipient.take(INTEGER).integer() != 0:
        raise NotDer("the recipient is named by issuer and serial number")
    name = recipient.take(SEQUENCE).raw
    tagged = _oaep_is_tagged(recipient.take(SEQUENCE))
    encrypted_key = recipient.take(OCTETS).value
    recipient.end()
    if content.take(OBJECT_ID).value != DATA:
        raise NotDer("the envelope holds data")
    algorithm = content.take(SEQUENCE).members()
    cipher, iv = algorithm.take(OBJECT_ID).value, algorithm.take(OCTETS).value
    inside = algorithm.sees(CONTEXT_0_PRIMITIVE)
    ciphertext = (algorithm if inside else content).take(CONTEXT_0_PRIMITIVE).value
    algorithm.end()
    content.end()
    return Envelope(
        form=EnvelopeForm(ciphertext_inside=inside, bare=bare, tagged=tagged),
        recipient=name,
        cipher=cipher,
        iv=iv,
        encrypted_key=encrypted_key,
        ciphertext=ciphertext,
    )


def _oaep_is_tagged(algorithm: Element) -> bool:
    """Check RSAES-OAEP with SHA-256 throughout, and tell whether its parameters have tags."""
    members = algorithm.members()
    if members.take(OBJECT_ID).value != RSAES_OAEP:
        raise NotDer("the key is under RSAES-OAEP")
    parameters = members.take(SEQUENCE).members()
    members.end()
    tagged = parameters.sees(CONTEXT_0)
    if tagged:
        digest, mask = parameters.take(CONTEXT_0).value, parameters.take(CONTEXT_1).value
    else:
        digest, mask = parameters.take(SEQUENCE).raw, parameters.take(SEQUENCE).raw
        if parameters.take(SEQUENCE).raw != _EMPTY_LABEL:
            raise NotDer("OAEP has an empty label")
    parameters.end()
    if digest not in _HASHES or mask not in _MASKS:
        raise NotDer("OAEP is with SHA-256 and MGF1 SHA-256")
    return tagged


def _unpadded(envelope: Envelope, content_key: bytes) -> bytes:
    if envelope.cipher == AES_128_CBC:
        block: AES128 | TripleDES = AES128(content_key)
    elif envelope.cipher == DES_EDE3_CBC and len(content_key) == _TDES_KEY:
        block = TripleDES(content_key)
    else:
        raise ValueError("another cipher")
    decryptor = Cipher(block, CBC(envelope.iv)).decryptor()
    unpadder = PKCS7(block.block_size).unpadder()
    padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()
