"""`keyfill keys`: what is listed, who signs what, and what goes to the key worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ceremony.keylife import KeyAct
from ceremony.keyorders import KeyOrder, draft_order, read_key_order
from ceremony.keys import SigningKey
from ceremony.messages import KeyOrderAnswer
from ceremony.reasons import Reason
from commands import keyorders, temporal
from commands.homefolder import HomeFolder, write_key
from records import keystore
from records.database import Database
from records.tables.key import KeyRow, KeyState
from settings import Settings
from tests.support.commandline import Keyfill, Lines

ONE, TWO, ATM = "A" * 24, "B" * 24, "ATM-0001"
REFUSED, UNAVAILABLE = 3, 4


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a Temporal that is not there."""
    monkeypatch.setattr(keyorders, "CONNECT_WITHIN", temporal.CONNECT_WITHIN * 0)


def put(home: HomeFolder, request_id: str, state: KeyState, kcv: str | None = None) -> None:
    """Publish a key as the key worker does."""
    database = Database(Settings.for_role("operator", home=home.path).database)
    row = KeyRow(
        request_id=request_id,
        terminal_no=ATM,
        algorithm="AES-128",
        host_block=b"a block that nobody may see",
        state=state,
        kcv=kcv,
        release_record="record",
        released_at=1_790_000_000,
    )
    with database.write() as session:
        keystore.publish_key(session, row)
    database.close()


@pytest.fixture
def keys(home: HomeFolder) -> None:
    """An active key, with its check value, and an unconfirmed one."""
    put(home, ONE, KeyState.ACTIVE, "a1b2c3")
    put(home, TWO, KeyState.UNCONFIRMED)


@pytest.fixture
def officers(home: HomeFolder) -> list[str]:
    """Both officers' key files."""
    return [str(home.officers / f"officer-{n}.jwk") for n in (1, 2)]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[KeyOrder]]:
    """The orders that went to Temporal; each is answered by the state or the reason it asks for."""
    sent: list[KeyOrder] = []
    outcomes = {
        KeyAct.SETTLE_LOADED: KeyOrderAnswer(state=KeyState.ACTIVE),
        KeyAct.SETTLE_NOT_LOADED: KeyOrderAnswer(state=KeyState.RETIRED),
        KeyAct.REVOKE: KeyOrderAnswer(state=KeyState.COMPROMISED),
        KeyAct.DESTROY: KeyOrderAnswer(refused=Reason.KEY_STATE_REFUSED),
    }

    async def answer(settings: Settings, order: KeyOrder) -> KeyOrderAnswer:
        del settings
        sent.append(order)
        return outcomes[order.act]

    monkeypatch.setattr(keyorders, "_answer", answer)
    yield sent


def signed(*officers: str) -> list[str]:
    """The options that name officers' keys, a reason, and no question."""
    return [*(part for one in officers for part in ("--key", one)), "--reason", "replaced", "--yes"]


@pytest.mark.usefixtures("keys")
def test_keys_are_listed_without_what_is_secret(keyfill: Keyfill, lines: Lines) -> None:
    """State and terminal; a check value after the receipt only; never a block."""
    listed = {one["request_id"]: one for one in lines("keys", "list")}
    assert {name: one["state"] for name, one in listed.items()} == {
        ONE: "active",
        TWO: "unconfirmed",
    }
    assert (listed[ONE]["kcv"], listed[TWO]["kcv"]) == ("a1b2c3", None)
    assert [one["request_id"] for one in lines("keys", "list", "--state", "unconfirmed")] == [TWO]
    assert lines("keys", "list", "--terminal", "ATM-0002") == []
    assert len(lines("keys", "list", "--terminal", ATM)) == 2
    shown = keyfill("keys", "list").stdout
    assert "KCV a1b2c3" in shown
    for text in (shown, json.dumps(listed)):
        assert "block" not in text
        assert b"a block".hex() not in text


