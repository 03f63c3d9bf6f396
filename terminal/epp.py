"""The encrypting PIN pad (EPP) of the reference terminal, with XFS4IoT KeyManagement's names.

Each method names the XFS4IoT command that it stands for. A key token is imported with loadOption
`random`: it has to name the nonce that this EPP gave out last. One nonce is outstanding at a time,
answers one import, and is lost with the power, as in a real EPP.
"""

import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from terminal import hosts
from terminal.epperrors import EppCode, EppError
from terminal.eppimport import Awaited, open_token
from terminal.eppkeys import check_value
from terminal.eppstore import EppMemory, EppStore, StoredKey
from terminal.keytoken import FORMAT

KRD_NONCE_BYTES: Final = 16
MASTER_KEY: Final = "TMK"
KEY_CHECK_MODE: Final = "kcvZero"
ENCRYPTION_KEY: Final = "enckey"
HOST_KEY: Final = "hostkey"


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """A key's check value: XFS4IoT's `keyCheckMode`, and the KCV as 6 lower-case hex digits."""

    key_check_mode: str
    key_check_value: str


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """What ImportKeyToken answers: the key's name, its length in bits and its check value."""

    key: str
    key_length: int
    key_check_mode: str
    key_check_value: str


@dataclass(frozen=True, slots=True)
class KeyDetail:
    """What GetKeyDetail tells of one key; `key_length` in bits, `loaded_at` in Unix seconds.

    `request_id` is Keyfill's: a terminal that restarted sees whether its load came through.
    """

    key: str
    key_usage: str
    algorithm: str
    key_length: int
    loaded_at: int
    request_id: str


def unix_time() -> int:
    """The terminal's clock, in Unix seconds."""
    return int(time.time())


