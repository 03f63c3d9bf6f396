"""What a `gm-envelope` token says of its key: read from the signature, and found again beside it.

KeyTerms ::= SEQUENCE { version INTEGER (1), terminalNo UTF8String, requestId UTF8String,
  epp OCTET STRING, nonce OCTET STRING, usage UTF8String, mode UTF8String,
  exportability UTF8String, algorithm OBJECT IDENTIFIER, notAfter INTEGER }
KeyBlock ::= SEQUENCE { version INTEGER (1), kdh IssuerAndSerialNumber, key OCTET STRING,
  terms Attribute }
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from terminal.gm import identifiers as ids
from terminal.gm.refusal import GmRefused, Rule
from terminal.tr34.der import (
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    Element,
    NotDer,
    Reader,
    whole,
    wrapped,
)

UTF8: Final = 0x0C
SM4_BYTES: Final = 16
_VERSION: Final = 1
_USE: Final = ("K1", "D", "N")


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """The terms of one key; `use` is usage, mode and exportability, `epp` and `nonce` are raw.

    `not_after` is in Unix seconds.
    """

    terminal_no: str
    request_id: str
    epp: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    use: tuple[str, str, str]
    algorithm: bytes
    not_after: int

    def require_use(self) -> None:
        """Pass only an SM4 master key: K1, to decrypt with, never to be exported.

        Raises:
            GmRefused: USE.
        """
        if self.use != _USE or self.algorithm != ids.SM4:
            raise GmRefused(Rule.USE)


def read_terms(values: Element) -> KeyTerms:
    """Read the value of the terms' attribute, which is a SET of one.

    Raises:
        NotDer: if it is anything else.
    """
    members = values.only(SEQUENCE).members()
    if members.take(INTEGER).integer() != _VERSION:
        raise NotDer("terms have version 1")
    terms = KeyTerms(
        terminal_no=_text(members),
        request_id=_text(members),
        epp=members.take(OCTETS).value,
        nonce=members.take(OCTETS).value,
        use=(_text(members), _text(members), _text(members)),
        algorithm=members.take(OBJECT_ID).value,
        not_after=members.take(INTEGER).integer(),
    )
    members.end()
    return terms


def key_of(block: bytes, kdh: bytes, terms: Element) -> bytes:
    """The clear key of a key block, which must name this KDH and hold these signed terms.

    `kdh` is the signer's encoded IssuerAndSerialNumber, `terms` the signed attribute's values.

    Raises:
        NotDer: if it is no key block.
        GmRefused: HOST_INSIDE, TERMS_INSIDE or KEY_LENGTH.
    """
    members = whole(block).members()
    if members.take(INTEGER).integer() != _VERSION:
        raise NotDer("a key block has version 1")
    name = members.take(SEQUENCE).raw
    key = members.take(OCTETS).value
    inside = members.take(SEQUENCE).value
    members.end()
    if not hmac.compare_digest(name, kdh):
        raise GmRefused(Rule.HOST_INSIDE)
    if not hmac.compare_digest(inside, wrapped(OBJECT_ID, ids.KEY_TERMS) + terms.raw):
        raise GmRefused(Rule.TERMS_INSIDE)
    if len(key) != SM4_BYTES:
        raise GmRefused(Rule.KEY_LENGTH)
    return key


def _text(members: Reader) -> str:
    try:
        return members.take(UTF8).value.decode()
    except UnicodeDecodeError:
        raise NotDer("a text is not UTF-8") from None
