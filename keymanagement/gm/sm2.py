"""SM2 (GB/T 32918) for the sending side, by `gmssl-pyx`: in C, with wheels for few platforms.

Keys are raw here: a private key is 32 bytes, a public one x and y, 64 bytes.
"""

from importlib import import_module
from typing import Final, Protocol, cast

from ceremony.sm2 import SIGNER_ID, Sm2PublicKey
from keymanagement.port import FormatUnsupported

PRIVATE_BYTES: Final = 32


class Sm2Missing(FormatUnsupported):
    """There is no SM2 on this machine, and so no `gm-envelope`: `gmssl-pyx` is not installed."""


class _Library(Protocol):
    GmsslInnerError: type[Exception]

    def sm2_key_generate(self) -> tuple[bytes, bytes]: ...

    def sm2_sign(
        self, private_key: bytes, public_key: bytes, message: bytes, signer_id: bytes
    ) -> bytes: ...

    def sm2_encrypt(self, public_key: bytes, plaintext: bytes) -> bytes: ...


def _load() -> _Library | None:
    try:
        return cast(_Library, import_module("gmssl_pyx"))
    except ImportError:
        return None


_gmssl: _Library | None = _load()


def available() -> bool:
    """Tell whether this machine has SM2."""
    return _gmssl is not None


def generate() -> tuple[bytes, Sm2PublicKey]:
    """Make a key pair.

    Raises:
        Sm2Missing: if there is no SM2 here.
    """
    point, private = _required().sm2_key_generate()
    return private, Sm2PublicKey(point)


def sign(private: bytes, public: Sm2PublicKey, message: bytes) -> bytes:
    """Sign by SM2 with SM3 and the default identifier; returns SM2Signature, DER.

    Raises:
        Sm2Missing: if there is no SM2 here.
        ValueError: if the private key is none.
    """
    library = _required()
    if len(private) != PRIVATE_BYTES:
        raise ValueError("an SM2 private key has 32 bytes")
    try:
        return library.sm2_sign(private, public.point, message, SIGNER_ID)
    except library.GmsslInnerError:
        # the cause's frames hold the private key
        raise ValueError("the SM2 key does not sign") from None


def encrypt(public: Sm2PublicKey, clear: bytes) -> bytes:
    """Encrypt up to 255 bytes; returns SM2Cipher, DER: x, y, hash and ciphertext (GM/T 0009 7.2).

    Raises:
        Sm2Missing: if there is no SM2 here.
    """
    return _required().sm2_encrypt(public.point, clear)


def _required() -> _Library:
    if _gmssl is None:
        raise Sm2Missing("SM2 needs gmssl-pyx, which is not installed here")
    return _gmssl
