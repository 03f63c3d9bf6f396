"""`keyfill requests`, `terminals` and `db`: looking things up, and saying why they cannot."""

import json
from pathlib import Path
from typing import Any

import pytest

from ceremony.spraying import Alarm, Raised
from ceremony.stages import Stage
from commands.homefolder import HomeFolder
from commands.running import Running
from records import alarms, audit, projection
from records.database import Database
from records.tables.audit_event import ActorKind
from records.tables.loading_request import LoadingRequestRow
from settings import Settings
from terminal.profile import TerminalProfile
from tests.support.commandline import Keyfill, Lines
from tests.support.databases import furnish

SAMPLE = ["ATM-0001", "--first", "ana", "--second", "ben", "--bits", "2048"]


def put_request(home: HomeFolder, request_id: str, **fields: Any) -> None:
    """Put a loading request into the projection, with one event."""
    database = Database(Settings.unchecked(home=home.path).database)
    row: dict[str, Any] = {
        "request_id": request_id,
        "terminal_no": "ATM-0001",
        "workflow_id": "loading-request/ATM-0001",
        "stage": Stage.AWAITING_REVIEW,
        "version": 2,
        "model": "Sample 280",
        "branch": "Main Street",
        "epp_fingerprint": "0" * 64,
        "registry_digest": "0" * 64,
        "first_person": "ana",
        "second_person": "ben",
        "first_staff_no": "A1001",
        "second_staff_no": "A1002",
        "opened_at": 1_800_000_000,
        "stage_since": 1_800_000_000,
        "request_digest": "0" * 64,
        **fields,
    }
    with database.write() as session:
        projection.open_request(session, LoadingRequestRow(**row))
        audit.write(
            session,
            "request-opened",
            at=1_800_000_000,
            actor_kind=ActorKind.TERMINAL,
            actor="ATM-0001",
            request_id=request_id,
        )
    database.close()


def test_requests_are_listed_and_filtered(home: HomeFolder, lines: Lines) -> None:
    """`requests list` shows the newest first, by stage, administrator or terminal."""
    put_request(home, "A" * 24)
    put_request(home, "B" * 24, stage=Stage.LOADED, opened_at=1_800_000_001, terminal_no="ATM-2")
    ids = [one["request_id"] for one in lines("requests", "list")]
    assert ids == ["B" * 24, "A" * 24]
    assert [one["stage"] for one in lines("requests", "list", "--open")] == ["AWAITING_REVIEW"]
    assert len(lines("requests", "list", "--terminal", "ATM-2")) == 1
    assert len(lines("requests", "list", "--stage", "LOADED")) == 1
    assert lines("requests", "list", "--staff-no", "A9999") == []


def test_a_request_is_shown_with_its_trail(
    home: HomeFolder, keyfill: Keyfill, lines: Lines
) -> None:
    """`requests show` gives the projection and the audit trail; an unknown id exits with 3."""
    put_request(home, "A" * 24)
    (shown,) = lines("requests", "show", "A" * 24)
    assert shown["stage"] == "AWAITING_REVIEW"
    assert [event["event"] for event in shown["events"]] == ["request-opened"]
    assert "request-opened" in keyfill("requests", "show", "A" * 24).stdout
    assert keyfill("requests", "show", "C" * 24).exit_code == 3


def test_the_trail_shows_what_belongs_to_no_request(
    home: HomeFolder, keyfill: Keyfill, lines: Lines
) -> None:
    """`requests trail` ends with the newest event, of all or of one name, whoever caused it."""
    put_request(home, "A" * 24)
    database = Database(Settings.unchecked(home=home.path).database)
    with database.write() as session:
        kind = ActorKind.SYSTEM
        audit.write(session, "sign-in-refused", at=1, actor_kind=kind, reason="no-group")
    database.close()
    trail = [(one["event"], one["request_id"]) for one in lines("requests", "trail")]
    assert trail == [("sign-in-refused", None), ("request-opened", "A" * 24)]
    (only,) = lines("requests", "trail", "--event", "sign-in-refused")
    assert (only["actor_kind"], only["reason"]) == ("system", "no-group")
    assert len(lines("requests", "trail", "--limit", "1")) == 1
    assert "sign-in-refused  no-group" in keyfill("requests", "trail").stdout


def test_alarms_are_listed(home: HomeFolder, lines: Lines, keyfill: Keyfill) -> None:
    """`requests alarms` shows the newest first, in words and as JSON."""
    database = Database(Settings.unchecked(home=home.path).database)
    with database.write() as session:
        for alarm, at in (
            (Alarm.SMS_CAPPED, 1_800_000_000),
            (Alarm.LOGINS_MANY_KEYS, 1_800_000_060),
        ):
            alarms.raise_alarm(session, Raised(alarm, 12, 3600), now=at)
    database.close()
    listed = lines("requests", "alarms")
    assert [one["alarm"] for one in listed] == ["logins-many-keys", "sms-capped"]
    assert listed[0] == {
        "alarm": "logins-many-keys",
        "raised_at": 1_800_000_060,
        "seen": 12,
        "within": 3600,
    }
    shown = keyfill("requests", "alarms", "--limit", "1").stdout
    assert shown.split() == [
        "2027-01-15",
        "08:01:00Z",
        "logins-many-keys",
        "12",
        "within",
        "1",
        "h",
    ]


