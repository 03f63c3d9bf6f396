"""`keyfill officers revoke`: one officer's signature, on record at once, carried when possible."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ceremony.keys import SigningKey
from ceremony.revocations import Revocation, Subject, read_revocation
from commands import registrynotes, temporal
from commands.homefolder import HomeFolder, write_key
from records.database import Database
from settings import Settings
from tests.support.commandline import Keyfill, Lines

ANA = ["ana", "--staff-no", "A1001", "--name", "Ana", "--number", "+491713920001"]
UNAVAILABLE = 4


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a Temporal that is not there."""
    monkeypatch.setattr(registrynotes, "CONNECT_WITHIN", temporal.CONNECT_WITHIN * 0)


@pytest.fixture
def officer(home: HomeFolder) -> str:
    """The first officer's key file."""
    return str(home.officers / "officer-1.jwk")


@pytest.fixture
def enrolled(lines: Lines) -> None:
    """Ana, active with seq 0."""
    lines("administrators", "add", *ANA)
    lines("officers", "sign", "--all")


def revoke(keyfill: Keyfill, officer: str, *arguments: str) -> Any:
    """Revoke without being asked."""
    options = ["--key", officer, "--reason", "lost-phone", "--yes", *arguments]
    return keyfill("officers", "revoke", *options)


def sql(home: HomeFolder, statement: str) -> list[tuple[Any, ...]]:
    """Do one statement on the database, as its owner does; give the rows, if it gives any."""
    with (
        closing(Database(Settings.unchecked(home=home.path).database)) as database,
        database.write() as session,
    ):
        result = session.connection().exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


def on_record(home: HomeFolder) -> list[Revocation]:
    """The revocations on record, verified, in the order in which they came."""
    rows = sql(home, "SELECT statement FROM revocations ORDER BY recorded_at, seq")
    return [read_revocation(text, home.trust()) for (text,) in rows]


def states(lines: Lines) -> dict[str, str]:
    """Each listed person's state."""
    return {one["person"]: one["state"] for one in lines("administrators", "list")}


@pytest.mark.usefixtures("enrolled")
def test_a_signed_revocation_takes_effect_at_once(
    home: HomeFolder, keyfill: Keyfill, lines: Lines, officer: str
) -> None:
    """In the records, for all that is on record there; with Temporal away the command says so."""
    result = revoke(keyfill, officer, "ana", "--json")
    assert result.exit_code == UNAVAILABLE
    told = json.loads(result.stdout)
    (one,) = on_record(home)
    assert (told["person"], told["seq"], told["state"]) == ("ana", 0, "on-record")
    assert told["revocation"] == one.digest
    assert (one.subject, one.name, one.seq) == (Subject.PERSON, "ana", 0)
    assert one.reason_code == "lost-phone"
    assert states(lines) == {}


@pytest.mark.usefixtures("enrolled")
def test_it_may_be_run_again_until_it_is_carried(
    home: HomeFolder, keyfill: Keyfill, officer: str
) -> None:
    """What is on record still says how far, though nothing is in force any more."""
    revoke(keyfill, officer, "ana")
    revoke(keyfill, officer, "ana")
    assert [one.seq for one in on_record(home)] == [0, 0]


@pytest.mark.usefixtures("enrolled")
def test_the_revoked_may_be_enrolled_anew(
    home: HomeFolder, keyfill: Keyfill, lines: Lines, officer: str
) -> None:
    """With a seq above all that was revoked, however far that goes."""
    revoke(keyfill, officer, "ana", "--seq", "7")
    lines("administrators", "add", *ANA)
    lines("officers", "sign", "--all")
    assert states(lines) == {"ana": "active"}
    assert sql(home, "SELECT max(seq) FROM credential_entries") == [(8,)]


