"""Whoever reads the key worker's memory finds no terminal master key, if an HSM makes them.

A process loads a hundred keys; the EPP's key gives the test every one of them in clear. All that
the process may write is then searched: /proc/<pid>/mem, where gdb is a core, and its files, which
are the journal, the database and the log, with what SQLite keeps beside them.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.certificates import sample_epp
from tests.support.hsmbench import KEK, HsmBench, opened
from tests.support.keyloads import LoadOrder
from tests.support.keytokens import NOW, sample_kdh_files

LOADS: Final = {"softhsm": 100, "nss": 30}
LOOKS: Final = (1, 10)
"""After how many loads the memory is searched; and at the end."""
EPP: Final = sample_epp("strength", 2048)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"),
    pytest.mark.once("about a process's memory; it searches the SQLite file beside it"),
]


class LoadingProcess:
    """The process that makes the keys, and what is in its memory."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def load(self) -> bytes:
        """Have it make one more key; gives the key."""
        return opened(base64.b64decode(self._say("load\n")), EPP)

    def holds(self, keys: list[bytes]) -> list[int]:
        """Which of the keys are in its memory, raw or as hexadecimal."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            found = _found(_memory(self._process.pid), keys)
        finally:
            os.kill(self._process.pid, signal.SIGCONT)
        return found

    def core_holds(self, keys: list[bytes], folder: Path) -> list[int]:
        """Which of the keys are in a core of it."""
        command = ["gcore", "-o", str(folder / "core"), str(self._process.pid)]
        subprocess.run(command, check=True, capture_output=True)
        (core,) = folder.glob("core.*")
        return _found(iter([core.read_bytes()]), keys)

    def _say(self, text: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def loading(order: LoadOrder) -> Iterator[LoadingProcess]:
    """Start the process, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.support.keyloads"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with process:
        try:
            made = LoadingProcess(process)
            assert made._say(json.dumps(asdict(order)) + "\n") == "ready\n"
            yield made
        finally:
            process.kill()


def files_hold(folder: Path, keys: list[bytes]) -> dict[str, list[int]]:
    """Which of the keys are in which file: raw, as hexadecimal or as base64."""
    found = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        hits = _found(iter([data]), keys)
        hits += [at for at, key in enumerate(keys) if base64.b64encode(key).rstrip(b"=") in data]
        if hits:
            found[path.name] = hits
    return found


def hsm_order(bench: HsmBench, folder: Path) -> LoadOrder:
    """Keys of a bench's HSM."""
    certificate = x509.load_der_x509_certificate(bench.kdh.certificate_der)
    bench.connection.close()
    return LoadOrder(
        epp=base64.b64encode(EPP.certificate).decode(),
        fingerprint=EPP.fingerprint,
        kdh_certificate=certificate.public_bytes(Encoding.PEM).decode(),
        now=NOW,
        kek=KEK.hex(),
        folder=str(folder),
        module=str(bench.access.module),
        token=bench.access.token,
        pin=bench.access.pin,
        parameters=bench.access.parameters,
        sha1=bench.rules.allow_oaep_sha1,
        untrusted=bench.rules.allow_untrusted_wrap,
    )


def software_order(folder: Path, *, keep: bool) -> LoadOrder:
    """Keys of the software key manager."""
    files = sample_kdh_files()
    return LoadOrder(
        epp=base64.b64encode(EPP.certificate).decode(),
        fingerprint=EPP.fingerprint,
        kdh_certificate=files.certificate_pem.decode(),
        kdh_key=files.key_pem.decode(),
        now=NOW,
        kek=KEK.hex(),
        folder=str(folder),
        keep=keep,
    )


@pytest.mark.parametrize("module", ["softhsm", "nss"])
def test_no_key_of_an_hsm_is_in_memory(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred loads, looks into memory between them and after, a core, all files: not one key.

    Both modules are software and so run inside the process, which makes it the hardest case: they
    have to wipe what they used. A real HSM has no key there in the first place.
    """
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    bench = getattr(HsmBench, module)(tmp_path)
    keys: list[bytes] = []
    folder = tmp_path / "written"
    folder.mkdir()
    with loading(hsm_order(bench, folder)) as process:
        for number in range(1, LOADS[module] + 1):
            keys.append(process.load())
            if number in (*LOOKS, LOADS[module]):
                assert process.holds(keys) == []
        if shutil.which("gcore"):
            assert process.core_holds(keys, tmp_path) == []
        written = {path.name for path in folder.iterdir()}
        assert written >= {"journal.db", "keyfill.db", "process.log"}
        assert (folder / "process.log").read_bytes().count(b"made CreatedKey") == LOADS[module]
        assert files_hold(folder, keys) == {}
    assert len(set(keys)) == LOADS[module]


def test_the_search_finds_a_key_that_is_held(tmp_path: Path) -> None:
    """The control: of a process that keeps every key in a variable, every key is found.

    And so is one in a file, however it is written.
    """
    with loading(software_order(tmp_path, keep=True)) as process:
        keys = [process.load() for _ in range(5)]
        assert files_hold(tmp_path, keys) == {}
        spoken = (keys[0], keys[1].hex().encode(), base64.b64encode(keys[2]))
        (tmp_path / "spoken").write_bytes(b" ".join(spoken))
        assert files_hold(tmp_path, keys) == {"spoken": [0, 1, 2]}
        assert process.holds(keys) == [0, 1, 2, 3, 4]
        assert process.holds([os.urandom(16)]) == []


def _memory(pid: int) -> Iterator[bytes]:
    """All that a process may write, region by region."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            if "w" not in rights:
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            memory.seek(start)
            region = bytearray()
            while len(region) < end - start:
                part = memory.read(end - start - len(region))
                if not part:
                    break
                region += part
            yield bytes(region)


def _found(regions: Iterator[bytes], keys: list[bytes]) -> list[int]:
    found = set()
    for region in regions:
        for number, key in enumerate(keys):
            if key in region or key.hex().encode() in region:
                found.add(number)
    return sorted(found)
