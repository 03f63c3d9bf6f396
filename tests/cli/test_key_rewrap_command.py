"""`keyfill keys rewrap`: a KEK is changed, and neither journal nor records keep the former one."""

import secrets
from collections.abc import Iterator

import pytest

from activities.key_archive import RecordsArchive
from commands.homefolder import HomeFolder
from keymanagement.journal import Journal
from keymanagement.journalerrors import JournalCorrupt
from keymanagement.journalrows import KEYS, NewKey
from keymanagement.port import KeyAlgorithm, KeyBinding
from keymanagement.software import SoftwareKeyManager
from records import keystore
from records.database import Database
from settings import Settings, SettingsError
from tests.support.commandline import Keyfill
from tests.support.journals import NOW, intent, new_token
from tests.support.keytokens import sample_kdh

REQUESTS = ("A" * 24, "B" * 24)


@pytest.fixture
def database(home: HomeFolder) -> Iterator[Database]:
    """The home's records."""
    made = Database(Settings.unchecked(home=home.path).database)
    yield made
    made.close()


def settings(home: HomeFolder) -> Settings:
    """What the key worker of the home reads."""
    return Settings.for_role("keys", home=home.path)


def put_keys(home: HomeFolder, database: Database) -> dict[str, str]:
    """Release two keys under the home's KEK; their KCVs."""
    kek, kcvs = settings(home).secret("kek"), {}
    with Journal(home.journal, kek) as journal:
        for one in REQUESTS:
            binding = KeyBinding(f"ATM-{one[0]}", one)
            manager = SoftwareKeyManager(kek, sample_kdh())
            made = manager.create(KeyAlgorithm.AES_128, binding)
            journal.begin_release(intent(one, request_id=one, terminal_no=binding.terminal_no))
            key = NewKey(
                request_id=one,
                algorithm=KeyAlgorithm.AES_128,
                host_block=made.block,
                kcv=made.kcv,
                record="release record",
                created_at=NOW,
                uniqueness=made.uniqueness,
            )
            held, issued = journal.save_key_and_first_token(key, new_token(one, request_id=one))
            RecordsArchive(database).publish_token(binding.terminal_no, held, issued)
            kcvs[one] = made.kcv
    return kcvs


def rotate(home: HomeFolder) -> None:
    """Give the key worker a new KEK beside the former one."""
    folder = home.secrets("keys")
    (folder / "keyfill_kek_previous").write_text((folder / "keyfill_kek").read_text())
    (folder / "keyfill_kek").write_text(secrets.token_hex(32))


def test_a_kek_is_changed(home: HomeFolder, database: Database, keyfill: Keyfill) -> None:
    """After two runs the former KEK can go: journal and records open under the new one alone."""
    kcvs = put_keys(home, database)
    rotate(home)
    first, second = keyfill("keys", "rewrap"), keyfill("keys", "rewrap")
    assert (first.exit_code, "rows rewrapped" in first.stdout) == (0, True), first.output
    assert second.stdout == "Nothing is left under a former KEK.\n"
    (home.secrets("keys") / "keyfill_kek_previous").unlink()
    kek = settings(home).secret("kek")
    manager = SoftwareKeyManager(kek, sample_kdh())
    with Journal(home.journal, kek) as journal, database.read() as session:
        journal.verify()
        for one in REQUESTS:
            held, row = journal.key_of(one), keystore.key(session, one)
            assert held is not None
            assert row is not None
            assert row.host_block == held.host_block
            binding = KeyBinding(row.terminal_no, one)
            assert manager.kcv(row.host_block, KeyAlgorithm.AES_128, binding) == kcvs[one]


def test_records_that_missed_a_run_are_brought_up(
    home: HomeFolder, database: Database, keyfill: Keyfill
) -> None:
    """Killed between journal and records: the next run finds the rows that differ."""
    put_keys(home, database)
    with database.read() as session:
        before = keystore.key(session, REQUESTS[0])
    assert before is not None
    assert before.host_block is not None
    rotate(home)
    keyfill("keys", "rewrap")
    with database.write() as session:
        assert keystore.renew_block(session, REQUESTS[0], before.host_block)
    assert keyfill("keys", "rewrap", "--json").stdout == '{"rewrapped": 0, "left": 0}\n'
    with Journal(home.journal, settings(home).secret("kek")) as journal:
        held = journal.key_of(REQUESTS[0])
    with database.read() as session:
        after = keystore.key(session, REQUESTS[0])
    assert held is not None
    assert after is not None
    assert after.host_block == held.host_block != before.host_block


