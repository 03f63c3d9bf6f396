"""What keys may approve is a setting of each process, and the strictest outside development."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ceremony.approvalkeys import ApprovalKeys
from commands import checks
from commands.checks import Grade
from commands.homefolder import HomeFolder
from settings import Settings, SettingsError
from tests.support.commandline import Keyfill, Lines

ANA = ("ana", "--staff-no", "A1001", "--name", "Ana", "--number", "+4915112345671")
STRICT = {"KEYFILL_APPROVAL_KEYS": "device-bound-passkeys"}
ROOT = Path(__file__).parents[2]
PROCESSES = ("api", "activities", "workflows", "keymanagement", "records", "engine", "gateways")
ENTRIES = ("worker.py", "keyworker.py")
PRODUCTION = {"KEYFILL_ENVIRONMENT": "production"}
ANY, PASSKEYS, BOUND = ApprovalKeys


@pytest.mark.parametrize(
    ("environment", "demanded"),
    [
        ({}, ANY),
        ({"KEYFILL_APPROVAL_KEYS": "device-bound-passkeys"}, BOUND),
        (PRODUCTION, BOUND),
        ({**PRODUCTION, "KEYFILL_APPROVAL_KEYS": "passkeys"}, PASSKEYS),
        ({**PRODUCTION, "KEYFILL_APPROVAL_KEYS": "any"}, ANY),
    ],
)
def test_the_trust_that_a_process_reads_carries_the_setting(
    home: HomeFolder,
    monkeypatch: pytest.MonkeyPatch,
    environment: Mapping[str, str],
    demanded: ApprovalKeys,
) -> None:
    """Any key in development, device-bound passkeys outside; weaker only where it is named."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for role in ("api", "ceremony", "keys"):
        read = Settings.unchecked(role, home=home.path).read_trust()
        assert read.passkeys.approvals is demanded


@pytest.mark.parametrize("value", ["", "none", "ANY", "device-bound"])
def test_a_setting_that_names_nothing_is_refused(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A misspelt demand is no demand at all: no process starts."""
    monkeypatch.setenv("KEYFILL_APPROVAL_KEYS", value)
    with pytest.raises(SettingsError, match=r"^Set KEYFILL_APPROVAL_KEYS rightly: "):
        Settings.for_role("keys", home=home.path)


def test_every_process_reads_the_trust_file_through_its_settings() -> None:
    """Nowhere in API or workers is the file read past the setting."""
    files = [path for name in PROCESSES for path in (ROOT / name).rglob("*.py")]
    reading = {
        str(path.relative_to(ROOT))
        for path in (*files, *(ROOT / name for name in ENTRIES))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute | ast.Name)
        and ast.unparse(node) in {"Trust.read", "Trust.model_validate_json", "read_trust"}
    }
    assert reading == set()
    asked = {
        name
        for name in ("api/app.py", *ENTRIES)
        if "settings.read_trust()" in (ROOT / name).read_text(encoding="utf-8")
    }
    assert asked == {"api/app.py", *ENTRIES}


@pytest.mark.parametrize(
    ("demanded", "development", "grade"),
    [
        (BOUND, False, Grade.GOOD),
        (PASSKEYS, False, Grade.WARNING),
        (ANY, False, Grade.WARNING),
        (ANY, True, Grade.GOOD),
        (BOUND, True, Grade.GOOD),
    ],
)
def test_the_doctor_notes_a_weaker_setting(
    demanded: ApprovalKeys, development: bool, grade: Grade
) -> None:
    """Outside development it works, is said, and what to set is named."""
    finding = checks.approval_keys(demanded, development=development)
    assert finding.grade is grade
    assert (grade is Grade.WARNING) is ("KEYFILL_APPROVAL_KEYS" in finding.says)


def test_a_key_that_could_approve_nothing_is_not_enrolled(keyfill: Keyfill, lines: Lines) -> None:
    """Neither a new one, nor by other roles; an auditor's plain key is taken."""
    refused = keyfill("administrators", "add", *ANA, **STRICT)
    assert (refused.exit_code, "passkey-required" in refused.output) == (3, True)
    assert lines("administrators", "list") == []
    auditor = keyfill("administrators", "add", *ANA, "--role", "auditor", **STRICT)
    assert auditor.exit_code == 0


def test_the_doctor_names_administrators_whose_keys_may_not_approve(
    keyfill: Keyfill, lines: Lines
) -> None:
    """Enrolled before the setting: each is told by staff number, once the setting is on."""
    lines("administrators", "add", *ANA)
    assert keyfill("officers", "sign", "--all", "--yes").exit_code == 0

    def told(**environment: str) -> tuple[str, bool]:
        found = keyfill("doctor", "--json", **environment).stdout.splitlines()
        [one] = [one for one in map(json.loads, found) if one["check"] == "administrators' keys"]
        return one["grade"], "A1001" in one["says"]

    assert told() == ("good", False)
    assert told(**STRICT) == ("warning", True)


def test_the_doctor_names_a_few_and_counts_the_rest() -> None:
    """A thousand staff numbers are no sentence."""
    says = checks.approvers([f"A{n}" for n in range(1000, 1008)]).says
    assert says.endswith("link A1000, A1001, A1002, A1003, A1004, 3 more anew.")
