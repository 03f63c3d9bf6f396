"""The kiosk's screens over HTTP: what each shows, and what its buttons do."""

import json
import re
import subprocess
import sys
from pathlib import Path
from threading import Thread

import httpx
import pytest

from ceremony.stages import Stage
from ceremony.statements import RequestPayload
from ceremony.verification import peek
from ceremony.words import fingerprint_words
from terminal.epp import Epp
from terminal.eppstore import EppStore
from tests.support import kioskbench
from tests.support.kioskbench import KioskPage, KioskProcess, eventually, qr_text
from tests.support.terminalbench import TerminalBench as Bench
from tests.support.terminalserver import ADMINISTRATOR, APPROVAL_CODE, living_kdh

bench, kiosk = kioskbench.bench, kioskbench.kiosk


@pytest.fixture
def page(kiosk: KioskProcess) -> KioskPage:
    """A window on the kiosk."""
    return KioskPage(kiosk.url)


def asked(bench: Bench, page: KioskPage) -> None:
    """Ask for a key, and let the code that is shown be the one that was scanned."""
    page.press("load")
    page.await_screen("scan")
    bench.server.accepted_qr = bench.server.qr_texts[-1]


def approved(bench: Bench, page: KioskPage) -> None:
    """Let the load be approved."""
    asked(bench, page)
    bench.server.move(Stage.AWAITING_CONFIRMATION)
    page.await_screen("approval")


def test_the_start_screen_shows_the_terminal_and_its_epp(bench: Bench, page: KioskPage) -> None:
    """Number, model, fingerprint as hexadecimal and as six words, and that no key is loaded."""
    fingerprint = Epp(EppStore(bench.folder / "epp")).fingerprint
    text = page.text
    assert page.screen == "start"
    assert "ATM-0001" in text
    assert "Sample 280" in text
    assert fingerprint in text.replace(" ", "")
    assert " ".join(fingerprint_words(fingerprint, "en")) in text
    assert "Key in the PIN pad none" in text


def test_a_load_goes_from_start_to_both_check_values(bench: Bench, page: KioskPage) -> None:
    """Scan, review, approval with a mistyped code, loading, and the KCV of both sides."""
    asked(bench, page)
    bench.server.move(Stage.AWAITING_REVIEW)
    page.await_screen("review")
    bench.server.move(Stage.AWAITING_CONFIRMATION)
    assert "3 tries in all" in page.await_screen("approval")
    page.press("approval", administrator=ADMINISTRATOR, code="0000")
    page.await_text("The approval code is not right. 2 tries left.")
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    text = page.await_screen("ended")
    kcv = bench.server.kcv
    assert f"KCV of this terminal {kcv} KCV of Keyfill {kcv}" in text
    page.press("done")
    assert f"KCV {kcv}" in page.await_screen("start")


def test_another_key_needs_a_reason(bench: Bench, page: KioskPage) -> None:
    """A terminal that has a key asks why; the statement names one of the reasons on the screen."""
    approved(bench, page)
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    page.await_screen("ended")
    page.press("done")
    bench.server.stage, bench.server.request_id = Stage.AWAITING_APPLICATION, None
    assert "Why is another key needed?" in page.await_screen("start")
    for form in ({}, {"reload_reason": "because"}):
        page.press("load", **form)
        assert page.screen == "start"
    page.press("load", reload_reason="suspected exposure")
    page.await_screen("scan")
    payload = requested(bench)
    assert (payload.reload_reason, payload.current_kcv) == ("suspected exposure", bench.server.kcv)


@pytest.mark.parametrize("reason", ["service", None])
def test_a_pin_pad_that_lost_its_key_may_say_why(
    bench: Bench, page: KioskPage, reason: str | None
) -> None:
    """Keyfill may have its key on record: the reasons are there to choose, and need not be."""
    assert "This terminal had a key before" in page.await_screen("start")
    page.press("load", **({"reload_reason": reason} if reason else {}))
    page.await_screen("scan")
    payload = requested(bench)
    assert (payload.reload_reason, payload.current_kcv) == (reason, None)


def requested(bench: Bench) -> RequestPayload:
    """What the terminal's request on record says."""
    state = bench.file.read()
    assert state is not None and state.request is not None
    payload = peek(state.request).payload
    assert isinstance(payload, RequestPayload)
    return payload


