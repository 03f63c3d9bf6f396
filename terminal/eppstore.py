"""What an EPP remembers without power, in a sealed file.

The file stands in for the tamper-responding memory of a real EPP. It is sealed (AES-256-GCM) under
a storage key in a file beside it, and both have mode 0600: that keeps a stray copy of the one file
from telling anything, and says nothing against whoever takes the folder. A power cut during a
change leaves the old memory or the new, never half of either.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ceremony.statements import RequestId, Seconds, TerminalNo
from terminal.durable import replace

SEALED_FILE: Final = "epp.sealed"
STORAGE_KEY_FILE: Final = "epp.storage-key"
LOCK_FILE: Final = "epp.lock"
_STORAGE_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LABEL: Final = b"keyfill/epp-memory/1"


class EppStoreError(Exception):
    """The EPP's memory is missing, damaged, under another storage key, or cannot be written."""


class _Stored(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class StoredKey(_Stored):
    """One key in the EPP: its name, what it is for, the request that brought it, and itself."""

    name: str
    usage: str
    algorithm: str
    request_id: RequestId
    loaded_at: Seconds
    key: Annotated[bytes, Field(repr=False)]


class EppMemory(_Stored):
    """All that the EPP remembers: its own key pair and certificate (DER), the pin, the keys.

    `kdh_thumbprint` is SHA-256 of the one accepted KDH certificate as base64url, None before one
    was pinned; `kdh_certificate` is that certificate (DER), without which the EPP takes no `tr34`
    and no `gm-envelope` tokens: they do not bring it. `private_key` is PKCS#8, of an RSA or an SM2
    key. `kdh_next_certificate` is a second KDH's (DER), accepted beside the first while the KDH is
    rotated. `capacity` is how many keys the key RAM holds.
    """

    terminal_no: TerminalNo
    private_key: Annotated[bytes, Field(repr=False)]
    certificate: bytes
    kdh_thumbprint: str | None
    kdh_certificate: bytes | None = None
    kdh_next_certificate: bytes | None = None
    capacity: Annotated[int, Field(ge=1)]
    keys: tuple[StoredKey, ...] = ()


class EppStore:
    """The sealed file in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is read yet."""
        self._folder = folder

    @classmethod
    def create(cls, folder: Path, memory: EppMemory) -> Self:
        """Make the folder, a storage key and the first sealed file.

        Raises:
            EppStoreError: if there is an EPP in the folder already.
        """
        store = cls(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with store._exclusive():
            if (folder / SEALED_FILE).exists():
                raise EppStoreError("there is an EPP in this folder")
            replace(folder / STORAGE_KEY_FILE, os.urandom(_STORAGE_KEY_BYTES))
            store._write(memory)
        return store

    def read(self) -> EppMemory:
        """Unseal the memory.

        Raises:
            EppStoreError: if it is missing, damaged or under another storage key.
        """
        try:
            sealed = (self._folder / SEALED_FILE).read_bytes()
            clear = self._aead().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _LABEL)
            return EppMemory.model_validate_json(clear)
        except OSError as error:
            raise EppStoreError("there is no EPP in this folder") from error
        except (InvalidTag, ValidationError, ValueError):
            # the causes hold sealed or clear memory
            raise EppStoreError("the EPP's memory is damaged") from None

    @contextmanager
    def changing(self) -> Iterator["EppChange"]:
        """Hold the memory for one change: what is set on the yielded object is written at the end.

        Nothing is written after an error, nor if nothing was set. Other processes wait.

        Raises:
            EppStoreError: as `read`, or if it cannot be written: the memory is then as before.
        """
        with self._exclusive():
            change = EppChange(self.read())
            yield change
            if change.after is not None:
                self._write(change.after)

    def _write(self, memory: EppMemory) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        clear = memory.model_dump_json().encode()
        sealed = nonce + self._aead().encrypt(nonce, clear, _LABEL)
        try:
            replace(self._folder / SEALED_FILE, sealed)
        except OSError as error:
            raise EppStoreError("the EPP's memory cannot be written") from error

    def _aead(self) -> AESGCM:
        return AESGCM((self._folder / STORAGE_KEY_FILE).read_bytes())

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EppStoreError("there is no EPP in this folder") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class EppChange:
    """The memory as it is, and as it is going to be."""

    __slots__ = ("after", "before")

    def __init__(self, before: EppMemory) -> None:
        """Start with nothing changed."""
        self.before = before
        self.after: EppMemory | None = None

    def become(self, memory: EppMemory) -> None:
        """Set all that the memory is going to be."""
        self.after = memory

    def set_keys(self, keys: tuple[StoredKey, ...]) -> None:
        """Set the keys that the memory is going to hold."""
        self.after = self.before.model_copy(update={"keys": keys})