@pytest.mark.parametrize("key_manager", ["software", "pkcs11"])
def test_keys_of_both_key_managers_are_no_hindrance(
    home: HomeFolder,
    database: Database,
    keyfill: Keyfill,
    monkeypatch: pytest.MonkeyPatch,
    key_manager: str,
) -> None:
    """An HSM's key is left and counted, whichever manager is set; the other's copy is renewed."""
    kcvs = put_keys(home, database)
    name = b"KFHH\x01" + b"n" * 40
    kek = settings(home).secret("kek")
    with Journal(home.journal, kek) as journal, journal._file.transaction():
        row = journal._file.get(KEYS, request_id=REQUESTS[0])
        assert row is not None
        journal._file.update(KEYS, {**row, "host_block": name})
    rotate(home)
    if key_manager == "pkcs11":
        monkeypatch.setenv("KEYFILL_KEY_MANAGER", "pkcs11")
        monkeypatch.setenv("KEYFILL_PKCS11_MODULE", "/no/such/module.so")
        (home.secrets("keys") / "keyfill_pkcs11_pin").write_text("0000")
        (home.secrets("keys") / "keyfill_export_key").unlink(missing_ok=True)
    first, second = keyfill("keys", "rewrap"), keyfill("keys", "rewrap", "--json")
    assert first.exit_code == 0, first.output
    assert "1 host's copies are no X9.143 blocks" in first.stderr
    assert second.stdout == '{"rewrapped": 0, "left": 1}\n'
    (home.secrets("keys") / "keyfill_kek_previous").unlink()
    kek = settings(home).secret("kek")
    with Journal(home.journal, kek) as journal:
        journal.verify()
        left, held = journal.key_of(REQUESTS[0]), journal.key_of(REQUESTS[1])
        assert left is not None
        assert held is not None
        assert left.host_block == name
        binding = KeyBinding(f"ATM-{REQUESTS[1][0]}", REQUESTS[1])
        manager = SoftwareKeyManager(kek, sample_kdh())
        assert manager.kcv(held.host_block, held.algorithm, binding) == kcvs[REQUESTS[1]]


def test_an_erased_copy_stays_erased(home: HomeFolder, database: Database) -> None:
    """No block comes back to a destroyed key's row."""
    put_keys(home, database)
    with database.write() as session:
        keystore.withdraw(session, REQUESTS[0], erase=True)
        assert not keystore.renew_block(session, REQUESTS[0], b"block")


def test_without_the_former_kek_nothing_is_touched(
    home: HomeFolder, database: Database, keyfill: Keyfill
) -> None:
    """The journal does not open, and the command says so."""
    put_keys(home, database)
    former = settings(home).secret("kek")
    rotate(home)
    (home.secrets("keys") / "keyfill_kek_previous").unlink()
    result = keyfill("keys", "rewrap")
    assert (result.exit_code, "Stopped after 0 rows" in result.output) == (1, True)
    with pytest.raises(JournalCorrupt):
        Journal(home.journal, settings(home).secret("kek"))
    with Journal(home.journal, former) as journal:
        journal.verify()


def test_a_former_kek_is_another_key_of_the_same_size(home: HomeFolder) -> None:
    """The settings refuse the present one, a short one, and one that is no hexadecimal."""
    folder = home.secrets("keys")
    rotate(home)
    assert len(settings(home).former_keks) == 1
    for wrong in (folder.joinpath("keyfill_kek").read_text(), "00" * 16, "no key"):
        (folder / "keyfill_kek_previous").write_text(wrong)
        with pytest.raises(SettingsError, match="kek_previous"):
            settings(home)


def test_an_export_key_is_checked_where_it_is_set(home: HomeFolder) -> None:
    """A development home has one; a short one is refused, and none at all exports nothing."""
    file = home.secrets("keys") / "keyfill_export_key"
    assert len(settings(home).secret("export_key")) == 32
    file.write_text("00" * 16)
    with pytest.raises(SettingsError, match="export_key"):
        settings(home)
    file.unlink()
    assert settings(home).export_key.get_secret_value() == ""


def test_an_export_key_beside_an_hsm_is_refused(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An HSM's keys are not exported: one that serves for nothing is not left there."""
    for name, value in {
        "KEY_MANAGER": "pkcs11",
        "PKCS11_MODULE": "/nowhere/module.so",
        "PKCS11_PIN": "1234",
    }.items():
        monkeypatch.setenv(f"KEYFILL_{name}", value)
    with pytest.raises(SettingsError, match="keyfill_export_key"):
        settings(home)
    (home.secrets("keys") / "keyfill_export_key").unlink()
    assert settings(home).key_manager == "pkcs11"


def test_a_back_office_needs_a_token(home: HomeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ceremony worker starts with an address and no token; the key worker needs none."""
    monkeypatch.setenv("KEYFILL_BACKOFFICE_EXPORT_URL", "https://backoffice.example/keys")
    with pytest.raises(SettingsError, match="backoffice_token"):
        Settings.for_role("ceremony", home=home.path)
    settings(home)
    monkeypatch.setenv("KEYFILL_BACKOFFICE_TOKEN", "token")
    Settings.for_role("ceremony", home=home.path)