@pytest.mark.parametrize(
    ("stage", "reason", "title", "then"),
    [
        (Stage.REJECTED, "rejected", "Rejected", "Ask the second administrator for the reason"),
        (Stage.EXPIRED, "expired", "Time ran out", "Call both administrators"),
        (Stage.CANCELLED, "cancelled-by-administrator", "Cancelled", "Ask the administrator why"),
        (Stage.FAILED, "attempts-exhausted", "Not loaded", "Check the terminal number"),
        (Stage.FAILED, "never-heard-of", "Not loaded", "Note the reason code"),
        (Stage.UNCONFIRMED, "receipt-missing", "Not certain that the key is in", "Do not put"),
    ],
)
def test_an_ending_says_what_happened_and_what_to_do(
    bench: Bench, page: KioskPage, stage: Stage, reason: str, title: str, then: str
) -> None:
    """Every ending has a title, what to do next, its code and its reference; then the start."""
    asked(bench, page)
    bench.server.move(stage, reason)
    text = page.await_screen("ended")
    assert title in text
    assert f"What to do next {then}" in text
    assert f"Reason code {reason}" in text
    assert f"Reference {bench.server.request_id}" in text
    page.press("done")
    page.await_screen("start")


def test_an_ending_comes_while_the_code_is_asked_for(bench: Bench, page: KioskPage) -> None:
    """Nobody has to type before the screen sees that the time ran out."""
    approved(bench, page)
    bench.server.move(Stage.EXPIRED, "expired")
    page.await_screen("ended")
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    assert bench.server.count("confirmation") == 0


def test_a_refused_request_is_told(bench: Bench, page: KioskPage) -> None:
    """A terminal that may not ask reads why, and comes back to the start."""
    bench.server.refuse("request", "registry-incomplete")
    page.press("load")
    text = page.await_screen("stopped")
    assert "is not registered completely" in text
    assert "Reason code registry-incomplete" in text
    page.press("done")
    page.await_screen("start")
    page.press("load")
    page.await_screen("scan")


def test_a_server_that_is_away_is_told_and_tried_again(bench: Bench, page: KioskPage) -> None:
    """The screen says that Keyfill does not answer, and goes on as soon as it does."""
    bench.server.fail("challenge", *[503] * 4)
    page.press("load")
    page.await_text("Keyfill does not answer at the moment")
    page.await_screen("scan")
    assert "does not answer" not in page.text


def test_asking_can_be_given_up(bench: Bench, page: KioskPage) -> None:
    """Whoever does not want to wait for the server comes back to the start; nothing is open."""
    bench.server.fail("challenge", *[503] * 50)
    page.press("load")
    page.await_text("Stop asking")
    page.press("give-up")
    page.await_screen("start")
    state = bench.file.read()
    assert state is None or state.request is None


def test_cancel_ends_the_load(bench: Bench, page: KioskPage) -> None:
    """The Cancel button sends one cancellation statement, however often it is pressed."""
    asked(bench, page)
    bench.server.fail("cancellation", 503)
    for _ in range(3):
        page.press("cancel")
    assert "cancelled at this terminal" in page.await_screen("ended")
    assert bench.server.count("cancellation") == 1


def test_a_cancellation_that_nobody_answers_is_told(bench: Bench, page: KioskPage) -> None:
    """A cancellation that comes to nothing says so, and the load goes on."""
    asked(bench, page)
    bench.server.refuse("cancellation", "wrong-stage")
    page.press("cancel")
    page.await_text("Not cancelled")
    assert page.screen == "scan"


def test_nothing_is_cancelled_after_release(bench: Bench, page: KioskPage) -> None:
    """Once the key is released there is no Cancel button, and pressing it does nothing."""
    bench.server.fail("receipt", *[503] * 5)
    approved(bench, page)
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    page.await_text("Keyfill does not answer")
    assert 'action="/cancel"' not in page.get().text
    page.press("cancel")
    assert "new key is in" in page.await_screen("ended")
    assert bench.server.posted
    assert all(act != "cancellation" for act, _ in bench.server.posted)


def test_the_epps_refusal_is_told_in_words(bench: Bench, page: KioskPage) -> None:
    """The EPP takes no token of a foreign host: its own word for it, and plain ones."""
    bench.server.kdh = living_kdh("another")
    approved(bench, page)
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    text = page.await_screen("ended")
    assert "Not certain that the key is in" in text
    assert "The PIN pad says: the key token is not signed by Keyfill's key host" in text
    assert "signatureInvalid" in text


