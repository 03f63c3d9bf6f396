"""Installing what the tests use: Debian's packages, by commands that say nothing."""

import os
import shutil
import subprocess
from typing import Final

_SECONDS: Final = 600


def install_packages(*packages: str) -> None:
    """Install Debian's packages; the lists are fetched only if they have to be.

    Raises:
        OSError: if there is no apt-get here, or this is not root.
        subprocess.SubprocessError: if it fails.
    """
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise OSError("needs apt-get and root")
    command = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
    if run_quietly(*command, check=False) != 0:
        run_quietly("apt-get", "update")
        run_quietly(*command)


def run_quietly(*command: str, check: bool = True) -> int:
    """Run a command without input or output; gives its exit code.

    Raises:
        OSError, subprocess.SubprocessError: if it cannot be run, or with `check` if it fails.
    """
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