def test_a_sample_terminal_is_whole(home: HomeFolder, keyfill: Keyfill) -> None:
    """A sample terminal has EPP, device key and pins, and its feed entry is verified by trust."""
    from ceremony.registry import read_terminal_entry
    from commands.opened import unix_time
    from commands.samples import kdh_thumbprint

    assert keyfill("terminals", "sample", *SAMPLE).exit_code == 0
    assert keyfill("terminals", "sample", *SAMPLE).exit_code == 2
    (envelope,) = home.feed_file.read_text().splitlines()
    entry = read_terminal_entry(envelope, home.trust(), now=unix_time()).entry
    assert (entry.terminal_no, entry.first, entry.second) == ("ATM-0001", "ana", "ben")
    profile = TerminalProfile.read(home.terminals / "ATM-0001")
    assert profile.kdh_thumbprint == kdh_thumbprint(home)


def test_production_has_no_samples(keyfill: Keyfill) -> None:
    """Sample terminals are refused outside development."""
    result = keyfill("terminals", "sample", *SAMPLE, KEYFILL_ENVIRONMENT="production")
    assert result.exit_code == 2


def test_a_sync_without_temporal_is_unavailable(
    keyfill: Keyfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Temporal does not answer, `sync` says so with exit code 4."""
    from datetime import timedelta

    monkeypatch.setattr("commands.temporal.CONNECT_WITHIN", timedelta(0))
    result = keyfill("terminals", "sync", KEYFILL_TEMPORAL_ADDRESS="127.0.0.1:9")
    assert result.exit_code == 4
    assert "127.0.0.1:9" in result.stderr


def test_commands_find_what_runs(home: HomeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporal's address comes from what `up` wrote, unless the environment says another."""
    from commands.opened import settings_of

    Running(pid=1, api="http://127.0.0.1:1", temporal="127.0.0.1:4711", temporal_ui=None).write(
        home.path
    )
    assert settings_of(home.path).temporal_address == "127.0.0.1:4711"
    monkeypatch.setenv("KEYFILL_TEMPORAL_ADDRESS", "127.0.0.1:815")
    assert settings_of(home.path).temporal_address == "127.0.0.1:815"


def test_an_unmigrated_database_says_what_to_do(home: HomeFolder, keyfill: Keyfill) -> None:
    """Without a database commands exit with 4 and name the command that makes it."""
    furnish(home, migrated=False)
    result = keyfill("requests", "list")
    assert (result.exit_code, "keyfill db upgrade" in result.stderr) == (4, True)
    assert keyfill("db", "upgrade").exit_code == 0
    assert keyfill("requests", "list").exit_code == 0


def test_a_journal_is_never_replaced(home: HomeFolder, keyfill: Keyfill) -> None:
    """`db create-journal` makes one where there is none, and refuses with 3 where there is."""
    before = home.journal.read_bytes()
    assert keyfill("db", "create-journal").exit_code == 3
    assert home.journal.read_bytes() == before
    home.journal.unlink()
    assert keyfill("db", "create-journal").exit_code == 0
    assert home.journal.exists()


def test_a_home_without_secrets_is_wrong_set_up(tmp_path: Path, keyfill: Keyfill) -> None:
    """In an empty folder every command exits with 2 and says what is missing."""
    for arguments in (["requests", "list"], ["sms"], ["administrators", "list"]):
        result = keyfill(*arguments, "--home", str(tmp_path))
        assert (result.exit_code, "keyfill_" in result.stderr) == (2, True)


def test_each_child_gets_its_own_roles_secrets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the environment reaches only the processes that may hold it."""
    from commands.deployment import role_environment

    for name in ("KEK", "SESSION_KEY", "SMS_SECRET", "OUTBOX_KEY"):
        monkeypatch.setenv(f"KEYFILL_{name}", "00")
    held = {
        role: {name for name in role_environment(role) if name.startswith("KEYFILL_")}
        for role in ("api", "ceremony", "keys")
    }
    assert json.dumps({role: sorted(names) for role, names in held.items()}) == json.dumps(
        {
            "api": ["KEYFILL_SESSION_KEY"],
            "ceremony": ["KEYFILL_OUTBOX_KEY", "KEYFILL_SMS_SECRET"],
            "keys": ["KEYFILL_KEK", "KEYFILL_SMS_SECRET"],
        }
    )