class Epp:
    """An EPP with its power on; a new object on the same store is the EPP after a restart."""

    def __init__(self, store: EppStore, *, clock: Callable[[], int] = unix_time) -> None:
        """Switch the EPP on; `clock` gives Unix seconds, for the expiry of tokens.

        Raises:
            EppStoreError: if the memory is missing or damaged.
        """
        self._store = store
        self._clock = clock
        self._nonce: bytes | None = None
        memory = store.read()
        self.terminal_no = memory.terminal_no
        self.fingerprint = sha256(memory.certificate).hexdigest()

    def start_key_exchange(self) -> bytes:
        """StartKeyExchange: give out a new `randomItem`, 16 bytes; the previous one is void."""
        self._nonce = os.urandom(KRD_NONCE_BYTES)
        return self._nonce

    def import_key_token(
        self,
        token: bytes,
        *,
        request_id: str,
        key: str = MASTER_KEY,
        token_format: str = FORMAT,
    ) -> ImportedKey:
        """ImportKeyToken, loadOption `random`: verify a key token and load its key.

        `token` is the ASCII bytes of the JWS, or the DER of a `tr34` or `gm-envelope` token, as
        `token_format` says; `request_id` is the loading request that the terminal made. A key of
        the same name is replaced only when the new one is in, in one step.

        Raises:
            EppError: INVALID_CERT_STATE without a valid pinned KDH; FORMAT_INVALID or
                SIGNATURE_INVALID if it is no token of that KDH; RANDOM_INVALID if it does not
                name the outstanding nonce; CONTENT_INVALID if it is for another terminal, EPP or
                request, expired, or does not open; USE_VIOLATION if it is not a K1 key of an
                algorithm that this EPP has; INVALID_KEY_LENGTH; DUPLICATE_KEY if the EPP has
                this key or this request's; NO_KEY_RAM if it is full.
            EppStoreError: if the memory is damaged.
        """
        with self._store.changing() as change:
            memory = change.before
            now = self._clock()
            awaited = Awaited(request_id=request_id, nonce=self._nonce, now=now)
            opened = open_token(token, token_format, memory, awaited)
            fresh = StoredKey(
                name=key,
                usage=opened.usage,
                algorithm=opened.algorithm,
                request_id=request_id,
                loaded_at=now,
                key=opened.key,
            )
            change.set_keys(_with_key(memory, fresh))
            # before the write: whatever becomes of it, this nonce answers nothing more
            self._nonce = None
        check = self.generate_kcv(key)
        return ImportedKey(key, 8 * len(fresh.key), check.key_check_mode, check.key_check_value)

    def generate_kcv(self, key: str = MASTER_KEY) -> KeyCheck:
        """GenerateKCV, `kcvZero`: compute a loaded key's check value.

        Raises:
            EppError: KEY_NOT_FOUND if no key has this name.
        """
        stored = _named(self._store.read(), key)
        return KeyCheck(KEY_CHECK_MODE, check_value(stored.algorithm, stored.key))

    def get_key_detail(self, key: str | None = None) -> tuple[KeyDetail, ...]:
        """GetKeyDetail: describe one key, or all of them.

        Raises:
            EppError: KEY_NOT_FOUND if no key has the name that was given.
        """
        memory = self._store.read()
        stored = memory.keys if key is None else (_named(memory, key),)
        return tuple(
            KeyDetail(
                one.name, one.usage, one.algorithm, 8 * len(one.key), one.loaded_at, one.request_id
            )
            for one in stored
        )

    def delete_key(self, key: str) -> None:
        """DeleteKey: forget one key.

        Raises:
            EppError: KEY_NOT_FOUND if no key has this name.
        """
        with self._store.changing() as change:
            gone = _named(change.before, key)
            change.set_keys(tuple(one for one in change.before.keys if one is not gone))

    def get_certificate(self, certificate: str = ENCRYPTION_KEY) -> bytes:
        """GetCertificate: return the EPP's own (`enckey`) or the KDH's (`hostkey`), DER.

        Raises:
            EppError: ACCESS_DENIED for another: this EPP has no signing key of its own;
                INVALID_CERT_STATE if no KDH certificate was loaded.
        """
        memory = self._store.read()
        if certificate == ENCRYPTION_KEY:
            return memory.certificate
        if certificate != HOST_KEY:
            raise EppError(EppCode.ACCESS_DENIED, "the EPP has an encryption certificate only")
        if memory.kdh_certificate is None:
            raise EppError(EppCode.INVALID_CERT_STATE, "no KDH certificate was loaded")
        return memory.kdh_certificate

    def host_certificates(self) -> tuple[bytes, ...]:
        """The certificates (DER) of the KDHs whose tokens the EPP takes, the pinned one first."""
        return hosts.certificates_of(self._store.read())

    def load_certificate(self, certificate: bytes) -> None:
        """LoadCertificate, loadOption `newHost`: take a second KDH's tokens beside the first's.

        Raises:
            EppError: INVALID_CERT_STATE if none is pinned yet, there are two already, or the
                certificate (DER) is no KDH's or not valid now.
        """
        with self._store.changing() as change:
            change.become(hosts.beside(change.before, certificate, now=self._clock()))

    def replace_certificate(self) -> None:
        """ReplaceCertificate: pin the second KDH in place of the first, whose tokens end.

        Raises:
            EppError: INVALID_CERT_STATE if there is no second one.
        """
        with self._store.changing() as change:
            after = hosts.succeeded(change.before)
            if after is None:
                raise EppError(EppCode.INVALID_CERT_STATE, "there is no second KDH")
            change.become(after)


def _with_key(memory: EppMemory, fresh: StoredKey) -> tuple[StoredKey, ...]:
    for one in memory.keys:
        if one.request_id == fresh.request_id or hmac.compare_digest(one.key, fresh.key):
            raise EppError(EppCode.DUPLICATE_KEY, "the EPP has this key")
    others = tuple(one for one in memory.keys if one.name != fresh.name)
    if len(others) >= memory.capacity:
        raise EppError(EppCode.NO_KEY_RAM, "the key RAM is full")
    return (*others, fresh)


def _named(memory: EppMemory, key: str) -> StoredKey:
    for one in memory.keys:
        if one.name == key:
            return one
    raise EppError(EppCode.KEY_NOT_FOUND, "no key has this name")
