"""A terminal's load by `tr34`, from its request to its receipt."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ceremony.stages import Stage
from terminal.device import make_device_key
from terminal.eppstore import EppStore
from terminal.profile import TerminalProfile
from tests.support.certificates import sample_epp
from tests.support.eppbench import TERMINAL_NO, new_memory
from tests.support.terminalbench import TerminalBench
from tests.support.terminalserver import AUDIENCE, FakeKeyfill, living_kdh


def benches(
    folder: Path, *, formats: tuple[str, ...], host: str | None = None
) -> Iterator[TerminalBench]:
    """A terminal that takes these formats, and a server that answers in `tr34`."""
    keys, kdh = sample_epp("bench", 2048), living_kdh(host) if host else living_kdh()
    device = make_device_key(folder)
    memory = new_memory(keys, kdh_thumbprint=kdh.thumbprint, kdh_certificate=kdh.certificate_der)
    EppStore.create(folder / "epp", memory)
    TerminalProfile(
        terminal_no=TERMINAL_NO,
        audience=AUDIENCE,
        kdh_thumbprint=living_kdh().thumbprint,
        formats=formats,
    ).write(folder)
    with FakeKeyfill(
        epp=keys, device=device.public, terminal_no=TERMINAL_NO, kdh=kdh, token_format="tr34"
    ) as server:
        bench = TerminalBench(folder, server)
        yield bench
        bench.close()


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TerminalBench]:
    """A terminal set up as the test says."""
    yield from benches(tmp_path / "terminal", **request.param)


def bent(**how: object) -> pytest.MarkDecorator:
    """How the terminal is set up."""
    return pytest.mark.parametrize("bench", [how], indirect=True, ids=[""])


@bent(formats=("tr34", "oaep-jws"))
def test_a_load_by_tr34_ends_with_the_key_in(bench: TerminalBench) -> None:
    """The EPP has the key, the receipt is taken, and both sides name the same check value."""
    ending = bench.load()
    assert (ending.stage, ending.kcv) == (Stage.LOADED, bench.server.kcv)


@bent(formats=("oaep-jws",))
def test_a_format_that_was_not_asked_for_is_refused(bench: TerminalBench) -> None:
    """The server may not choose what the terminal does not take."""
    ending = bench.load()
    assert (ending.stage, ending.kcv) == (Stage.UNCONFIRMED, None)


@bent(formats=("tr34",), host="another KDH")
def test_an_epp_of_another_kdh_is_refused(bench: TerminalBench) -> None:
    """The terminal's own pin counts, should the EPP have been set up with another."""
    ending = bench.load()
    assert (ending.stage, ending.kcv) == (Stage.UNCONFIRMED, None)
