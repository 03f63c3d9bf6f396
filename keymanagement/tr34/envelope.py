"""The envelope of a key token: the key block's content under a content key, that one under OAEP.

CMS EnvelopedData (RFC 5652 section 6) version 0 with one KeyTransRecipientInfo. The content key is
new in every envelope. It is AES-128, or three-key TDES for an EPP that has no AES; an envelope
weaker than its TMK is refused (KEY_TOKENS: TR-34 knows no stronger envelope than AES-128).
"""

import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from keymanagement.port import TermsRefused, TransportTooWeak
from keymanagement.strength import require_transport
from keymanagement.tdeskey import random_tdes_key
from keymanagement.tr34.der import (
    NULL,
    context,
    context_octets,
    integer,
    octets,
    sequence,
    set_of,
)
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.form import ContentCipher
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identifiers import (
    AES_128_CBC,
    DATA,
    DES_EDE3_CBC,
    KEY_BLOCK_HEADER,
    MGF1,
    P_SPECIFIED,
    RSAES_OAEP,
    SHA256,
)
from keymanagement.tr34.identity import issuer_and_serial, krd_key

_OAEP: Final = padding.OAEP(
    mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None
)
_AES_KEY: Final = 16


def attribute(kind: bytes, value: bytes) -> bytes:
    """An Attribute (RFC 5652 section 5.3) with one value; both encoded already."""
    return sequence(kind, set_of(value))


def header_attribute(header: KeyBlockHeader) -> bytes:
    """The attribute that holds the key block header, the same inside and outside the envelope."""
    return attribute(KEY_BLOCK_HEADER, octets(bytes(header)))


def envelope(
    key: bytes,
    header: KeyBlockHeader,
    kdh: x509.Certificate,
    krd: x509.Certificate,
    *,
    cipher: ContentCipher,
    dialect: Dialect,
) -> bytes:
    """Encrypt a clear key to a KRD; returns EnvelopedData, DER, different at every call.

    `kdh` is the certificate of whoever signs the token: its name goes inside with the key, so
    that nobody else can sign the same envelope.

    Raises:
        TermsRefused: if `key` has not the length of the header's algorithm, or `krd` is no KRD's.
        TransportTooWeak: if the KRD's key or the cipher is weaker than the TMK.
    """
    transport = krd_key(krd)
    if not cipher.carries(header.algorithm):
        raise TransportTooWeak(f"an envelope under {cipher} does not carry {header.algorithm}")
    require_transport(header.algorithm, transport)
    if len(key) != header.algorithm.key_bytes:
        raise TermsRefused("the key has not its algorithm's length")
    algorithm, content_key, ciphertext = _encrypted(
        sequence(integer(1), issuer_and_serial(kdh), octets(key), header_attribute(header)), cipher
    )
    recipient = sequence(
        integer(0),
        issuer_and_serial(krd),
        sequence(RSAES_OAEP, _oaep_parameters(dialect)),
        octets(transport.encrypt(content_key, _OAEP)),
    )
    content = sequence(DATA, algorithm, context_octets(0, ciphertext))
    return sequence(integer(0), set_of(recipient), content)


def _encrypted(clear: bytes, cipher: ContentCipher) -> tuple[bytes, bytes, bytes]:
    """The algorithm identifier, the content key and the ciphertext."""
    block: BlockCipherAlgorithm
    if cipher is ContentCipher.AES_128:
        content_key = os.urandom(_AES_KEY)
        name, block = AES_128_CBC, AES128(content_key)
    else:
        content_key = random_tdes_key()
        name, block = DES_EDE3_CBC, TripleDES(content_key)
    iv = os.urandom(block.block_size // 8)
    padder = PKCS7(block.block_size).padder()
    encryptor = Cipher(block, CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(clear) + padder.finalize()) + encryptor.finalize()
    return sequence(name, octets(iv)), content_key, ciphertext


def _oaep_parameters(dialect: Dialect) -> bytes:
    if dialect is Dialect.ANNEXB_ERRATA:
        return sequence(
            sequence(SHA256, NULL),
            sequence(MGF1, sequence(SHA256)),
            sequence(P_SPECIFIED, octets(b"")),
        )
    # the empty label is the default and DER leaves defaults out (RFC 4055 section 4.1)
    digest = sequence(SHA256, NULL)
    return sequence(context(0, digest), context(1, sequence(MGF1, digest)))