def test_a_foreign_code_stops_the_load_until_it_is_cancelled(bench: Bench, page: KioskPage) -> None:
    """An application over a code that this screen never showed is not confirmed, only cancelled."""
    approved(bench, page)
    bench.server.accepted_qr = "https://keyfill.test/a#elsewhere"
    bench.server.move(Stage.AWAITING_CONFIRMATION)
    eventually(lambda: (bench.file.read() or pytest.fail()).version == bench.server.version, "news")
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    assert "Another QR code was scanned" in page.await_screen("stopped")
    assert 'action="/again"' not in page.get().text
    page.press("cancel")
    page.await_screen("ended")
    assert bench.server.count("confirmation") == 0


def test_a_form_that_is_no_approval_is_not_sent(bench: Bench, page: KioskPage) -> None:
    """What has not the form of a number and four digits is asked for again, and uses up no try."""
    approved(bench, page)
    for administrator, code in (("", "1234"), ("A1001", "12"), ("A 1", "1234"), ("A1", "١٢٣٤")):
        page.press("approval", administrator=administrator, code=code)
        assert "Type a staff number and a code of four digits" in page.text
    assert page.press("approval", administrator="A" * 4000).status_code == 413
    assert bench.server.count("confirmation") == 0


def test_the_code_is_never_stored_nor_logged(bench: Bench, kiosk: KioskProcess) -> None:
    """While a confirmation is under way no file of the terminal holds the code, nor any output."""
    page = KioskPage(kiosk.url)
    bench.server.fail("confirmation", *[503] * 5)
    approved(bench, page)
    page.press("approval", administrator=ADMINISTRATOR, code=APPROVAL_CODE)
    page.await_text("Keyfill does not answer")
    stored = b"".join(one.read_bytes() for one in bench.folder.rglob("*") if one.is_file())
    assert f'"{APPROVAL_CODE}"'.encode() not in stored
    page.await_screen("ended")
    assert kiosk.stop() == (0, "")


def test_two_windows_ask_once(bench: Bench, page: KioskPage) -> None:
    """The same button pressed in two windows at once opens one loading request."""
    threads = [Thread(target=page.press, args=("load",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page.await_screen("scan")
    assert bench.server.count("request") == 1


def picture(page: KioskPage) -> str | None:
    """The QR code's drawing on the page, None if there is none."""
    found = re.search(r'id="qr".*?<path d="([^"]+)"', page.get().text, re.DOTALL)
    return found and found[1]


def test_the_code_is_renewed(bench: Bench, page: KioskPage) -> None:
    """A new QR code takes the place of the old one by itself, with a countdown of its own."""
    asked(bench, page)
    first = picture(page)
    bench.server.qr_texts.append(qr_text("second"))
    eventually(lambda: picture(page) not in (first, None), "the second code")
    assert 'data-seconds="6' in page.get().text


def test_updates_tell_of_changes(page: KioskPage) -> None:
    """The stream of updates gives the version of the screen, and each newer one as it comes."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    with httpx.stream("GET", f"{page.url}updates", headers=headers, timeout=20) as stream:
        events = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data:"))
        before = next(events)
        assert f'data-version="{before}"' in page.get().text
        page.press("load")
        assert next(events) != before


def test_the_language_follows_the_browser_and_the_switch(kiosk: KioskProcess) -> None:
    """Accept-Language chooses, the switch overrides it, and nothing else does."""
    chinese = KioskPage(kiosk.url, language="fr, zh-Hant;q=0.8, en;q=0.5")
    assert "加载终端主密钥" in chinese.text
    assert 'lang="zh-CN"' in chinese.get().text
    for asked_for in ("de", "en;q=0, x", "zh;q=nonsense", ""):
        assert "Load a master key" in KioskPage(kiosk.url, language=asked_for).text
    answer = chinese.press("language", language="en")
    cookie = answer.headers["set-cookie"]
    assert "samesite=strict" in cookie.lower()
    assert "httponly" in cookie.lower()
    kept = chinese.get(Cookie=cookie.partition(";")[0])
    assert "Load a master key" in kept.text
    assert "set-cookie" not in chinese.press("language", language="xx").headers


def test_a_folder_has_one_kiosk_or_load(bench: Bench, kiosk: KioskProcess) -> None:
    """While a kiosk runs, neither a load nor another kiosk takes the folder: exit code 2."""
    for word in (["load"], ["kiosk"], ["kiosk", "--port", str(kiosk.port)]):
        done = subprocess.run(
            [
                *(sys.executable, "-P", "-m", "terminal.command", *word),
                *("--server", bench.server.url, "--folder", str(bench.folder)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert done.returncode == 2, done.stderr
