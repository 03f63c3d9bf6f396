"""A kiosk whose process is killed at any stage comes back with the same loading request."""

from pathlib import Path

import pytest

from ceremony.stages import Stage
from terminal.load import perform
from terminal.loadsession import LoadSession
from terminal.loadstate import LoadFile, LoadState
from tests.support import kioskbench
from tests.support.kioskbench import KioskPage, KioskProcess, accept
from tests.support.terminalbench import TerminalBench as Bench
from tests.support.terminalserver import ADMINISTRATOR, APPROVAL_CODE

bench, kiosk = kioskbench.bench, kioskbench.kiosk


def test_killed_at_every_stage_the_same_load_goes_on(bench: Bench, kiosk: KioskProcess) -> None:
    """After SIGKILL each screen comes back as it was; there is one request and one key."""
    server, page = bench.server, KioskPage(kiosk.url)

    def killed(screen: str) -> None:
        kiosk.restart()
        page.await_screen(screen)

    killed("start")
    server.fail("request", "cut-after", *[503] * 4)
    page.press("load")
    page.await_text("Keyfill does not answer")
    killed("scan")
    assert 'id="qr"' in page.get().text
    killed("scan")
    accept(bench, Stage.AWAITING_REVIEW)
    page.await_screen("review")
    killed("review")
    server.move(Stage.AWAITING_CONFIRMATION)
    page.await_screen("approval")
    killed("approval")
    server.fail("confirmation", *[503] * 6)
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    page.await_text("Keyfill does not answer")
    server.faults.clear()
    # The code is in no file: it is asked for again.
    killed("approval")
    server.fail("receipt", *[503] * 20)
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    page.await_text("Keyfill does not answer")
    killed("loading")
    server.faults.clear()
    page.await_screen("ended")
    killed("ended")
    assert f"KCV of Keyfill {server.kcv}" in page.text
    page.press("done")
    killed("start")
    assert server.count("request") == 1
    assert server.count("receipt") == 1
    assert len(server.tokens) == 1


def test_an_ending_meanwhile_is_told_after_the_restart(bench: Bench, kiosk: KioskProcess) -> None:
    """What happened while the kiosk was off is on its screen when it is back."""
    page = KioskPage(kiosk.url)
    page.press("load")
    page.await_screen("scan")
    kiosk.kill()
    bench.server.move(Stage.CANCELLED, "cancelled-by-administrator")
    kiosk.start()
    assert "An administrator cancelled this load" in page.await_screen("ended")


def test_after_the_release_the_code_is_asked_for_with_the_reason(
    bench: Bench, kiosk: KioskProcess
) -> None:
    """Killed with the token on its way, it says why the code is asked for once more."""
    server, page = bench.server, KioskPage(kiosk.url)
    page.press("load")
    page.await_screen("scan")
    accept(bench, Stage.AWAITING_CONFIRMATION)
    page.await_screen("approval")
    server.fail("confirmation", "cut-after", *[503] * 6)
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    page.await_text("Keyfill does not answer")
    server.faults.clear()
    kiosk.restart()
    assert "This terminal was restarted before the key was in" in page.await_screen("approval")
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    page.await_screen("ended")
    assert len(server.tokens) == 2
    assert f"KCV of this terminal {server.kcv}" in page.text


class Killed(BaseException):
    """The power went."""


class ForgetfulFile(LoadFile):
    """A kiosk's state file, whose terminal dies at the nth write: before it, or right after."""

    def __init__(self, folder: Path, *, at: int, after: bool) -> None:
        super().__init__(folder, keeps_code=False)
        self._left = at
        self._after = after

    def write(self, state: LoadState) -> None:
        """Write, unless the power goes."""
        self._left -= 1
        if self._left or self._after:
            super().write(state)
        if not self._left:
            raise Killed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 11))
def test_killed_at_any_write_without_a_stored_code(bench: Bench, at: int, after: bool) -> None:
    """Without a code on disk, too, a load killed at any write ends with one key."""
    bench.server.approves_at_once = True
    bench.server.accepted_qr = bench.server.qr_texts[-1]

    def session(file: LoadFile) -> LoadSession:
        return LoadSession(bench.terminal(), bench.client(), file, bench.kiosk)

    with pytest.raises(Killed):
        perform(session(ForgetfulFile(bench.folder, at=at, after=after)))
    assert f'"{APPROVAL_CODE}"' not in _recorded(bench)
    ending = perform(session(LoadFile(bench.folder, keeps_code=False)))
    bench.close()
    assert ending.stage is Stage.LOADED
    assert ending.kcv == ending.server_kcv == bench.server.kcv
    assert len(bench.server.tokens) <= 2


def _recorded(bench: Bench) -> str:
    path = bench.folder / "load.json"
    return path.read_text() if path.exists() else ""