def test_a_long_list_is_read_in_pages(
    home: HomeFolder, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key once, whatever the size of a page."""
    from commands import keys as command

    monkeypatch.setattr(command, "PAGE", 2)
    for letter in "ABCDE":
        put(home, letter * 24, KeyState.RETIRED)
    assert [one["request_id"][0] for one in lines("keys", "list")] == list("ABCDE")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("arguments", "act", "state"),
    [
        (["settle", TWO, "--loaded"], KeyAct.SETTLE_LOADED, "active"),
        (["settle", TWO, "--not-loaded"], KeyAct.SETTLE_NOT_LOADED, "retired"),
        (["revoke", TWO], KeyAct.REVOKE, "compromised"),
    ],
)
def test_an_order_is_signed_sent_and_answered(
    home: HomeFolder,
    lines: Lines,
    officers: list[str],
    answered: list[KeyOrder],
    arguments: list[str],
    act: KeyAct,
    state: str,
) -> None:
    """By all whose keys are given, about the key's own terminal, and it verifies."""
    (told,) = lines("keys", *arguments, *signed(*officers))
    (order,) = answered
    read = read_key_order(order.envelope, home.trust())
    assert (read.act, read.request_id, read.terminal_no) == (act, TWO, ATM)
    assert len(read.officers) == 2
    assert (told["state"], told["reason"], told["digest"]) == (state, None, read.digest)


@pytest.mark.usefixtures("keys")
def test_one_officer_revokes_and_does_no_more(
    keyfill: Keyfill, officers: list[str], answered: list[KeyOrder]
) -> None:
    """Alone, or given twice, one gets as far as a file for the next one: exit code 3."""
    for arguments in (["destroy", TWO], ["settle", TWO, "--loaded"]):
        for alone in (officers[:1], officers[:1] * 2):
            assert keyfill("keys", *arguments, *signed(*alone)).exit_code == REFUSED
    assert answered == []
    assert keyfill("keys", "revoke", TWO, *signed(officers[0])).exit_code == 0


@pytest.mark.usefixtures("keys")
def test_a_refusal_is_told_with_its_reason(
    keyfill: Keyfill, officers: list[str], answered: list[KeyOrder]
) -> None:
    """Exit code 3, and the key worker's own word."""
    result = keyfill("keys", "destroy", ONE, *signed(*officers), "--json")
    assert (result.exit_code, json.loads(result.stdout)["reason"]) == (REFUSED, "key-state-refused")
    assert len(answered) == 1


def test_two_officers_sign_one_after_the_other(
    home: HomeFolder,
    keyfill: Keyfill,
    officers: list[str],
    answered: list[KeyOrder],
    tmp_path: Path,
) -> None:
    """Each where their key is, without a database; then anyone sends the file."""
    file = tmp_path / "order.json"
    drawn = ["destroy", TWO, "--terminal", ATM, "--out", str(file), *signed(officers[0])]
    assert keyfill("keys", *drawn).exit_code == 0
    assert keyfill("keys", "send", str(file)).exit_code == REFUSED
    assert answered == []
    for _ in range(2):
        result = keyfill("keys", "sign", str(file), "--key", officers[1], "--yes")
        assert result.exit_code == 0
        assert f"Request {TWO} of terminal {ATM}" in result.stderr
    order = draft_order(file.read_text().strip(), home.trust())
    assert (len(order.officers), order.envelope.count("eyJ")) == (2, 4)
    assert keyfill("keys", "send", str(file)).exit_code == REFUSED
    assert [one.digest for one in answered] == [order.digest]


@pytest.mark.usefixtures("keys")
def test_an_officer_who_says_no_orders_nothing(
    keyfill: Keyfill, officers: list[str], answered: list[KeyOrder], tmp_path: Path
) -> None:
    """What is for ever is asked about, with what it does."""
    asked = [part for part in signed(*officers) if part != "--yes"]
    result = keyfill("keys", "destroy", ONE, *asked, typed="n\n")
    assert result.exit_code == 0
    assert "now active" in result.stderr
    assert "for ever" in result.stderr
    file = tmp_path / "order.json"
    keyfill("keys", "destroy", ONE, "--out", str(file), *signed(officers[0]))
    before = file.read_text()
    keyfill("keys", "sign", str(file), "--key", officers[1], typed="n\n")
    assert (file.read_text(), answered) == (before, [])


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["destroy", "Z" * 24], REFUSED),
        (["destroy", "too short", "--terminal", ATM], 2),
        (["destroy", TWO, "--terminal", "no terminal"], 2),
        (["destroy", TWO, "--reason", "No Code"], 2),
        (["destroy", TWO, "--note", "x" * 201], 2),
        (["settle", TWO], 2),
        (["sign", "/nowhere/order.json"], 2),
        (["list", "--state", "stolen"], 2),
    ],
)
def test_which_key_and_why_must_be_said(
    keyfill: Keyfill, officers: list[str], answered: list[KeyOrder], arguments: list[str], code: int
) -> None:
    """A known key or a terminal, a code for a reason, and whether it is loaded."""
    options = [] if arguments[0] == "list" else signed(*officers)
    if arguments[0] == "sign":
        options = ["--key", officers[0], "--yes"]
    if "--reason" in arguments:
        options = [one for one in options if one not in {"--reason", "replaced"}]
    assert keyfill("keys", *arguments, *options).exit_code == code
    assert answered == []


def test_a_stranger_orders_nothing(
    keyfill: Keyfill, officers: list[str], answered: list[KeyOrder], tmp_path: Path
) -> None:
    """A key that the trust file does not name signs no order; nonsense is not sent."""
    write_key(tmp_path / "stranger.jwk", SigningKey.generate())
    options = [
        "destroy",
        TWO,
        "--terminal",
        ATM,
        *signed(officers[0], str(tmp_path / "stranger.jwk")),
    ]
    assert keyfill("keys", *options).exit_code == 2
    (tmp_path / "forged").write_text("nonsense\n")
    assert keyfill("keys", "send", str(tmp_path / "forged")).exit_code == REFUSED
    assert answered == []


def test_without_temporal_nothing_is_claimed(keyfill: Keyfill, officers: list[str]) -> None:
    """Exit code 4, and no state."""
    result: Any = keyfill("keys", "revoke", TWO, "--terminal", ATM, *signed(officers[0]), "--json")
    assert (result.exit_code, result.stdout) == (UNAVAILABLE, "")
