"""`keyfill administrators` and `keyfill officers`: from a person with a key to one who counts."""

import json
from pathlib import Path

import pytest

from ceremony.enrolment import link_token_digest, open_draft
from ceremony.keys import SigningKey
from ceremony.registry import read_credential_entry
from commands.homefolder import HomeFolder, read_key, write_key
from records import credentialentries, enrolments
from records.database import Database
from settings import Settings
from tests.support.commandline import Keyfill, Lines

NUMBER = "+4917139200{:02}"
ANA = ["ana", "--staff-no", "A1001", "--name", "Ana", "--number", NUMBER.format(1)]
BEN = ["ben", "--staff-no", "A1002", "--name", "Ben", "--number", NUMBER.format(2)]


def states(lines: Lines) -> dict[str, str]:
    """Each listed person's state."""
    return {one["person"]: one["state"] for one in lines("administrators", "list")}


def test_two_officers_make_an_administrator(
    home: HomeFolder, keyfill: Keyfill, lines: Lines, tmp_path: Path
) -> None:
    """Added, exported, signed by one officer and then the other: active only after the second."""
    lines("administrators", "add", *ANA)
    assert states(lines) == {"ana": "pending"}
    file = tmp_path / "pending.jsonl"
    assert keyfill("officers", "pending", "--out", str(file)).exit_code == 0
    outcomes = []
    for officer in ("officer-1", "officer-2"):
        key = home.officers / f"{officer}.jwk"
        signing = keyfill("officers", "sign", "--key", str(key), "--yes", str(file))
        assert signing.exit_code == 0, signing.output
        outcomes += lines("officers", "import", str(file))
    assert [one["state"] for one in outcomes] == ["pending", "active"]
    assert [one["signatures_missing"] for one in outcomes] == [1, None]
    assert states(lines) == {"ana": "active"}


def test_the_stored_entry_verifies_by_itself(home: HomeFolder, lines: Lines) -> None:
    """What is stored active passes the check that the key worker makes of it."""
    lines("administrators", "add", *ANA)
    lines("officers", "sign", "--all")
    database = Database(Settings.unchecked(home=home.path).database)
    with database.read() as session:
        row = credentialentries.current_credential(session, "ana")
    database.close()
    assert row is not None
    verified = read_credential_entry(row.envelope, home.trust(), now=row.recorded_at)
    assert verified.entry.number == NUMBER.format(1)
    assert NUMBER.format(1) not in json.dumps(row.model_dump(exclude={"envelope"}))


def test_one_officer_twice_is_one(home: HomeFolder, keyfill: Keyfill, lines: Lines) -> None:
    """The same officer's signature again adds nothing."""
    lines("administrators", "add", *ANA)
    file = home.path / "pending.jsonl"
    keyfill("officers", "pending", "--out", str(file))
    key = str(home.officers / "officer-1.jwk")
    for _ in range(3):
        keyfill("officers", "sign", "--key", key, "--yes", str(file))
        (outcome,) = lines("officers", "import", str(file))
        assert (outcome["state"], outcome["signatures_missing"]) == ("pending", 1)
    statements = json.loads(file.read_text())["statements"]
    assert len(statements) == 2


def test_two_officers_apart_are_put_together(
    home: HomeFolder, keyfill: Keyfill, lines: Lines
) -> None:
    """Each officer signs a copy of the unsigned file; importing both makes the entry active."""
    lines("administrators", "add", *ANA)
    states_seen: list[str] = []
    for officer in ("officer-2", "officer-1"):
        file = home.path / f"for-{officer}.jsonl"
        if not states_seen:
            keyfill("officers", "pending", "--out", str(home.path / "for-officer-1.jsonl"))
            keyfill("officers", "pending", "--out", str(file))
        keyfill(
            "officers", "sign", "--key", str(home.officers / f"{officer}.jwk"), "--yes", str(file)
        )
        (outcome,) = lines("officers", "import", str(file))
        states_seen.append(outcome["state"])
    assert states_seen == ["pending", "active"]


