"""A kiosk as a process of its own, its pages read by HTTP, and killed at will.

A test module takes the fixtures that it wants by name:

    bench, kiosk = kioskbench.bench, kioskbench.kiosk
"""

import html
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from ceremony.stages import Stage
from terminal.device import make_device_key
from terminal.eppstore import EppStore
from terminal.profile import TerminalProfile
from tests.support.certificates import sample_epp
from tests.support.eppbench import TERMINAL_NO, new_memory
from tests.support.terminalbench import TerminalBench
from tests.support.terminalserver import AUDIENCE, FakeKeyfill, living_kdh

ROOT = Path(__file__).parents[2]
WITHIN = 20.0


@dataclass
class KioskProcess:
    """`keyfill-terminal kiosk`, running; `port` 0 takes a free one and keeps it over restarts."""

    folder: Path
    server: str
    port: int = 0
    python: str = sys.executable
    process: "subprocess.Popen[str]" = field(init=False)
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it; its address is told when it listens."""
        self.process = subprocess.Popen(
            [
                *(self.python, "-P", "-m", "terminal.command", "kiosk", "--json"),
                *("--server", self.server, "--folder", str(self.folder)),
                *("--port", str(self.port)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        """Cut its power: SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def restart(self) -> None:
        """Cut its power and switch it on again, on the same port."""
        self.kill()
        self.start()

    def leave(self) -> None:
        """End it, if it still runs, whatever it is doing."""
        if self.process.poll() is None:
            self.kill()

    def stop(self) -> tuple[int, str]:
        """Ask it to leave; gives the exit code and what it wrote on standard error."""
        self.process.send_signal(signal.SIGTERM)
        errors = self.process.communicate(timeout=WITHIN)[1]
        return self.process.returncode, errors


def _client() -> httpx.Client:
    """A client that leaves no connection open, so that nobody has to close it."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(
        timeout=WITHIN, limits=limits, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )


@dataclass
class KioskPage:
    """A browser window without a browser: reads the page, presses its buttons."""

    url: str
    language: str = "en"
    http: httpx.Client = field(default_factory=_client, repr=False)

    def get(self, path: str = "", **headers: str) -> httpx.Response:
        """Get a path as the page itself would."""
        return self.http.get(self.url + path, headers={"Accept-Language": self.language, **headers})

    def press(self, path: str, **form: str) -> httpx.Response:
        """Press a button of the page; redirects are not followed."""
        headers = {"Origin": self.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        return self.http.post(self.url + path, data=form, headers=headers)

    @property
    def screen(self) -> str:
        """The name of the screen that is shown."""
        return _found(r'data-screen="([a-z]+)"', self.get().text)

    @property
    def text(self) -> str:
        """What a person can read in the page, on one line."""
        body = self.get().text.partition("<body>")[2]
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())

    def await_screen(self, name: str) -> str:
        """Wait for a screen; gives its text."""
        eventually(lambda: self.screen == name, f"screen {name}")
        return self.text

    def await_text(self, part: str) -> str:
        """Wait until a text is on the screen; gives all of it."""
        eventually(lambda: part in self.text, f"text {part}")
        return self.text


@contextmanager
def kiosk_bench(folder: Path, *, approves_at_once: bool = False) -> Iterator[TerminalBench]:
    """A terminal that is set up, with a model, and a server where a test plays the people."""
    keys, pin = sample_epp("bench", 2048), living_kdh().thumbprint
    device = make_device_key(folder)
    EppStore.create(folder / "epp", new_memory(keys, kdh_thumbprint=pin))
    TerminalProfile(
        terminal_no=TERMINAL_NO, audience=AUDIENCE, kdh_thumbprint=pin, model="Sample 280"
    ).write(folder)
    with FakeKeyfill(
        epp=keys,
        device=device.public,
        terminal_no=TERMINAL_NO,
        approves_at_once=approves_at_once,
        qr_texts=[qr_text("first")],
    ) as server:
        yield TerminalBench(folder, server)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[TerminalBench]:
    """A terminal, and a server where the test plays the people."""
    with kiosk_bench(tmp_path / "terminal") as made:
        yield made


@pytest.fixture
def kiosk(bench: TerminalBench) -> Iterator[KioskProcess]:
    """The terminal's kiosk, running."""
    process = KioskProcess(bench.folder, bench.server.url)
    yield process
    process.leave()


def accept(bench: TerminalBench, stage: Stage) -> None:
    """Accept an application over the code that is shown, and go on to a stage."""
    bench.server.accepted_qr = bench.server.qr_texts[-1]
    bench.server.move(stage)


def qr_text(label: str) -> str:
    """A QR code's text as long as a real one."""
    return f"https://keyfill.example/a#{label:.<96}"


def eventually(holds: Callable[[], Any], what: str, within: float = WITHIN) -> None:
    """Wait until something holds; a test that waits in vain fails."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"never came: {what}")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text[:400]
    return match.group(1)
