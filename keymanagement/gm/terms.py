"""What a `gm-envelope` token says of its key, in the signature and again beside the key.

TR-34 binds a key by the 16 characters of an X9.143 header, and X9.143 has no letter for SM4. A
GB/T 35275 envelope leaves it open, so that more can be bound here than there: besides the use, the
terminal, the request, the EPP, its nonce and an end.

    KeyTerms ::= SEQUENCE {
      version        INTEGER (1),
      terminalNo     UTF8String,
      requestId      UTF8String,
      epp            OCTET STRING (32),   -- SHA-256 of the EPP's certificate
      nonce          OCTET STRING (16),   -- the EPP's
      usage          UTF8String,          -- K1, or K0 by policy; this and the next two as X9.143
      mode           UTF8String,          -- D: the terminal decrypts with it
      exportability  UTF8String,          -- N
      algorithm      OBJECT IDENTIFIER,   -- SM4
      notAfter       INTEGER }            -- Unix seconds
    KeyBlock ::= SEQUENCE {
      version        INTEGER (1),
      kdh            IssuerAndSerialNumber,
      key            OCTET STRING (16),
      terms          Attribute }          -- 2.25.119589597409290980121874722824758596049.2
"""

from typing import Final

from cryptography import x509

from ceremony.encoding import from_hex
from keymanagement.gm.identifiers import KEY_TERMS, SM4
from keymanagement.port import TokenTerms
from keymanagement.tr34.der import integer, octets, sequence, utf8
from keymanagement.tr34.envelope import attribute
from keymanagement.tr34.identity import issuer_and_serial

_VERSION: Final = 1
_MODE: Final = "D"
_EXPORTABILITY: Final = "N"


def terms_attribute(terms: TokenTerms) -> bytes:
    """The attribute that holds KeyTerms, encoded: the same inside and outside the envelope."""
    return attribute(
        KEY_TERMS,
        sequence(
            integer(_VERSION),
            utf8(terms.terminal_no),
            utf8(terms.request_id),
            octets(from_hex(terms.epp_fingerprint)),
            octets(from_hex(terms.krd_nonce)),
            utf8(terms.key_usage),
            utf8(_MODE),
            utf8(_EXPORTABILITY),
            SM4,
            integer(terms.expires_at),
        ),
    )


def key_block(key: bytes, kdh: x509.Certificate, terms: TokenTerms) -> bytes:
    """What goes into the envelope: the clear key, who sends it, and what it is for; encoded."""
    return sequence(integer(_VERSION), issuer_and_serial(kdh), octets(key), terms_attribute(terms))