def test_a_stranger_is_no_officer(home: HomeFolder, keyfill: Keyfill, lines: Lines) -> None:
    """A key that the trust file does not name signs nothing: exit code 2."""
    lines("administrators", "add", *ANA)
    file, stranger = home.path / "pending.jsonl", home.path / "stranger.jwk"
    write_key(stranger, SigningKey.generate())
    keyfill("officers", "pending", "--out", str(file))
    before = file.read_text()
    assert keyfill("officers", "sign", "--key", str(stranger), "--yes", str(file)).exit_code == 2
    assert file.read_text() == before


def test_an_officer_makes_a_key_that_the_trust_file_can_name(
    home: HomeFolder, keyfill: Keyfill, lines: Lines, tmp_path: Path
) -> None:
    """`officers key` shows the public half and no more; among the officers it signs."""
    file = tmp_path / "officer.jwk"
    made = keyfill("officers", "key", str(file))
    assert made.exit_code == 0, made.output
    public, private = json.loads(made.stdout), file.read_text()
    assert '"d"' not in made.stdout and '"d"' in private
    assert file.stat().st_mode & 0o777 == 0o600
    trust = json.loads(home.trust_file.read_text())
    trust["officers"].append({"name": "officer-3", "key": public})
    named = tmp_path / "trust.json"
    named.write_text(json.dumps(trust))
    lines("administrators", "add", *ANA)
    pending = tmp_path / "pending.jsonl"
    assert keyfill("officers", "pending", "--out", str(pending)).exit_code == 0
    unsigned = pending.read_text()
    signing = ("officers", "sign", "--key", str(file), "--yes", str(pending))
    assert keyfill(*signing).exit_code == 2
    assert keyfill(*signing, "--trust", str(named)).exit_code == 0
    assert len(pending.read_text()) > len(unsigned)
    assert keyfill("officers", "key", str(file)).exit_code == 3
    assert file.read_text() == private


def test_an_officer_who_says_no_signs_nothing(
    home: HomeFolder, keyfill: Keyfill, lines: Lines
) -> None:
    """Each enrolment is shown with its number and asked about; `n` leaves it as it is."""
    lines("administrators", "add", *ANA)
    file = home.path / "pending.jsonl"
    keyfill("officers", "pending", "--out", str(file))
    before = file.read_text()
    key = str(home.officers / "officer-1.jwk")
    result = keyfill("officers", "sign", "--key", key, str(file), typed="n\n")
    assert NUMBER.format(1) in result.stdout
    assert file.read_text() == before


def test_a_changed_enrolment_is_refused(home: HomeFolder, keyfill: Keyfill, lines: Lines) -> None:
    """An envelope that was bent on the way back is refused: exit code 3, nothing active."""
    lines("administrators", "add", *ANA)
    file = home.path / "pending.jsonl"
    keyfill("officers", "pending", "--out", str(file))
    file.write_text(file.read_text().replace('"statements":["ey', '"statements":["eA'))
    assert keyfill("officers", "import", str(file)).exit_code == 3
    assert states(lines) == {"ana": "pending"}


def test_a_number_that_is_none_is_refused(keyfill: Keyfill) -> None:
    """What is no mobile number in international form is wrong usage, and not repeated."""
    result = keyfill("administrators", "add", *ANA[:-1], "0171-3920001")
    assert result.exit_code == 2
    assert "0171" not in result.output


def test_production_makes_no_key(home: HomeFolder, keyfill: Keyfill) -> None:
    """Outside development a person's key comes from elsewhere."""
    result = keyfill("administrators", "add", *ANA, KEYFILL_ENVIRONMENT="production")
    assert result.exit_code == 2
    assert not home.administrators.exists()


