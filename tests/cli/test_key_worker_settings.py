"""What the key worker starts with: a policy that it can keep, and a KDH that may sign."""

import logging
import shlex
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from commands.homefolder import HomeFolder
from holdings import HELD_BY, ROTATED
from keymanagement.kdh import (
    EXPIRES_SOON_DAYS,
    DevelopmentKdh,
    KdhIdentity,
    KdhInvalid,
    certify_development_kdh,
    make_development_kdh,
)
from keymanagement.policy import KeyPolicy
from keymanagement.port import KeyAlgorithm
from keymanagement.software import SoftwareKeyManager
from keyworker import read_kdh, read_policy
from settings import Settings, SettingsError
from tests.support.keyfakes import KEK
from tests.support.keytokens import NOW, sample_kdh, sample_kdh_files

DAY = 86_400


def settings(home: Path, **said: Any) -> Settings:
    """Settings of a home, nothing from the environment."""
    return Settings(home=home, **said)


def policy(home: Path, **said: Any) -> KeyPolicy:
    """The policy that a key worker with the software key manager starts with."""
    return read_policy(settings(home, **said), SoftwareKeyManager(KEK, sample_kdh()))


def refused(home: Path, **said: Any) -> str:
    """The one sentence with which a key worker does not start."""
    with pytest.raises(SettingsError) as error:
        policy(home, **said)
    return str(error.value)


def test_development_needs_no_policy_file(tmp_path: Path) -> None:
    """Without one, every model gets keys of `KEYFILL_KEY_ALGORITHM`."""
    assert policy(tmp_path).rule_for("any").algorithm is KeyAlgorithm.AES_128
    assert policy(tmp_path, key_algorithm="TDES").rule_for("any").algorithm is KeyAlgorithm.TDES


def test_production_needs_a_policy_file(tmp_path: Path) -> None:
    """Outside development nobody gets keys of an algorithm that nobody wrote down."""
    path = tmp_path / "policy.toml"
    said = refused(tmp_path, environment="production", key_algorithm="TDES")
    assert said == f"Put the key policy at {path}."
    path.write_text("[default]")
    found = policy(tmp_path, environment="production").rule_for("any")
    assert found.algorithm is KeyAlgorithm.AES_128


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """A misspelt `KEYFILL_POLICY_FILE` is not taken for none, in development either."""
    named = tmp_path / "other.toml"
    assert str(named) in refused(tmp_path, policy_file=named)
    named.mkdir()
    assert str(named) in refused(tmp_path, policy_file=named)
    (tmp_path / "policy.toml").write_bytes(b"\xff")
    assert "policy.toml" in refused(tmp_path)


def test_the_file_is_read_and_the_setting_fills_in(tmp_path: Path) -> None:
    """The default section's algorithm is the setting's where the file says none."""
    named = tmp_path / "other.toml"
    named.write_text('[default]\n[model.A]\nalgorithm = "AES-256"')
    read = policy(tmp_path, policy_file=named, key_algorithm="TDES")
    assert read.rule_for("A").algorithm is KeyAlgorithm.AES_256
    assert read.rule_for("B").algorithm is KeyAlgorithm.TDES


def test_a_policy_that_cannot_be_kept_stops_the_start(tmp_path: Path) -> None:
    """The sentence names the file, the section and the field."""
    path = tmp_path / "policy.toml"
    path.write_text('[default]\n[model."A B"]\nalgorithm = "DES"')
    said = refused(tmp_path)
    assert str(path) in said and '[model."A B"] algorithm' in said
    path.write_text('[default]\n[model.A]\nalgorithm = "SM4"')
    assert '[model."A"] formats' in refused(tmp_path), "there is no SM2 identity"


def test_the_home_of_init_has_a_policy_that_changes_nothing(home: HomeFolder) -> None:
    """`keyfill init` writes the policy out for whoever wants another."""
    assert home.policy_file.exists()
    plain = policy(home.path / "nowhere").rule_for("any")
    assert policy(home.path).rule_for("any") == plain
    assert policy(home.path, key_algorithm="AES-256").rule_for("any").formats == ("oaep-jws",)


def identity(files: DevelopmentKdh, name: str) -> dict[str, Any]:
    """A KDH's key and certificate as secrets."""
    return {
        f"{name}_key": files.key_pem.decode(),
        f"{name}_certificate": files.certificate_pem.decode(),
    }


