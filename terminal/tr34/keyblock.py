"""The key block inside a key token's envelope: the KDH's name, the clear key and its header."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cryptography import x509

from terminal.eppkeys import TDES, is_well_formed
from terminal.tr34.certificates import issuer_and_serial
from terminal.tr34.der import INTEGER, OBJECT_ID, OCTETS, SEQUENCE, SET, NotDer, whole
from terminal.tr34.identifiers import KEY_BLOCK_HEADER
from terminal.tr34.refusal import Rule, Tr34Refused

# X9.143: version, length (without meaning here), usage, algorithm, mode, version number of the
# key, exportability, number of optional blocks (none), reserved
_HEADER: Final = re.compile(
    rb"[A-D][0-9]{4}(?P<usage>[A-Z0-9]{2})(?P<algorithm>[A-Z])(?P<mode>[A-Z])[A-Za-z0-9]{2}"
    rb"(?P<export>[ENS])0000\Z"
)
_ALGORITHMS: Final[Mapping[bytes, Mapping[int, str]]] = MappingProxyType(
    {b"A": {16: "AES-128", 24: "AES-192", 32: "AES-256"}, b"T": {24: TDES}}
)
_DECRYPT_ONLY: Final = b"D"
_NOT_EXPORTABLE: Final = b"N"


@dataclass(frozen=True, slots=True)
class KeyBlock:
    """A clear key and what it is for; `header` is the 16 characters in ASCII."""

    header: bytes
    key: bytes = field(repr=False)

    @property
    def usage(self) -> str:
        """The key's usage, two characters."""
        return self._part("usage").decode("ascii")

    @property
    def algorithm(self) -> str:
        """The key's algorithm by its letter and length.

        Raises:
            Tr34Refused: HEADER if the EPP has no such algorithm, KEY_LENGTH if the length is wrong.
        """
        lengths = _ALGORITHMS.get(self._part("algorithm"))
        if lengths is None:
            raise Tr34Refused(Rule.HEADER)
        name = lengths.get(len(self.key))
        if name is None:
            raise Tr34Refused(Rule.KEY_LENGTH)
        return name

    def require_usable(self, usages: frozenset[str]) -> None:
        """Pass only a master key: of a permitted usage, to decrypt with, never to be exported.

        Raises:
            Tr34Refused: HEADER, KEY_LENGTH or KEY_FORM.
        """
        permitted = (
            self.usage in usages
            and self._part("mode") == _DECRYPT_ONLY
            and self._part("export") == _NOT_EXPORTABLE
        )
        if not permitted:
            raise Tr34Refused(Rule.HEADER)
        if not is_well_formed(self.algorithm, self.key):
            raise Tr34Refused(Rule.KEY_FORM)

    def _part(self, name: str) -> bytes:
        found = _HEADER.match(self.header)
        if found is None:
            raise Tr34Refused(Rule.HEADER)
        return found[name]


def read_key_block(content: bytes, kdh: x509.Certificate) -> KeyBlock:
    """Read an envelope's content, which must name the KDH that signed the token.

    Raises:
        NotDer: if it is no key block.
        Tr34Refused: HOST_INSIDE if it names another KDH.
    """
    members = whole(content).members()
    # annex D says 0 and every example 1
    if members.take(INTEGER).integer() not in (0, 1):
        raise NotDer("a key block has version 1")
    name = members.take(SEQUENCE).raw
    key = members.take(OCTETS).value
    attribute = members.take(SEQUENCE).members()
    members.end()
    if attribute.take(OBJECT_ID).value != KEY_BLOCK_HEADER:
        raise NotDer("a key block holds its header")
    header = attribute.take(SET).only(OCTETS).value
    attribute.end()
    if not hmac.compare_digest(name, issuer_and_serial(kdh)):
        raise Tr34Refused(Rule.HOST_INSIDE)
    return KeyBlock(header, key)
