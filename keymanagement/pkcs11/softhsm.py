"""SoftHSM, the HSM of development: finding it, and preparing a private token without root.

A test double: it keeps keys in files and wraps with SHA-1 OAEP only, and whoever is root on its
host reads what it holds. Production sets the module of a validated HSM instead.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keymanagement.pkcs11.faults import HsmUnavailable, ModuleMissing
from keymanagement.pkcs11.module import Pkcs11Module

CONFIGURED_BY: Final = "SOFTHSM2_CONF"
"""The environment variable in which SoftHSM looks for its configuration file."""
MODULES: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
INSTALL: Final = "Install SoftHSM for a PKCS#11 key manager in development: apt install softhsm2."
_UTIL: Final = "softhsm2-util"
_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A token of SoftHSM: its module, its label, and the PINs of its user and of its officer."""

    module: Path
    label: str
    pin: str = field(repr=False)
    so_pin: str = field(repr=False)


def find_module() -> Path:
    """SoftHSM's module.

    Raises:
        ModuleMissing: if it is not installed; the message says how.
    """
    for path in map(Path, MODULES):
        if path.exists() and shutil.which(_UTIL):
            return path
    raise ModuleMissing(INSTALL)


def configuration(tokens: Path) -> str:
    """The text of a configuration file that keeps tokens in a folder of one's own."""
    return (
        f"directories.tokendir = {tokens.absolute()}\n"
        "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
    )


def make_token(conf: Path, token: SoftToken) -> None:
    """Make an empty token where a configuration file says.

    Raises:
        HsmUnavailable: if SoftHSM cannot make it.
    """
    command = [_UTIL, "--init-token", "--free", "--module", str(token.module)]
    pins = ["--label", token.label, "--pin", token.pin, "--so-pin", token.so_pin]
    done = subprocess.run(
        [*command, *pins],
        env={**os.environ, CONFIGURED_BY: str(conf.absolute())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise HsmUnavailable(f"SoftHSM made no token: it ended with {done.returncode}.")


@contextmanager
def configured(module: Path, conf: Path) -> Iterator[None]:
    """Let this process see the tokens of one configuration for a block, and none afterwards."""
    before = os.environ.get(CONFIGURED_BY)
    os.environ[CONFIGURED_BY] = str(conf.absolute())
    try:
        loaded = Pkcs11Module.load(str(module))
        loaded.restart(loaded.generation)
        yield
    finally:
        if before is None:
            del os.environ[CONFIGURED_BY]
        else:
            os.environ[CONFIGURED_BY] = before
