"""A development home whose key manager is an HSM: SoftHSM's, in the home folder."""

import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from cli import app
from commands.homefolder import HomeFolder
from commands.init import make_home
from commands.samples import SampleTerminal, kdh_thumbprint, make_sample_terminal
from holdings import DEVELOPMENT_MARK
from keymanagement.journal import Journal
from keymanagement.pkcs11 import softhsm
from keymanagement.port import KeyAlgorithm, KeyBinding
from keyworker import key_manager
from records.database import Database
from settings import Settings, SettingsError
from terminal.eppstore import EppStore
from tests.support import softhsm as found
from tests.support.certificates import sample_authority, sample_epp
from tests.support.databases import furnish
from worker import key_parts


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeFolder]:
    """The home, and for these tests the only token that this process sees."""
    found.needed(found.softhsm(), "SoftHSM")
    path = tmp_path_factory.mktemp("hsm") / "home"
    result = CliRunner().invoke(
        app, ["init", "--home", str(path), "--key-manager", "pkcs11"], env={}
    )
    assert result.exit_code == 0, result.output
    made = HomeFolder(path)
    furnish(made)
    with softhsm.configured(softhsm.find_module(), made.hsm / "softhsm2.conf"):
        yield made


def test_the_kdhs_key_is_in_the_hsm_only(home: HomeFolder) -> None:
    """No secret holds it, terminals pin its certificate, and the PINs are development ones."""
    names = {path.name for path in home.secrets("keys").iterdir()}
    assert not names & {"keyfill_kdh_key", "keyfill_export_key"}
    held = (home.secrets("keys") / "keyfill_kdh_certificate").read_text()
    assert held == DEVELOPMENT_MARK + home.kdh_certificate.read_text()
    certificate = x509.load_pem_x509_certificate(home.kdh_certificate.read_bytes())
    certificate.verify_directly_issued_by(certificate)
    for path in (home.secrets("keys") / "keyfill_pkcs11_pin", home.hsm / "so-pin"):
        assert path.read_text().startswith(DEVELOPMENT_MARK)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((home.hsm / "tokens").stat().st_mode) == 0o700


def test_the_key_worker_starts_on_it(home: HomeFolder) -> None:
    """Its own settings say which HSM; a key that it makes goes to a sample terminal's EPP."""
    settings = Settings.for_role("keys", home=home.path)
    assert settings.key_manager == "pkcs11"
    with ExitStack() as stack:
        database = Database(settings.database)
        stack.callback(database.close)
        parts = key_parts(settings, database, stack)
        assert parts.queue == "keyfill-keys"
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(settings.journal, settings.secret("kek")))
        manager = key_manager(settings, settings.read_trust(), journal, stack)
        assert manager.formats_for(KeyAlgorithm.AES_128) == ("oaep-jws",)
        binding = KeyBinding("ATM-0001", "A" * 24)
        created = manager.create(KeyAlgorithm.AES_128, binding)
        assert manager.kcv(created.block, KeyAlgorithm.AES_128, binding) == created.kcv
        manager.forget(binding)
    assert kdh_thumbprint(home) in repr(manager)


def test_a_sample_terminal_is_trusted_by_the_hsm(home: HomeFolder) -> None:
    """The home plays the security officer too: asked again, the HSM knows the EPP's key."""
    sample = SampleTerminal("ATM-0009", "ana", "ben", epp_bits=2048)
    folder = make_sample_terminal(home, sample, now=int(time.time()))
    path = home.path / "epp.der"
    path.write_bytes(EppStore(folder / "epp").read().certificate)
    said = trust(home, path)
    assert '"trusted": 0, "known": 1' in said


def test_the_officer_trusts_certificates(home: HomeFolder, tmp_path: Path) -> None:
    """`keyfill hsm trust` stores the keys of certificates, in PEM or DER, and counts the new."""
    fresh = tmp_path / "epp.der"
    fresh.write_bytes(sample_epp("hsm home").certificate)
    assert '"trusted": 1, "known": 0' in trust(home, fresh)
    assert '"trusted": 0, "known": 1' in trust(home, fresh)
    root = tmp_path / "root.pem"
    root.write_text(sample_authority().pem)
    result = officer(home, root)
    assert result == (2, f"The key in {root} is not an RSA key: no other wraps in PKCS#11.\n")
    missing = tmp_path / "missing.pem"
    assert officer(home, missing) == (2, f"There is no certificate in {missing}.\n")
    assert officer(home, fresh, pin="00000000")[0] == 1


def test_without_a_module_the_key_worker_says_so(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key manager that is an HSM needs its module, token and PIN; each is named if it lacks."""
    software = HomeFolder(tmp_path / "home")
    make_home(
        software,
        origin="http://localhost:1",
        audience="x",
        now=int(time.time()),
        key_manager="software",
    )
    monkeypatch.setenv("KEYFILL_KEY_MANAGER", "pkcs11")
    with pytest.raises(SettingsError, match="keyfill_pkcs11_pin"):
        Settings.for_role("keys", home=software.path)
    monkeypatch.setenv("KEYFILL_PKCS11_PIN", "1234")
    with pytest.raises(SettingsError, match="KEYFILL_PKCS11_MODULE"):
        Settings.for_role("keys", home=software.path)
    monkeypatch.setenv("KEYFILL_PKCS11_PIN", "13572468")
    settings = Settings.for_role("keys", home=home.path)
    with ExitStack() as stack, pytest.raises(SettingsError, match="refused the PIN") as refused:
        journal = stack.enter_context(Journal(settings.journal, settings.secret("kek")))
        key_manager(settings, settings.read_trust(), journal, stack)
    assert "13572468" not in str(refused.value)


def test_without_softhsm_no_home_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install, and no half a home is left."""
    monkeypatch.setattr(softhsm, "MODULES", ())
    path = tmp_path / "home"
    result = CliRunner().invoke(app, ["init", "--home", str(path), "--key-manager", "pkcs11"])
    assert result.exit_code == 4
    assert softhsm.INSTALL in result.output
    assert list(tmp_path.iterdir()) == []


def officer(home: HomeFolder, *certificates: Path, pin: str = "") -> tuple[int, str]:
    """Run `keyfill hsm trust` as the home's security officer."""
    so_pin = (home.hsm / "so-pin").read_text().removeprefix(DEVELOPMENT_MARK)
    result = CliRunner().invoke(
        app,
        [
            *("hsm", "trust", "--json", "--module", str(softhsm.find_module())),
            *map(str, certificates),
        ],
        env={"KEYFILL_PKCS11_SO_PIN": pin or so_pin},
    )
    return result.exit_code, result.output


def trust(home: HomeFolder, *certificates: Path) -> str:
    """The same, which has to succeed; gives what it says."""
    code, said = officer(home, *certificates)
    assert code == 0, said
    return said
