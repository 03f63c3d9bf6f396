"""The software tokens that the PKCS#11 key manager is tested on: found, or installed where it can.

    python -m tests.support.softhsm

As root on Debian: its packages of SoftHSM and NSS. Elsewhere the tests of the HSM are skipped and
say so; with REQUIRE_HSM set, as in `.ci/run`, that is a failure.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

from tests.support.installing import install_packages

REQUIRED: Final = "REQUIRE_HSM"
PACKAGES: Final = ("softhsm2", "libnss3")
NSS_MODULES: Final = (
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
    "/usr/lib64/libsoftokn3.so",
)


def softhsm() -> Path | None:
    """SoftHSM's module, if it is here."""
    try:
        # `python-pkcs11` is installed on Linux only.
        from keymanagement.pkcs11.faults import ModuleMissing
        from keymanagement.pkcs11.softhsm import find_module
    except ImportError:
        return None
    try:
        return find_module()
    except ModuleMissing:
        return None


def softokn() -> Path | None:
    """The module of NSS, if it is here."""
    return next((path for path in map(Path, NSS_MODULES) if path.exists()), None)


def required() -> bool:
    """Whether a missing token is a failure."""
    return bool(os.environ.get(REQUIRED))


def needed(module: Path | None, name: str) -> Path:
    """The module of a token that a test needs.

    Without one the test is skipped, or fails where the tokens are required.
    """
    # Who only installs them has no use for pytest.
    import pytest

    if module is not None:
        return module
    if required():
        pytest.fail(f"{name} is required here ({REQUIRED}) and is not installed")
    pytest.skip(f"{name} is not installed: `python -m tests.support.softhsm` installs it")


def install() -> None:
    """Install both.

    Raises:
        OSError, subprocess.SubprocessError: if it cannot be done here.
    """
    install_packages(*PACKAGES)


def main() -> int:
    """Find or install the tokens; 1 if they are required and cannot be had."""
    if softhsm() and softokn():
        return 0
    _say("No software HSM here: installing SoftHSM and NSS for the tests of the key manager")
    try:
        install()
    except (OSError, subprocess.SubprocessError) as error:
        _say(f"The tests of the PKCS#11 key manager are skipped: {error}")
    return 1 if required() and not (softhsm() and softokn()) else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    raise SystemExit(main())
