"""A load from the terminal's side: every ending, every repeat, and what is never repeated."""

import stat

import pytest

from ceremony.stages import Stage
from terminal.confirming import UnknownQr
from terminal.epp import Epp
from terminal.eppstore import EppStore
from terminal.kiosk import NoInput
from terminal.load import cancel, perform
from terminal.loadstate import LOAD_FILE
from terminal.transport import ServerRefused
from tests.support.terminalbench import TerminalBench as Bench
from tests.support.terminalserver import ADMINISTRATOR, APPROVAL_CODE, living_kdh


def test_a_load_ends_with_the_key_in_and_both_kcvs(bench: Bench) -> None:
    """The EPP has the key, the receipt is taken, and both sides name the same check value."""
    ending = bench.load()
    assert (ending.stage, ending.reason) == (Stage.LOADED, "loaded")
    assert ending.kcv == ending.server_kcv == bench.server.kcv
    assert Epp(EppStore(bench.folder / "epp")).generate_kcv().key_check_value == ending.kcv
    acts = ("request", "confirmation", "receipt")
    assert [bench.server.count(act) for act in acts] == [1, 1, 1]
    assert bench.kiosk.stages == ["AWAITING_APPLICATION", "AWAITING_CONFIRMATION", "LOADED"]


def test_the_state_file_is_private_and_forgets_the_code(bench: Bench) -> None:
    """The state file has mode 0600, and after the receipt no approval code is in it."""
    bench.load()
    path = bench.folder / LOAD_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    state = bench.file.read()
    assert state is not None
    assert state.approval is None
    assert f'"{APPROVAL_CODE}"' not in path.read_text()


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (Stage.REJECTED, "rejected"),
        (Stage.EXPIRED, "expired"),
        (Stage.CANCELLED, "cancelled-by-administrator"),
        (Stage.FAILED, "attempts-exhausted"),
    ],
)
def test_a_load_ends_as_the_server_says(bench: Bench, stage: Stage, reason: str) -> None:
    """A final stage ends the load at once; no key is asked for any more."""
    bench.server.approves_at_once = False
    bench.server.stage, bench.server.reason = stage, reason
    ending = bench.load()
    assert (ending.stage, ending.reason, ending.kcv) == (stage, reason, None)
    assert bench.server.count("confirmation") == 0


@pytest.mark.parametrize("act", ["request", "confirmation", "receipt"])
@pytest.mark.parametrize("fault", ["cut-before", "cut-after", 202, 429, 500, 502, 503, 504])
def test_a_fault_repeats_the_same_statement(bench: Bench, act: str, fault: str | int) -> None:
    """Whatever happens to a call, before or after the server took it, the same bytes go again."""
    bench.server.fail(act, fault, fault)
    assert bench.load().stage is Stage.LOADED
    assert bench.server.count(act) == 1
    taken = 3 if fault in ("cut-after", 202) else 1
    assert bench.server.repeats(act) == taken
    assert len(bench.server.tokens) == 1


def test_an_old_challenge_is_replaced(bench: Bench) -> None:
    """A request whose challenge grew old is signed anew with a fresh one."""
    bench.server.refuse("request", "challenge-refused")
    assert bench.load().stage is Stage.LOADED
    assert bench.server.count("request") == 2


def test_a_refused_request_leaves_nothing_behind(bench: Bench) -> None:
    """A terminal that may not ask learns the code, and its next run starts from the beginning."""
    bench.server.refuse("request", "registry-incomplete")
    with pytest.raises(ServerRefused) as refused:
        bench.load()
    assert refused.value.code == "registry-incomplete"
    state = bench.file.read()
    assert state is not None
    assert state.request is None
    assert bench.load().stage is Stage.LOADED


def test_a_mistyped_code_is_asked_for_again(bench: Bench) -> None:
    """The administrator types again, and is told why; each try is a statement of its own."""
    bench.kiosk.typed = [(ADMINISTRATOR, "0000"), ("A9999", APPROVAL_CODE), *bench.kiosk.typed]
    assert bench.load().stage is Stage.LOADED
    assert bench.kiosk.problems == [None, "approval-code-wrong", "approval-code-wrong"]
    assert bench.server.count("confirmation") == 3


