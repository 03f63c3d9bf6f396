"""A terminal that is set up, and a server that approves whatever it asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from terminal.device import make_device_key
from terminal.eppstore import EppStore
from terminal.profile import TerminalProfile
from tests.support.certificates import sample_epp
from tests.support.eppbench import TERMINAL_NO, new_memory
from tests.support.terminalbench import TerminalBench
from tests.support.terminalserver import AUDIENCE, FakeKeyfill, living_kdh


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[TerminalBench]:
    """A terminal that is set up, and a server that approves whatever it asks."""
    folder, keys = tmp_path / "terminal", sample_epp("bench", 2048)
    device = make_device_key(folder)
    pin = living_kdh().thumbprint
    EppStore.create(folder / "epp", new_memory(keys, kdh_thumbprint=pin))
    profile = TerminalProfile(terminal_no=TERMINAL_NO, audience=AUDIENCE, kdh_thumbprint=pin)
    profile.write(folder)
    with FakeKeyfill(epp=keys, device=device.public, terminal_no=TERMINAL_NO) as server:
        bench = TerminalBench(folder, server)
        yield bench
        bench.close()
