"""Changes that cool off, by hand: brought in, listed, withdrawn, and terminals' entries signed."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ceremony.registry import envelope_statements, read_terminal_entry, seal_envelope
from ceremony.signing import sign
from ceremony.statements import TerminalEntry
from ceremony.verification import peek
from commands import checks
from commands.checks import Grade
from commands.homefolder import HomeFolder, read_key
from records import audit, credentialentries, registrychanges
from records.database import Database
from records.tables.registry_change import ChangeState
from settings import Settings, SettingsError
from tests.support.commandline import Keyfill, Lines

NUMBER = "+4917139200{:02}"
ANA = ["ana", "--staff-no", "A1001", "--name", "Ana", "--number", NUMBER.format(1)]
UNAVAILABLE, REFUSED, USAGE = 4, 3, 2


@pytest.fixture
def ana(home: HomeFolder, keyfill: Keyfill, lines: Lines) -> str:
    """Ana is active; from now on changes wait an hour. Gives her key file."""
    lines("administrators", "add", *ANA)
    lines("officers", "sign", "--all")
    trust = {**json.loads(home.trust_file.read_text()), "cooling_off_seconds": 3_600}
    home.trust_file.chmod(0o600)
    home.trust_file.write_text(json.dumps(trust))
    return str(home.administrators / "ana.jwk")


@pytest.fixture
def changed(ana: str, keyfill: Keyfill, lines: Lines) -> list[dict[str, Any]]:
    """Ana has other roles that two officers signed; gives what bringing it in said."""
    assert keyfill("administrators", "roles", "ana", "auditor", "--key", ana).exit_code == 0
    return lines("officers", "sign", "--all")


def states(lines: Lines) -> list[tuple[str, list[str]]]:
    """The state and the roles of each listed entry."""
    return [(one["state"], one["roles"]) for one in lines("administrators", "list")]


def read(home: HomeFolder, what: Callable[[Any], Any]) -> Any:
    """Look into the database."""
    url = Settings.unchecked(home=home.path).database
    with closing(Database(url)) as database, database.read() as session:
        return what(session)


def test_a_change_waits_and_the_former_entry_counts(
    changed: list[dict[str, Any]], home: HomeFolder, keyfill: Keyfill, lines: Lines
) -> None:
    """With all signatures it is cooling, and shown as waiting; nothing of it is active."""
    assert [one["state"] for one in changed] == ["cooling"]
    assert states(lines) == [("active", ["administrator"]), ("cooling", ["auditor"])]
    (waiting,) = lines("officers", "waiting")
    assert (waiting["subject"], waiting["name"], waiting["effective_at"]) == ("person", "ana", None)
    assert "not shown to the key worker yet" in keyfill("officers", "waiting").stdout
    # Nobody is asked to sign it any more.
    assert lines("officers", "pending") == []
    events = [one.event for one in read(home, audit.since)]
    assert events[-1] == "credential-change-begun"


def test_without_temporal_it_waits_to_be_brought_in_again(
    changed: list[dict[str, Any]], ana: str, home: HomeFolder, keyfill: Keyfill, tmp_path: Path
) -> None:
    """Nothing is lost: the same file says the same, and is not audited twice."""
    entry = read(home, registrychanges.cooling)[0]
    envelope = read(home, lambda session: credential(session, entry.digest))
    file = tmp_path / "again.jsonl"
    file.write_text(envelope + "\n")
    result = keyfill("officers", "import", str(file))
    assert result.exit_code == 0
    assert "cooling" in result.stdout
    assert "Temporal does not answer" in result.stderr
    begun = [one for one in read(home, audit.since) if one.event == "credential-change-begun"]
    assert len(begun) == 1


def credential(session: Any, digest: str) -> str:
    """The envelope of an entry."""
    row = credentialentries.credential_entry(session, digest)
    assert row is not None
    return row.envelope


def test_the_list_says_from_when(
    changed: list[dict[str, Any]], home: HomeFolder, keyfill: Keyfill, lines: Lines
) -> None:
    """As soon as the key worker has said so."""
    digest = read(home, registrychanges.cooling)[0].digest
    with (
        closing(Database(Settings.unchecked(home=home.path).database)) as database,
        database.write() as session,
    ):
        assert registrychanges.note_time(session, digest, 1_900_000_000)
    assert [one["effective_at"] for one in lines("administrators", "list")] == [
        None,
        1_900_000_000,
    ]
    for command in (("administrators", "list"), ("officers", "waiting")):
        assert "2030-03-17 17:46 UTC" in keyfill(*command).stdout


def test_a_withdrawn_change_is_gone(
    changed: list[dict[str, Any]], home: HomeFolder, keyfill: Keyfill, lines: Lines
) -> None:
    """At once in the records; with Temporal away the command says so, and may be run again."""
    for _ in range(2):
        result = keyfill("officers", "withdraw", "ana")
        assert result.exit_code == UNAVAILABLE
        assert "Temporal does not answer" in result.stderr
    assert states(lines) == [("active", ["administrator"])]
    assert lines("officers", "waiting") == []
    withdrawn = [one for one in read(home, audit.since) if "withdrawn" in one.event]
    assert len(withdrawn) == 1


def test_there_is_nothing_to_withdraw(ana: str, keyfill: Keyfill) -> None:
    """For somebody without a change; and one subject has to be named."""
    assert keyfill("officers", "withdraw", "ana").exit_code == REFUSED
    assert keyfill("officers", "withdraw").exit_code == USAGE
    assert keyfill("officers", "withdraw", "ana", "--terminal", "ATM-1").exit_code == USAGE


def test_what_is_due_is_not_withdrawn(
    changed: list[dict[str, Any]], home: HomeFolder, keyfill: Keyfill
) -> None:
    """The key worker holds it for effective: the records must not say otherwise."""
    digest = read(home, registrychanges.cooling)[0].digest
    with (
        closing(Database(Settings.unchecked(home=home.path).database)) as database,
        database.write() as session,
    ):
        registrychanges.note_time(session, digest, 1)
    assert keyfill("officers", "withdraw", "ana").exit_code == REFUSED
    change = read(home, lambda session: registrychanges.find(session, digest))
    assert change.state is ChangeState.COOLING


def test_revoking_takes_what_waits_away_as_well(
    changed: list[dict[str, Any]], keyfill: Keyfill, lines: Lines
) -> None:
    """Or the person would come back by themselves."""
    result = keyfill("administrators", "revoke", "ana")
    assert result.exit_code == 0
    # The change's workflow was to be told, so that the key worker forgets the change too.
    assert "Temporal does not answer" in result.stderr
    assert states(lines) == []
    assert lines("officers", "waiting") == []


def test_officers_sign_a_terminals_entry(home: HomeFolder, keyfill: Keyfill) -> None:
    """Each adds a signature, once; the file is then for the back office's feed."""
    made = keyfill("terminals", "sample", "ATM-1", "--first", "ana", "--second", "ben")
    assert made.exit_code == 0, made.output
    file = home.feed_file
    for officer in ("officer-1", "officer-1", "officer-2"):
        key = str(home.officers / f"{officer}.jwk")
        result = keyfill("officers", "sign", "--key", key, "--yes", str(file))
        assert result.exit_code == 0, result.output
        assert "ana" in result.stdout
        assert "ben" in result.stdout
    (line,) = file.read_text().splitlines()
    verified = read_terminal_entry(line, home.trust(), now=1_800_000_000)
    assert (len(verified.officers), verified.may_reassign) == (2, True)
    assert len(envelope_statements(line)) == 3