def test_nobody_at_the_terminal_leaves_the_load_open(bench: Bench) -> None:
    """Without an approval code nothing is confirmed, and a later run goes on from there."""
    bench.kiosk.typed = []
    with pytest.raises(NoInput):
        bench.load()
    assert bench.server.count("confirmation") == 0
    bench.kiosk.typed = [(ADMINISTRATOR, APPROVAL_CODE)]
    assert bench.load().stage is Stage.LOADED
    assert bench.server.count("request") == 1


def test_the_scanned_code_is_confirmed_not_the_newest(bench: Bench) -> None:
    """Of two codes that were shown, the confirmation names the one of the accepted application."""
    server = bench.server
    server.approves_at_once = False
    server.accepted_qr = server.qr_texts[0]
    _open_and_show_another(bench)
    server.move(Stage.AWAITING_CONFIRMATION)
    assert bench.load().stage is Stage.LOADED
    assert len(bench.kiosk.shown) == 2


def test_without_the_servers_word_the_newest_code_is_confirmed(bench: Bench) -> None:
    """A server that does not say which code was scanned gets the newest that was shown."""
    bench.server.tells_qr_digest = False
    assert bench.load().stage is Stage.LOADED


def test_a_foreign_code_is_not_confirmed(bench: Bench) -> None:
    """An application over a QR code that this terminal never showed is not confirmed."""
    server = bench.server
    server.approves_at_once = False
    server.accepted_qr = "https://keyfill.test/a#elsewhere"
    _open_and_show_another(bench)
    server.move(Stage.AWAITING_CONFIRMATION)
    with pytest.raises(UnknownQr):
        bench.load()
    assert server.count("confirmation") == 0


def test_a_token_of_another_kdh_is_refused(bench: Bench) -> None:
    """The EPP takes no token but of the pinned KDH; the receipt says so, and nothing is loaded."""
    bench.server.kdh = living_kdh("another")
    ending = bench.load()
    assert (ending.stage, ending.kcv) == (Stage.UNCONFIRMED, None)
    assert bench.terminal().epp.get_key_detail() == ()


def test_an_epp_that_keeps_losing_its_nonce_says_so_in_the_end(bench: Bench) -> None:
    """After three re-wraps the terminal hands in a refusal instead of asking for ever."""
    session = bench.session()
    epp = session.terminal.epp
    given = epp.start_key_exchange

    def lost_at_once() -> bytes:
        nonce = given()
        given()
        return nonce

    epp.start_key_exchange = lost_at_once  # type: ignore[method-assign]
    ending = perform(session)
    assert ending.stage is Stage.UNCONFIRMED
    assert len(bench.server.tokens) == 4
    assert bench.server.count("receipt") == 1


def test_a_forgotten_status_token_joins_the_request_again(bench: Bench) -> None:
    """After a 401 the terminal asks anew and goes on with the same loading request."""
    bench.server.approves_at_once = False
    _open_and_show_another(bench)
    session = bench.session()
    session.save(status_token="of an older key")
    bench.server.accepted_qr = bench.server.qr_texts[-1]
    bench.server.move(Stage.AWAITING_CONFIRMATION)
    assert bench.load().stage is Stage.LOADED
    assert bench.server.count("request") == 2


def test_a_cancellation_ends_it(bench: Bench) -> None:
    """A cancellation by the terminal ends the request, for a waiting load as well."""
    bench.server.approves_at_once = False
    _open_and_show_another(bench)
    client = bench.client()
    request_id = bench.server.request_id or ""
    stage = cancel(bench.terminal(), client, request_id, now=0, reason=None)
    assert stage is Stage.CANCELLED
    assert bench.load().stage is Stage.CANCELLED


def _open_and_show_another(bench: Bench) -> None:
    """Ask for a key, show the first QR code and a second one, and stop there."""
    from terminal.opening import open_request

    session = bench.session()
    open_request(session)
    bench.server.qr_texts.append("https://keyfill.test/a#second")
    session.refresh(wait=0)
