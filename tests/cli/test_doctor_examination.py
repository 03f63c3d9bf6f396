"""`keyfill doctor` on hosts of one role, and on homes of production, without a deployment."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands.examination import Examination
from commands.homefolder import HomeFolder
from commands.privateca import PrivateCa
from commands.reaching import transport_findings
from holdings import DEVELOPMENT_MARK, Role
from keymanagement.kdh import make_development_kdh
from settings import Settings
from tests.support.commandline import Keyfill

DAY = 86_400
NO_SERVER = "http://127.0.0.1:1"


@pytest.fixture
def examined(keyfill: Keyfill) -> Callable[..., dict[str, Any]]:
    """Runs the doctor, which must not crash, and gives grade and sentence of each check."""

    def run(*arguments: str, **environment: str) -> dict[str, Any]:
        result = keyfill("doctor", "--json", *arguments, **environment)
        assert isinstance(result.exception, SystemExit | None), result.exception
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return {one["check"]: (one["grade"], one["says"]) for one in lines}

    return run


def only(home: HomeFolder, *roles: Role) -> None:
    """Take all other roles' secrets off the host."""
    for folder in (home.path / "secrets").iterdir():
        if folder.name not in roles:
            shutil.rmtree(folder)


@pytest.mark.parametrize("role", ["keys", "codec", "api"])
def test_a_host_of_one_role_is_judged_by_that_role(
    home: HomeFolder, examined: Callable[..., dict[str, Any]], role: Role
) -> None:
    """Nothing is missed that the role does not hold; only what it calls is away."""
    only(home, role)
    found = examined()
    calls = {} if role == "codec" else {"Temporal": "away"}
    asks = {"API": "away"} if role == "api" else {}
    wrong = {check: grade for check, (grade, _) in found.items() if grade != "good"}
    assert wrong == {**calls, **asks}
    assert f"settings: {role}" in found
    assert "settings: operator" not in found


def test_a_key_workers_host_asks_the_api_where_it_is_told_to(
    home: HomeFolder, examined: Callable[..., dict[str, Any]]
) -> None:
    """It may have no way there, so it is asked to look before it does."""
    only(home, "keys")
    assert examined("--api", NO_SERVER)["API"][0] == "away"


def test_where_sms_may_go_is_told_on_the_host_that_sends_them(
    home: HomeFolder, examined: Callable[..., dict[str, Any]]
) -> None:
    """The ceremony worker's, and no other."""
    found = examined(KEYFILL_SMS_REGIONS="DE,AT")
    assert found["SMS regions"] == ("good", "SMS go to AT, DE only.")
    only(home, "keys")
    assert "SMS regions" not in examined()


def test_whose_word_counts_on_addresses_is_told_on_the_apis_host(
    home: HomeFolder, examined: Callable[..., dict[str, Any]]
) -> None:
    """As its server reads it, whose default is this machine."""
    only(home, "api")
    assert examined()["trusted proxies"][0] == "good"
    assert examined(FORWARDED_ALLOW_IPS="*")["trusted proxies"][0] == "bad"
    only(home, "keys")
    assert "trusted proxies" not in examined()


def test_a_home_without_secrets_lacks_the_operators(home: HomeFolder) -> None:
    """Nobody is told that an empty folder is well."""
    only(home)
    assert Examination(home.path).roles() == ("operator",)


def test_missing_payload_keys_of_production_are_told(
    home: HomeFolder, examined: Callable[..., dict[str, Any]]
) -> None:
    """In a sentence, and the rest is looked at all the same."""
    for path in (home.path / "secrets").rglob("keyfill_payload_keys"):
        path.unlink()
    found = examined(KEYFILL_ENVIRONMENT="production")
    for check in ("payload keys", "Temporal"):
        assert found[check][0] == "bad"
        assert "keyfill_payload_keys" in found[check][1]


def test_a_missing_key_policy_is_told_outside_development(
    home: HomeFolder, examined: Callable[..., dict[str, Any]]
) -> None:
    """Or where a file is named: then the key worker does not start. Else there may be none."""
    home.policy_file.unlink()
    assert examined()["key policy"][0] == "good"
    for environment in (
        {"KEYFILL_ENVIRONMENT": "production"},
        {"KEYFILL_POLICY_FILE": f"{home.policy_file}"},
    ):
        grade, says = examined(**environment)["key policy"]
        assert (grade, f"{home.policy_file}" in says) == ("bad", True)


