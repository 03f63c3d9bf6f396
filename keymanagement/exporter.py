"""Wrapping a key anew for the ATM back office, without it ever leaving the key manager.

The exported block is X9.143 version D as well (`keymanagement.keyblock`), under the *export key*,
which the key worker and the back office share as two HSMs share a zone master key. Usage,
algorithm, mode and label are those of the host's copy (`keymanagement.hostcopy`); exportability is
N: the back office uses the key and passes it on to nobody. KP holds the check value of the export
key, by which the back office chooses its own.
"""

from typing import Protocol

from ceremony.encoding import sha256_hex
from keymanagement.hostcopy import CHECK, CHECK_METHOD, LONGEST, HostCopies
from keymanagement.keyblock import BlockHeader, BlockProtection
from keymanagement.port import ExportedKey, KeyAlgorithm, KeyBinding


class KeyExporter(Protocol):
    """The port: a key manager that can wrap a key under the export key. All calls may be repeated.

    An HSM that wraps key blocks by itself answers it as well; one that cannot (PKCS#11 has no
    mechanism for X9.143) leaves it out, and its keys are not exported.
    """

    @property
    def check(self) -> str:
        """The export key's check value, 10 upper-case hexadecimal digits."""
        ...

    def export(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> ExportedKey:
        """Wrap the key in a host's copy under the export key; another block at every call.

        Raises:
            HostCopyInvalid: if `block` is not this key manager's for this binding and algorithm.
        """
        ...


class SoftwareKeyExporter:
    """Answers `KeyExporter` beside the software key manager, on the same host's copies."""

    __slots__ = ("_copies", "_protection")

    def __init__(self, copies: HostCopies, export_key: bytes) -> None:
        """Take what opens the host's copies, and the export key, 32 random bytes.

        Raises:
            ValueError: if the export key has another length.
        """
        self._copies = copies
        self._protection = BlockProtection(export_key)

    @property
    def check(self) -> str:
        """The export key's check value; see the port."""
        return self._protection.check

    def export(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> ExportedKey:
        """Open the host's copy and wrap its key anew; see the port."""
        header, key = self._copies.unwrapped(block, algorithm, binding)
        kept = tuple(one for one in header.optional if one[0] != CHECK)
        exported = self._protection.wrap(
            BlockHeader(
                usage=header.usage,
                algorithm=header.algorithm,
                mode=header.mode,
                exportability="N",
                optional=(*kept, (CHECK, CHECK_METHOD + self.check)),
            ),
            key,
            at_least=LONGEST[header.algorithm],
        )
        return ExportedKey(exported, sha256_hex(exported), self.check)