def kdh(home: Path, now: int = NOW, **said: Any) -> KdhIdentity:
    """The KDH that signs."""
    return read_kdh(settings(home, **said), now=now)


@cache
def later() -> DevelopmentKdh:
    """A KDH that outlasts the sample one, made once in a test process."""
    return make_development_kdh(now=NOW, days=1_500)


def present() -> dict[str, Any]:
    """The present KDH's secrets."""
    return identity(sample_kdh_files("KDH"), "kdh")


def following() -> dict[str, Any]:
    """The next KDH's secrets."""
    return identity(later(), "kdh_next")


def test_the_setting_says_which_kdh_signs(tmp_path: Path) -> None:
    """The present one, until every terminal pins the next one and the setting says so."""
    after = KdhIdentity.from_pem(later().key_pem, later().certificate_pem, now=NOW)
    before = sample_kdh().thumbprint
    assert kdh(tmp_path, **present()).thumbprint == before
    assert kdh(tmp_path, **present(), **following()).thumbprint == before
    signs = kdh(tmp_path, **present(), **following(), kdh_signs="next")
    assert signs.thumbprint == after.thumbprint != before


def test_the_next_kdh_signs_after_the_present_one_expired(tmp_path: Path) -> None:
    """Once switched, the present one's end stops nothing; before, it stops the start."""
    late = NOW + 1_000 * DAY
    with pytest.raises(KdhInvalid):
        kdh(tmp_path, late, **present(), **following())
    assert kdh(tmp_path, late, **present(), **following(), kdh_signs="next").days_left(late) == 500


@pytest.mark.parametrize("missing", ROTATED[:2])
def test_a_next_kdh_that_is_half_there_is_refused(tmp_path: Path, missing: str) -> None:
    """A key without its certificate, or nothing at all where the next one is to sign."""
    half = {name: value for name, value in following().items() if name != missing}
    with pytest.raises(SettingsError, match=missing):
        kdh(tmp_path, **present(), **half, kdh_signs="next")
    with pytest.raises(SettingsError):
        kdh(tmp_path, **present(), kdh_signs="next")


def test_a_next_kdh_must_help(tmp_path: Path) -> None:
    """It is checked before a terminal pins it: another key, a longer life, and its own key."""
    same = identity(sample_kdh_files("KDH"), "kdh_next")
    shorter = identity(make_development_kdh(now=NOW, days=700), "kdh_next")
    mixed = {**following(), "kdh_next_certificate": same["kdh_next_certificate"]}
    key = load_pem_private_key(sample_kdh_files("KDH").key_pem, password=None)
    assert isinstance(key, RSAPrivateKey)
    longer = certify_development_kdh(key, now=NOW, days=1_500).public_bytes(Encoding.PEM)
    renewed = {**same, "kdh_next_certificate": longer.decode()}
    for wrong in (same, shorter, mixed, renewed):
        with pytest.raises(KdhInvalid):
            kdh(tmp_path, **present(), **wrong)


def test_an_end_that_comes_near_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start, in the log, with the days that are left; not before it is near."""
    with caplog.at_level(logging.WARNING):
        files = identity(make_development_kdh(now=NOW, days=EXPIRES_SOON_DAYS), "kdh")
        kdh(tmp_path, **files)
        assert caplog.records == []
        kdh(tmp_path, NOW + 1, **files)
    (record,) = caplog.records
    assert f"in {EXPIRES_SOON_DAYS - 1} days" in record.getMessage()


def test_what_rotates_the_kdh_is_the_key_workers_alone() -> None:
    """No other role's secrets name it."""
    for held in HELD_BY.values():
        assert not {"kdh_next_key", "kdh_next_certificate"}.intersection(held)
    assert {"kdh_next_key", "kdh_next_certificate"} <= set(ROTATED)


def test_the_command_in_the_documentation_makes_a_kdh(tmp_path: Path) -> None:
    """What docs/key-policy.md has people type makes an identity that the key worker takes."""
    page = (Path(__file__).parents[2] / "docs" / "key-policy.md").read_text()
    (command,) = [line.strip() for line in page.splitlines() if "openssl req" in line]
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    key, certificate = (tmp_path / f"kdh-next.{one}" for one in ("key", "pem"))
    now = int(time.time()) + 1
    made = KdhIdentity.from_pem(key.read_bytes(), certificate.read_bytes(), now=now)
    assert made.days_left(now) == 729
