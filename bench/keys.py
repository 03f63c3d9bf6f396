"""Key tokens a CPU second, for each format and key manager, beside openssl's speed here.

    python -m bench.keys --seconds 3

A token costs one signature of the KDH (RSA-3072 or SM2) and one encryption to the EPP (RSA-2048 or
SM2), and can be no faster than these two. `openssl speed` measures them in the same run; an
encryption is counted as a verification, which is the same operation with a public RSA key, and
nearly the same work with an SM2 one. The ratio says how near the tokens come to that: 1.00 would be
a token that costs nothing besides. It may be more, since `cryptography` brings an OpenSSL of its
own, which may be newer and faster than the command. `keys` are new keys a second, with what is
checked of each.

One thread, and CPU time throughout, as `openssl speed` counts it too: another program's load does
not show. SoftHSM and NSS run inside the process; of an HSM elsewhere this would tell nothing. A
line is left out where its module is not installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from keymanagement.gm import sm2
from keymanagement.pkcs11.softhsm import CONFIGURED_BY
from keymanagement.port import KeyAlgorithm, KeyBinding, KeyManager, TokenTerms
from keymanagement.software import SoftwareKeyManager
from tests.support import softhsm
from tests.support.certificates import sample_epp
from tests.support.gmworld import gm_kdh, gm_terms
from tests.support.hsmbench import KEK, HsmBench
from tests.support.keytokens import sample_kdh, terms_for

EPP_BITS: Final = 2048
KDH_BITS: Final = 3072
TERMINAL: Final = "ATM-0001"


@dataclass(frozen=True)
class Line:
    """One key manager and format: what it is asked for, and how fast openssl would be."""

    name: str
    manager: KeyManager
    token_format: str
    algorithm: KeyAlgorithm
    terms: TokenTerms
    best: float


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 2 if there is no openssl."""
    parser = argparse.ArgumentParser(prog="python -m bench.keys")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    seconds: float = parser.parse_args(arguments).seconds
    if shutil.which("openssl") is None:
        _say("needs the openssl command")
        return 2
    speed = openssl_speed(max(1, round(seconds)))
    for name, (signs, verifies) in speed.items():
        _say(f"openssl speed  {name:8} {signs:10.0f} sign/s {verifies:10.0f} verify/s")
    _say(f"{'key manager':12} {'format':12} {'key':8} {'keys/s':>9} {'tokens/s':>9}  of openssl's")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for line in _lines(Path(folder), speed, stack):
            keys, tokens = measured(line, seconds)
            ratio = tokens / line.best
            _say(
                f"{line.name:12} {line.token_format:12} {line.algorithm:8} {keys:9.0f}"
                f" {tokens:9.0f}  {line.best:6.0f}/s: {ratio:.2f}"
            )
    return 0


def openssl_speed(seconds: int) -> dict[str, tuple[float, float]]:
    """Signatures and verifications a second by `openssl speed`, by name of the key."""
    done = subprocess.run(
        [
            *("openssl", "speed", "-mr", "-seconds", str(seconds)),
            *(f"rsa{EPP_BITS}", f"rsa{KDH_BITS}", "sm2"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, tuple[float, float]] = {}
    for line in done.stdout.splitlines():
        fields = line.split(":")
        if fields[0] == "+F2":
            found[f"rsa{fields[2]}"] = (float(fields[3]), float(fields[4]))
        elif fields[0] == "+F7":
            found["sm2"] = (float(fields[4]), float(fields[5]))
    return found


def measured(line: Line, seconds: float) -> tuple[float, float]:
    """New keys and tokens a second."""
    made = 0

    def create() -> None:
        nonlocal made
        made += 1
        binding = KeyBinding(TERMINAL, f"request{made:017d}")
        line.manager.create(line.algorithm, binding)
        line.manager.forget(binding)

    binding = KeyBinding(line.terms.terminal_no, line.terms.request_id)
    created = line.manager.create(line.algorithm, binding)

    def wrap() -> None:
        line.manager.make_token(
            created.block, line.algorithm, binding, line.terms, line.token_format
        )

    return _rate(create, seconds), _rate(wrap, seconds)


def _rate(act: Callable[[], None], seconds: float) -> float:
    act()
    count, began = 0, time.process_time()
    while (taken := time.process_time() - began) < seconds:
        act()
        count += 1
    return count / taken


def _lines(folder: Path, speed: dict[str, tuple[float, float]], stack: ExitStack) -> Iterator[Line]:
    by_rsa = _together(speed[f"rsa{KDH_BITS}"][0], speed[f"rsa{EPP_BITS}"][1])
    aes, terms = (
        KeyAlgorithm.AES_128,
        terms_for(sample_epp("strength", EPP_BITS), terminal_no=TERMINAL, request_id="T" * 24),
    )
    gm = gm_kdh() if sm2.available() else None
    software = SoftwareKeyManager(KEK, sample_kdh(), gm)
    for token_format in ("tr34", "oaep-jws"):
        yield Line("software", software, token_format, aes, terms, by_rsa)
    if gm is not None:
        by_sm2 = _together(*speed["sm2"])
        own = replace(gm_terms(), terminal_no=TERMINAL)
        yield Line("software", software, "gm-envelope", KeyAlgorithm.SM4, own, by_sm2)
    if softhsm.softhsm() is not None:
        before = os.environ.get(CONFIGURED_BY)
        os.environ[CONFIGURED_BY] = str(folder / "softhsm" / "softhsm2.conf")
        stack.callback(_restore, before)
        manager = HsmBench.softhsm(folder / "softhsm").manager()
        yield Line("softhsm", manager, "oaep-jws", aes, terms, by_rsa)
    if softhsm.softokn() is not None:
        manager = HsmBench.nss(folder / "nss").manager()
        yield Line("nss", manager, "oaep-jws", aes, terms, by_rsa)


def _restore(before: str | None) -> None:
    if before is None:
        del os.environ[CONFIGURED_BY]
    else:
        os.environ[CONFIGURED_BY] = before


def _together(signs: float, verifies: float) -> float:
    return 1 / (1 / signs + 1 / verifies)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
