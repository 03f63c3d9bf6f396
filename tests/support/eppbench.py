"""A sample EPP on a bench: its keys known, its clock set, its tokens made by the real KDH's key."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from terminal.epp import Epp
from terminal.eppstore import EppMemory, EppStore
from tests.support.certificates import Epp as EppKeys
from tests.support.certificates import sample_epp
from tests.support.keytokens import NOW, TokenForge, encrypted_to, sample_kdh

TERMINAL_NO = "ATM-0001"
REQUEST = "A" * 24
CAPACITY = 3


@dataclass
class Clock:
    """A clock that a test sets; Unix seconds."""

    now: int = NOW

    def __call__(self) -> int:
        """The time that was set."""
        return self.now


def new_memory(
    keys: EppKeys, *, kdh_thumbprint: str | None, kdh_certificate: bytes | None = None
) -> EppMemory:
    """What an EPP of these keys remembers before its first key."""
    private = keys.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return EppMemory(
        terminal_no=TERMINAL_NO,
        private_key=private,
        certificate=keys.certificate,
        kdh_thumbprint=kdh_thumbprint,
        kdh_certificate=kdh_certificate,
        capacity=CAPACITY,
    )


@dataclass
class Bench:
    """One EPP, and the tokens that it is sent; `epp` is the one that is switched on."""

    folder: Path
    keys: EppKeys
    epp: Epp
    clock: Clock
    forge: TokenForge = field(default_factory=lambda: TokenForge(sample_kdh()))

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        kdh_thumbprint: str | None = "",
        kdh_certificate: bytes | None = None,
    ) -> Self:
        """Make an EPP in a folder and switch it on; it pins the sample KDH unless told."""
        keys = sample_epp("bench", 2048)
        pin = sample_kdh().thumbprint if kdh_thumbprint == "" else kdh_thumbprint
        store = EppStore.create(
            folder, new_memory(keys, kdh_thumbprint=pin, kdh_certificate=kdh_certificate)
        )
        clock = Clock()
        return cls(folder, keys, Epp(store, clock=clock), clock)

    def restart(self) -> Epp:
        """Cut the power and switch it on again."""
        self.epp = Epp(EppStore(self.folder), clock=self.clock)
        return self.epp

    def payload(self, key: bytes | None = None, **changes: Any) -> dict[str, Any]:
        """The payload of a right token for a new nonce, but for the changes.

        `key` is the TMK, by default a new AES-128 key.
        """
        nonce = self.epp.start_key_exchange()
        clear = os.urandom(16) if key is None else key
        return {
            "request_id": REQUEST,
            "terminal_no": TERMINAL_NO,
            "epp_fingerprint": self.keys.fingerprint,
            "krd_nonce": nonce.hex(),
            "key_usage": "K1",
            "key_algorithm": "AES-128",
            "iat": NOW,
            "exp": NOW + 86_400,
            "key_encryption": "RSA-OAEP-256",
            "encrypted_key": encrypted_to(self.keys.private_key.public_key(), clear),
            **changes,
        }

    def token(self, key: bytes | None = None, **changes: Any) -> bytes:
        """A token of that payload."""
        return self.forge.token(self.payload(key, **changes))

    def sealed(self) -> bytes:
        """The bytes of the sealed file."""
        return (self.folder / "epp.sealed").read_bytes()
