"""The device key: what the terminal's software signs with; never the EPP's key.

A private JWK in `device.jwk`, mode 0600. Whoever copies the disk has it (docs/threat-model.md), so
it proves the terminal's software and nothing about its EPP.
"""

from pathlib import Path
from typing import Final

from ceremony.encoding import EncodingError, canonical_json, strict_json
from ceremony.keys import KeyRefused, SigningKey
from terminal.durable import replace

DEVICE_KEY_FILE: Final = "device.jwk"


class DeviceKeyError(Exception):
    """The device key is missing, unreadable, or there already; the message holds no key."""


def read_device_key(folder: Path) -> SigningKey:
    """Read the device key of a terminal's folder.

    Raises:
        DeviceKeyError: if there is none, or it is no private JWK of an accepted algorithm.
    """
    path = folder / DEVICE_KEY_FILE
    try:
        return SigningKey.from_jwk(strict_json(path.read_bytes()))
    except OSError:
        raise DeviceKeyError(f"There is no device key at {path}.") from None
    except (EncodingError, KeyRefused):
        # The cause could quote the file.
        raise DeviceKeyError(f"The device key at {path} cannot be used.") from None


def make_device_key(folder: Path, *, alg: str = "ES256") -> SigningKey:
    """Make a device key in a terminal's folder.

    Raises:
        DeviceKeyError: if there is one: the registry names it, so it is not simply replaced.
        KeyRefused: if the algorithm is unknown.
    """
    path = folder / DEVICE_KEY_FILE
    if path.exists():
        raise DeviceKeyError(f"There is a device key at {path} already.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate(alg)
    replace(path, canonical_json(key.private_jwk()))
    return key
