"""Prometheus' `promtool`, which the alert rules are tested with: found, or fetched where it can.

    python -m tests.support.promtool

On Debian its package is fetched and unpacked beside the tests' environment: installed, it would
start a server. Elsewhere the tests that need it are skipped and say so; with REQUIRE_PROMTOOL set
that is a failure.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

REQUIRED: Final = "REQUIRE_PROMTOOL"
PACKAGE: Final = "prometheus"
OWN_COPY: Final = Path(sys.prefix) / "promtool"
WITHIN: Final = 300


def promtool() -> Path | None:
    """The program, if it is here."""
    own = OWN_COPY / "usr" / "bin" / "promtool"
    if own.exists():
        return own
    found = shutil.which("promtool")
    return None if found is None else Path(found)


def required() -> bool:
    """Whether its absence is a failure."""
    return bool(os.environ.get(REQUIRED))


def needed() -> Path:
    """The program for a test, which is otherwise skipped, or fails where it is required."""
    # Who only fetches it has no use for pytest.
    import pytest

    found = promtool()
    if found is not None:
        return found
    if required():
        pytest.fail(f"promtool is required here ({REQUIRED}) and is not installed")
    pytest.skip("NO PROMTOOL: `python -m tests.support.promtool` fetches it")


def fetch() -> None:
    """Fetch and unpack it; apt checks what it fetches.

    Raises:
        OSError, subprocess.SubprocessError: if it cannot be done here.
    """
    if shutil.which("apt-get") is None:
        raise OSError("needs apt-get")
    with tempfile.TemporaryDirectory() as folder:
        download = ("apt-get", "download", PACKAGE)
        if _run(*download, folder=folder, check=False) != 0:
            _run("apt-get", "update", folder=folder)
            _run(*download, folder=folder)
        (package,) = Path(folder).glob(f"{PACKAGE}_*.deb")
        _run("dpkg-deb", "--extract", str(package), str(OWN_COPY), folder=folder)


def _run(*command: str, folder: str, check: bool = True) -> int:
    done = subprocess.run(
        command,
        cwd=folder,
        check=check,
        timeout=WITHIN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return done.returncode


def main() -> int:
    """Find or fetch it; 1 if it is required and cannot be had."""
    if promtool():
        return 0
    _say("No promtool here: fetching Debian's for the tests of the alert rules")
    try:
        fetch()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _say(f"The alert rules are not tested on Prometheus' own promtool: {error}")
    return 1 if required() and not promtool() else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    raise SystemExit(main())
