"""The SM2 side of a development home: KDH, EPP root, sample terminals; and a home without it."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from commands.homefolder import HomeFolder
from commands.init import make_home
from commands.samples import kdh_thumbprint
from holdings import SM2_HELD
from keymanagement.gm import sm2
from keymanagement.gm.identity import make_development_gm_kdh
from keymanagement.kdh import EXPIRES_SOON_DAYS, KdhInvalid
from keyworker import read_sm2_kdh
from records.database import Database
from settings import Settings, SettingsError
from terminal.epp import HOST_KEY, Epp
from terminal.eppstore import EppStore
from tests.support.commandline import Keyfill
from worker import key_parts


def start_keys(home: HomeFolder, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    """Put the key worker of a home together, for keys of an algorithm."""
    monkeypatch.setenv("KEYFILL_KEY_ALGORITHM", algorithm)
    settings = Settings.for_role("keys", home=home.path)
    with ExitStack() as stack:
        database = Database(settings.database)
        stack.callback(database.close)
        key_parts(settings, database, stack)


def test_the_key_worker_starts_for_sm4(home: HomeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """`keyfill init` made the SM2 identity, and only the key worker's folder holds it."""
    start_keys(home, monkeypatch, "SM4")
    holders = {path.parent.name for path in home.path.rglob(f"keyfill_{SM2_HELD[0]}")}
    assert holders == {"keys"}


def test_sm4_needs_the_sm2_identity(home: HomeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the key worker starts for AES, and for SM4 says what is wrong with the policy."""
    for name in SM2_HELD:
        (home.secrets("keys") / f"keyfill_{name}").unlink()
    start_keys(home, monkeypatch, "AES-128")
    with pytest.raises(SettingsError, match="SM4"):
        start_keys(home, monkeypatch, "SM4")


def test_a_half_given_identity_is_refused(home: HomeFolder) -> None:
    """A key without its certificate, or with the RSA one, signs nothing."""
    folder = home.secrets("keys")
    settings = Settings.for_role("keys", home=home.path)
    identity = read_sm2_kdh(settings, now=int(_certificate(home).not_valid_before_utc.timestamp()))
    assert identity is not None
    (folder / f"keyfill_{SM2_HELD[1]}").write_text((folder / "keyfill_kdh_certificate").read_text())
    now = int(_certificate(home).not_valid_before_utc.timestamp())
    with pytest.raises(KdhInvalid, match="not for an SM2 key"):
        read_sm2_kdh(Settings.for_role("keys", home=home.path), now=now)
    (folder / f"keyfill_{SM2_HELD[1]}").unlink()
    with pytest.raises(SettingsError, match="kdh_sm2_certificate"):
        read_sm2_kdh(Settings.for_role("keys", home=home.path), now=now)


def test_an_sm2_kdh_that_ends_is_warned_of(
    home: HomeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """As the RSA one is, in its last 60 days; before its beginning it is refused."""
    settings = Settings.for_role("keys", home=home.path)
    end = int(_certificate(home).not_valid_after_utc.timestamp())
    for left, levels in ((EXPIRES_SOON_DAYS, []), (EXPIRES_SOON_DAYS - 1, ["WARNING"])):
        caplog.clear()
        assert read_sm2_kdh(settings, now=end - left * 86_400) is not None
        told = [one for one in caplog.records if one.levelname != "INFO"]
        assert [one.levelname for one in told] == levels
        assert all("kdh_sm2_certificate expires in 59 days" in one.message for one in told)
    with pytest.raises(KdhInvalid, match="not valid now"):
        read_sm2_kdh(settings, now=1_000_000_000)


def test_the_key_worker_outlives_its_sm2_kdh(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Expired, it signs nothing and an error says so; RSA terminals, receipts and orders go on."""
    folder, began = home.secrets("keys"), 1_600_000_000
    files = make_development_gm_kdh(now=began, days=1)
    for name, text in zip(SM2_HELD, (files.key_pem, files.certificate_pem), strict=True):
        (folder / f"keyfill_{name}").write_bytes(text)
    settings = Settings.for_role("keys", home=home.path)
    assert read_sm2_kdh(settings, now=began + 60) is not None
    caplog.clear()
    assert read_sm2_kdh(settings, now=began + 2 * 86_400) is None
    assert [one.levelname for one in caplog.records] == ["ERROR"]
    for algorithm in ("AES-128", "SM4"):
        start_keys(home, monkeypatch, algorithm)


def test_a_sample_terminal_may_have_an_sm2_epp(home: HomeFolder, keyfill: Keyfill) -> None:
    """It pins the KDH's SM2 certificate, asks for `gm-envelope`, and its entry is in the feed."""
    made = keyfill("terminals", "sample", "ATM-0001", "--first", "a", "--second", "b", "--sm2")
    assert made.exit_code == 0, made.output
    folder = home.terminals / "ATM-0001"
    profile = json.loads((folder / "terminal.json").read_text())
    assert profile["formats"] == ["gm-envelope"]
    assert profile["kdh_thumbprint"] == kdh_thumbprint(home, sm2=True) != kdh_thumbprint(home)
    epp = Epp(EppStore(folder / "epp"))
    assert epp.get_certificate(HOST_KEY) == _certificate(home).public_bytes(Encoding.DER)
    assert len(home.feed_file.read_text().splitlines()) == 1


def test_without_sm2_a_home_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without `gmssl-pyx` there is no SM2 side, and all else is as ever."""
    monkeypatch.setattr(sm2, "_gmssl", None)
    home = HomeFolder(tmp_path / "home")
    make_home(home, origin="http://localhost:1", audience="x", now=1_800_000_000)
    assert len(home.trust().roots) == 1
    assert not home.sm2_epp_root.exists()
    assert not home.sm2_kdh_certificate.exists()
    settings = Settings.for_role("keys", home=home.path)
    assert read_sm2_kdh(settings, now=1_800_000_000) is None


def test_a_home_without_sm2_makes_no_sm2_terminal(home: HomeFolder, keyfill: Keyfill) -> None:
    """The command says what is missing."""
    home.sm2_kdh_certificate.unlink()
    made = keyfill("terminals", "sample", "ATM-0001", "--first", "a", "--second", "b", "--sm2")
    assert made.exit_code == 2
    assert "kdh-sm2.pem" in made.output


def _certificate(home: HomeFolder) -> x509.Certificate:
    return x509.load_pem_x509_certificate(home.sm2_kdh_certificate.read_bytes())