def test_an_officer_who_says_no_leaves_the_terminals_entry(
    home: HomeFolder, keyfill: Keyfill
) -> None:
    """So does one that does not verify, whatever the officer says."""
    keyfill("terminals", "sample", "ATM-1", "--first", "ana", "--second", "ben")
    file, key = home.feed_file, home.officers / "officer-1.jwk"
    before = file.read_text()
    keyfill("officers", "sign", "--key", str(key), str(file), typed="n\n")
    assert file.read_text() == before
    said = peek(envelope_statements(before.strip())[0]).payload
    assert isinstance(said, TerminalEntry)
    forged = seal_envelope([sign(said, read_key(key))])
    file.write_text(forged + "\n")
    result = keyfill("officers", "sign", "--key", str(key), "--yes", str(file))
    assert "does not count: wrong-signer" in result.stderr
    assert file.read_text() == forged + "\n"


@pytest.mark.parametrize(
    ("seconds", "development", "grade"),
    [
        (3_600, False, Grade.GOOD),
        (3_599, False, Grade.WARNING),
        (0, False, Grade.WARNING),
        (0, True, Grade.GOOD),
    ],
)
def test_the_doctor_says_how_long_changes_wait(
    seconds: int, development: bool, grade: Grade
) -> None:
    """And that a deployment in which they do not is for development."""
    finding = checks.cooling_off(seconds, development=development)
    assert finding.grade is grade
    assert f"{seconds / 3_600:g} h" in finding.says


def test_the_shortest_time_may_be_named(home: HomeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour unless it is said otherwise; never more than the trust file could say."""
    assert Settings.unchecked(home=home.path).cooling_off_at_least == 3_600
    monkeypatch.setenv("KEYFILL_COOLING_OFF_AT_LEAST", "604801")
    with pytest.raises(SettingsError, match="KEYFILL_COOLING_OFF_AT_LEAST"):
        Settings.unchecked(home=home.path)