def test_a_pending_entry_that_was_revoked_is_not_activated(
    home: HomeFolder, keyfill: Keyfill, lines: Lines, officer: str, tmp_path: Path
) -> None:
    """Officers who sign it afterwards sign for nothing: exit code 3, put back or not."""
    lines("administrators", "add", *ANA)
    file = tmp_path / "pending.jsonl"
    keyfill("officers", "pending", "--out", str(file))
    revoke(keyfill, officer, "ana", "--seq", "0")
    sql(home, "UPDATE credential_entries SET state = 'pending'")
    for name in ("officer-1", "officer-2"):
        key = str(home.officers / f"{name}.jwk")
        assert keyfill("officers", "sign", "--key", key, "--yes", str(file)).exit_code == 0
    result = keyfill("officers", "import", str(file), "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["reason"] == "entry-revoked"
    assert states(lines) == {"ana": "pending"}


@pytest.mark.usefixtures("enrolled")
def test_signed_offline_and_imported(
    home: HomeFolder, keyfill: Keyfill, lines: Lines, officer: str, tmp_path: Path
) -> None:
    """With --out nothing but the trust file is needed; `import` brings it in, more than once."""
    alone, out = tmp_path / "trust.json", tmp_path / "revocation"
    alone.write_bytes(home.trust_file.read_bytes())
    result = keyfill(
        *("officers", "revoke", "ana", "--key", officer, "--reason", "left", "--yes"),
        *("--seq", "3", "--out", str(out), "--trust", str(alone)),
        KEYFILL_HOME=str(tmp_path / "nowhere"),
    )
    assert result.exit_code == 0, result.output
    assert states(lines) == {"ana": "active"}
    for _ in range(2):
        assert keyfill("officers", "import", str(out)).exit_code == UNAVAILABLE
    (one,) = on_record(home)
    assert (one.name, one.seq, one.reason_code) == ("ana", 3, "left")
    assert states(lines) == {}


@pytest.mark.usefixtures("enrolled")
def test_a_planted_row_does_not_lead_an_officer_too_far(
    home: HomeFolder, keyfill: Keyfill, officer: str
) -> None:
    """Only entries that count say how far: whoever edits a row signs nothing away for ever."""
    sql(
        home,
        "INSERT INTO credential_entries SELECT 'ff', person, 'A9', name, 9000, 'kid', NULL, "
        "'nd', '{\"statements\":[]}', valid_until, 'superseded', roles, recorded_at, NULL, 0 "
        "FROM credential_entries",
    )
    revoke(keyfill, officer, "ana")
    assert [one.seq for one in on_record(home)] == [0]


def test_a_stranger_revokes_nobody(home: HomeFolder, keyfill: Keyfill, tmp_path: Path) -> None:
    """A key that the trust file does not name signs no revocation, and brings none in."""
    write_key(tmp_path / "stranger.jwk", SigningKey.generate())
    assert revoke(keyfill, str(tmp_path / "stranger.jwk"), "ana", "--seq", "1").exit_code == 2
    (tmp_path / "forged").write_text("nonsense\n")
    assert keyfill("officers", "import", str(tmp_path / "forged")).exit_code == 3
    assert on_record(home) == []


@pytest.mark.usefixtures("enrolled")
def test_an_officer_who_says_no_signs_nothing(
    home: HomeFolder, keyfill: Keyfill, lines: Lines, officer: str
) -> None:
    """It is for ever, so it is asked about, with the seq."""
    options = ["ana", "--key", officer, "--reason", "left"]
    result = keyfill("officers", "revoke", *options, typed="n\n")
    assert result.exit_code == 0
    assert "up to seq 0, for ever" in result.output
    assert on_record(home) == []
    assert states(lines) == {"ana": "active"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["ana", "--terminal", "ATM-0001"], 2),
        (["ana", "--out", "file"], 2),
        (["ana", "--seq", "-1"], 2),
        (["no/name", "--seq", "1"], 2),
        (["nobody"], 3),
    ],
)
def test_who_and_how_far_must_be_said(
    keyfill: Keyfill, officer: str, arguments: list[str], code: int
) -> None:
    """One subject that fits; without a database a seq; without an entry that counts a seq too."""
    assert revoke(keyfill, officer, *arguments).exit_code == code


def test_the_help_says_what_is_for_ever(keyfill: Keyfill) -> None:
    """Unsigned takes effect at once and can be undone; signed nothing undoes."""
    unsigned = " ".join(keyfill("administrators", "revoke", "--help").stdout.split())
    signed = " ".join(keyfill("officers", "revoke", "--help").stdout.split())
    assert "writes to the database can undo it" in unsigned
    assert "nothing undoes it" in signed
