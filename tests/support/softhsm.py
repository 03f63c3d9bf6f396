"""The software tokens that the PKCS#11 key manager is tested on: found, or installed where it can.

    python -m tests.support.softhsm

As root on Debian: its packages of SoftHSM and NSS. Elsewhere the tests of the HSM are skipped and
say so; with REQUIRE_HSM set, as in `.ci/run`, that is a failure.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

REQUIRED: Final = "REQUIRE_HSM"
PACKAGES: Final = ("softhsm2", "libnss3")
NSS_MODULES: Final = (
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
    "/usr/lib64/libsoftokn3.so",
)
_SECONDS: Final = 600


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


def install() -> None:
    """Install both.

    Raises:
        OSError, subprocess.SubprocessError: if it cannot be done here.
    """
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise OSError("needs apt-get and root")
    command = ("apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES)
    if _run(*command, check=False) != 0:
        _run("apt-get", "update")
        _run(*command)


def _run(*command: str, check: bool = True) -> int:
    done = subprocess.run(
        command,
        check=check,
        timeout=_SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
    )
    return done.returncode


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