def test_a_given_key_is_taken(home: HomeFolder, lines: Lines, tmp_path: Path) -> None:
    """With --key the person's own key signs the entry."""
    key = SigningKey.generate("EdDSA")
    write_key(tmp_path / "own.jwk", key)
    lines("administrators", "add", *ANA, "--key", str(tmp_path / "own.jwk"))
    (listed,) = lines("administrators", "list")
    assert listed["kid"] == key.kid
    assert not home.administrators.exists()


def test_other_roles_are_another_entry(lines: Lines, keyfill: Keyfill) -> None:
    """`roles` makes a new entry that waits for the officers and then supersedes the former."""
    lines("administrators", "add", *ANA)
    lines("officers", "sign", "--all")
    assert keyfill("administrators", "roles", "ana", "administrator", "auditor").exit_code == 0
    assert [one["state"] for one in lines("administrators", "list")] == ["active", "pending"]
    lines("officers", "sign", "--all")
    (listed,) = lines("administrators", "list")
    assert (listed["state"], listed["roles"]) == ("active", ["administrator", "auditor"])


def test_a_revoked_person_is_gone(lines: Lines, keyfill: Keyfill) -> None:
    """`revoke` needs no officer; a second time there is nobody to revoke: exit code 3."""
    lines("administrators", "add", *ANA)
    lines("officers", "sign", "--all")
    assert keyfill("administrators", "revoke", "ana").exit_code == 0
    assert states(lines) == {}
    assert keyfill("administrators", "revoke", "ana").exit_code == 3


def test_a_taken_staff_number_is_refused(lines: Lines, keyfill: Keyfill) -> None:
    """Two persons cannot have one staff number: the second entry is refused, exit code 3."""
    lines("administrators", "add", *ANA)
    lines("officers", "sign", "--all")
    lines("administrators", "add", "ben", "--staff-no", "A1001", *BEN[3:])
    assert keyfill("officers", "sign", "--all").exit_code == 3
    assert states(lines) == {"ana": "active", "ben": "pending"}


def test_a_link_opens_its_draft_and_the_database_does_not(home: HomeFolder, lines: Lines) -> None:
    """The link's token opens the draft; the database holds its digest, and no number in clear."""
    (made,) = lines("administrators", "link", *ANA)
    origin, _, token = made["link"].partition("/e#")
    assert origin == home.trust().origin
    database = Database(Settings.unchecked(home=home.path).database)
    with database.read() as session:
        row = enrolments.find(session, link_token_digest(token))
    database.close()
    assert row is not None
    draft = open_draft(token, row.sealed_draft)
    assert (draft.person, draft.number, draft.seq) == ("ana", NUMBER.format(1), 0)
    for file in home.path.glob("keyfill.db*"):
        assert token.encode() not in file.read_bytes()
        assert NUMBER.format(1).encode() not in file.read_bytes()


def test_an_order_to_remove_is_an_officers_statement(home: HomeFolder, keyfill: Keyfill) -> None:
    """`allow-removal` writes a statement by an officer's key that names how many."""
    from ceremony.statements import RemovalOrderPayload
    from ceremony.verification import EnrolledKey, verify

    key, out = home.officers / "officer-1.jwk", home.path / "order"
    arguments = ["--key", str(key), "--most", "7", "--out", str(out)]
    assert keyfill("officers", "allow-removal", *arguments).exit_code == 0
    order = verify(
        out.read_text().strip(),
        RemovalOrderPayload,
        [EnrolledKey(read_key(key).public)],
        audience=home.trust().audience,
    )
    assert order.payload.most == 7


@pytest.mark.parametrize("arguments", [["sign"], ["sign", "--key", "nowhere.jwk", "nowhere"]])
def test_signing_needs_a_key_and_a_file(keyfill: Keyfill, arguments: list[str]) -> None:
    """Without an officer's key or a file `sign` is wrong usage."""
    assert keyfill("officers", *arguments).exit_code == 2