@pytest.mark.parametrize("manager", ["software", "pkcs11"])
def test_every_certificate_of_the_kdh_is_looked_at(
    home: HomeFolder, examined: Callable[..., dict[str, Any]], manager: str
) -> None:
    """The current one, the next one and the SM2 one, of an HSM too: one ended, one ends soon."""
    folder = home.secrets("keys")
    for name, days in (("kdh", -100), ("kdh_next", 20), ("kdh_sm2", 400)):
        made = make_development_kdh(now=int(time.time()) - 200 * DAY, days=200 + days)
        (folder / f"keyfill_{name}_certificate").write_bytes(made.certificate_pem)
    found = examined(KEYFILL_KEY_MANAGER=manager)
    grades = {name: found[f"certificate: {name}"][0] for name in ("KDH", "next KDH", "SM2 KDH")}
    assert grades == {"KDH": "bad", "next KDH": "warning", "SM2 KDH": "good"}
    signing = examined(KEYFILL_KEY_MANAGER=manager, KEYFILL_KDH_SIGNS="next")
    assert "certificate: KDH" not in signing


def test_what_is_no_certificate_is_told(
    home: HomeFolder, examined: Callable[..., dict[str, Any]]
) -> None:
    """Nonsense, and one of development in production."""
    path = home.secrets("keys") / "keyfill_kdh_sm2_certificate"
    for text in ("nonsense", f"{DEVELOPMENT_MARK}nonsense"):
        path.write_text(text)
        grade, says = examined(KEYFILL_ENVIRONMENT="production")["certificate: SM2 KDH"]
        assert (grade, "keyfill_kdh_sm2_certificate" in says) == ("bad", True)


def test_an_sm2_identity_that_cannot_sign_is_told(
    home: HomeFolder, examined: Callable[..., dict[str, Any]]
) -> None:
    """As the key worker tells at its start."""
    made = make_development_kdh(now=int(time.time()))
    (home.secrets("keys") / "keyfill_kdh_sm2_key").write_bytes(made.key_pem)
    assert examined()["key manager"][0] == "bad"


@pytest.mark.parametrize(("days", "grade"), [(0, "good"), (800, "warning"), (826, "bad")])
def test_temporals_certificates_are_told_of_before_they_end(
    home: HomeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    grade: str,
) -> None:
    """The one that this process shows; its authority lasts longer, and is looked at as well."""
    now = int(time.time())
    authority = PrivateCa.make(now=now)
    shown = authority.certify("ceremony")
    for name, pem in {
        "CLIENT_CERT": shown.certificate_pem,
        "CLIENT_KEY": shown.key_pem,
        "SERVER_CA_CERT": authority.pem.certificate_pem,
    }.items():
        (tmp_path / name).write_bytes(pem)
        monkeypatch.setenv(f"TEMPORAL_TLS_{name}_PATH", str(tmp_path / name))
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    settings = Settings.unchecked("ceremony", home=home.path)
    found = {
        one.check: one.grade.value for one in transport_findings(settings, lambda: now + days * DAY)
    }
    assert found == {
        "certificate: Temporal's client": grade,
        "certificate: Temporal's authority": "good",
    }


def test_a_certificate_of_temporals_that_is_none_is_named(
    home: HomeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor says which file is wrong, and does not crash."""
    (tmp_path / "ca.pem").write_text("nothing")
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", str(tmp_path / "ca.pem"))
    settings = Settings.unchecked("ceremony", home=home.path)
    (finding,) = transport_findings(settings, time.time)
    assert (finding.check, finding.grade.value) == ("certificate: Temporal's authority", "bad")


def test_without_tls_there_is_no_certificate_to_look_at(home: HomeFolder) -> None:
    """As in development, where Temporal is on this machine."""
    settings = Settings.unchecked("ceremony", home=home.path)
    assert list(transport_findings(settings, time.time)) == []
