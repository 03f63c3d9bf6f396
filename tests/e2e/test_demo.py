"""The demo: three loads at once by separate processes, and what it leaves behind: nothing."""

import re

from tests.support.demorun import DemoRun
from tests.support.processtree import running_with

HISTORY_BUDGET = 80
MISTAKE = 10


def test_all_three_loads_end_as_they_should(demo: DemoRun) -> None:
    """One is loaded, one rejected, one loaded after a wrong SMS code: exit code 0."""
    assert demo.exit_code == 0, demo.errors
    endings = {no: demo.outcome(no)["stage"] for no in ("ATM-0001", "ATM-0002", "ATM-0003")}
    assert endings == {"ATM-0001": "LOADED", "ATM-0002": "REJECTED", "ATM-0003": "LOADED"}
    assert [demo.outcome(no)["refusals"] for no in sorted(endings)] == [0, 0, 1]
    assert all(demo.outcome(no)["as_expected"] for no in endings)


def test_both_sides_name_the_same_key(demo: DemoRun) -> None:
    """The terminal's own KCV and the server's agree, and each load has a key of its own."""
    first, third = demo.outcome("ATM-0001"), demo.outcome("ATM-0003")
    assert re.fullmatch(r"[0-9a-f]{6}", first["kcv"])
    assert first["kcv"] == first["server_kcv"]
    assert third["kcv"] == third["server_kcv"]
    assert first["kcv"] != third["kcv"]
    assert demo.outcome("ATM-0002")["kcv"] is None


def test_each_terminal_exits_with_its_endings_code(demo: DemoRun) -> None:
    """A loaded terminal's process ends with 0, a rejected one's with 3."""
    codes = [demo.outcome(no)["exit_code"] for no in ("ATM-0001", "ATM-0002", "ATM-0003")]
    assert codes == [0, 3, 0]


def test_a_ceremony_stays_within_its_history_budget(demo: DemoRun) -> None:
    """A ceremony without a mistake needs at most 80 history events; a mistake costs a few more."""
    assert 0 < demo.outcome("ATM-0001")["history_events"] <= HISTORY_BUDGET
    assert demo.outcome("ATM-0003")["history_events"] <= HISTORY_BUDGET + MISTAKE


def test_the_time_to_the_token_is_measured(demo: DemoRun) -> None:
    """Each loaded terminal tells how long it waited from its confirmation to the token."""
    for terminal_no in ("ATM-0001", "ATM-0003"):
        assert demo.outcome(terminal_no)["token_milliseconds"] > 0


def test_every_step_is_shown_as_it_happens(demo: DemoRun) -> None:
    """Devices and commands are seen working, and the Temporal UI's address is told."""
    said = {(line.get("who"), line.get("event")) for line in demo.lines}
    for step in (
        ("ATM-0001 terminal", "qr"),
        ("ATM-0001 Ana", "code-sent"),
        ("ATM-0003 Ben", "refused"),
        ("ATM-0002 Dan", "decided"),
        ("ATM-0001 terminal", "imported"),
    ):
        assert step in said
    (up,) = [line for line in demo.lines if line.get("event") == "up"]
    assert up["temporal_ui"].startswith("http://127.0.0.1:")


def test_what_is_shown_holds_no_code_and_no_number(demo: DemoRun) -> None:
    """No SMS text, QR text or telephone number is in the output."""
    for line in demo.lines:
        assert "text" not in line or line.get("event") == "note"
        assert "+4917139200" not in str(line)


def test_nothing_is_left(demo: DemoRun) -> None:
    """No process of the demo runs any more, and its temporary home is gone."""
    assert list(demo.temporary.iterdir()) == []
    assert running_with(str(demo.temporary)) == []
