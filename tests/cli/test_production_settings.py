"""Outside development a process refuses to start on what serves in development only."""

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from commands.deployment import role_environment
from commands.homefolder import HomeFolder
from engine.client import TemporalTarget
from engine.transport import TransportRefused, is_loopback, transport_to
from holdings import DEVELOPMENT_MARK, Role
from settings import Settings, SettingsError

URL = "postgresql+psycopg://keyfill@db.bank.example/keyfill"
TWILIO = {
    "KEYFILL_SMS_GATEWAY": "twilio",
    "KEYFILL_TWILIO_ACCOUNT_SID": "AC0",
    "KEYFILL_TWILIO_FROM": "+4917100000",
    "KEYFILL_TWILIO_STATUS_CALLBACK": "https://keyfill.bank.example/v1/sms/status",
}
ROLES: tuple[Role, ...] = ("api", "ceremony", "keys", "codec", "operator")


@pytest.fixture
def production(home: HomeFolder) -> HomeFolder:
    """A home whose secrets are its own, with PostgreSQL, https and Twilio."""
    for path in (home.path / "secrets").rglob("keyfill_*"):
        path.write_text(path.read_text().removeprefix(DEVELOPMENT_MARK))
    for role in ("api", "ceremony"):
        (home.path / "secrets" / role / "keyfill_twilio_auth_token").write_text("0f" * 16)
    trust = json.loads(home.trust_file.read_text())
    trust.update(
        origin="https://keyfill.bank.example",
        rp_id="keyfill.bank.example",
        cooling_off_seconds=3_600,
    )
    home.trust_file.unlink()
    home.trust_file.write_text(json.dumps(trust))
    return home


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the environment of production, and what a test changes of it."""

    def set_up(**changes: str) -> None:
        right = {"KEYFILL_ENVIRONMENT": "production", "KEYFILL_DATABASE_URL": URL, **TWILIO}
        for name, value in {**right, **changes}.items():
            monkeypatch.setenv(name, value)

    return set_up


@pytest.mark.parametrize("role", ROLES)
def test_a_right_production_home_serves(
    production: HomeFolder, environment: Callable[..., None], role: Role
) -> None:
    """With its own secrets, PostgreSQL, https and Twilio every role starts."""
    environment()
    Settings.for_role(role, home=production.path)


def _write(role: Role, name: str, text: str) -> Callable[[HomeFolder], None]:
    def act(home: HomeFolder) -> None:
        (home.secrets(role) / f"keyfill_{name}").write_text(text)

    return act


def _remove(role: Role, name: str) -> Callable[[HomeFolder], None]:
    return lambda home: (home.secrets(role) / f"keyfill_{name}").unlink()


def _copy(role: Role, name: str, other: str) -> Callable[[HomeFolder], None]:
    def act(home: HomeFolder) -> None:
        folder = home.secrets(role)
        shutil.copy(folder / f"keyfill_{name}", folder / f"keyfill_{other}")

    return act


def _plain_origin(home: HomeFolder) -> None:
    trust = json.loads(home.trust_file.read_text())
    trust.update(origin="http://localhost:8480", rp_id="localhost")
    home.trust_file.write_text(json.dumps(trust))


def _hasty(home: HomeFolder) -> None:
    trust = json.loads(home.trust_file.read_text())
    trust.update(cooling_off_seconds=3_599)
    home.trust_file.write_text(json.dumps(trust))


def _reuse_as_payload_key(home: HomeFolder) -> None:
    edge = (home.secrets("api") / "keyfill_edge_key").read_text().strip()
    (home.secrets("api") / "keyfill_payload_keys").write_text(f"k1:{edge}")


SABOTAGES: list[tuple[Role, Callable[[HomeFolder], None] | None, dict[str, str], str]] = [
    ("api", _remove("api", "session_key"), {}, "keyfill_session_key"),
    ("api", _remove("api", "payload_keys"), {}, "keyfill_payload_keys"),
    ("keys", _remove("keys", "payload_keys"), {}, "keyfill_payload_keys"),
    ("operator", _remove("ceremony", "payload_keys"), {}, "keyfill_payload_keys"),
    ("keys", _write("keys", "kek", DEVELOPMENT_MARK + "ab" * 32), {}, "development secret"),
    (
        "api",
        _write("api", "payload_keys", f"{DEVELOPMENT_MARK}k1:{'ab' * 32}"),
        {},
        "development secret",
    ),
    ("keys", _write("keys", "kek", "ab" * 31), {}, "32 bytes"),
    ("keys", _write("keys", "kek", "00" * 32), {}, "random bytes"),
    ("api", _write("api", "edge_key", "0123" * 16), {}, "random bytes"),
    ("keys", _copy("keys", "sms_secret", "edge_key"), {}, "other bytes"),
    ("api", _reuse_as_payload_key, {}, "other bytes"),
    ("api", None, {"KEYFILL_DATABASE_URL": ""}, "PostgreSQL"),
    ("api", None, {"KEYFILL_DATABASE_URL": "sqlite:////srv/keyfill.db"}, "PostgreSQL"),
    ("api", _plain_origin, {}, "https://"),
    ("keys", _hasty, {}, "cooling_off_seconds of 3600"),
    ("operator", _hasty, {}, "cooling_off_seconds of 3600"),
    ("api", None, {"KEYFILL_COOLING_OFF_AT_LEAST": "7200"}, "cooling_off_seconds of 7200"),
    ("ceremony", None, {"KEYFILL_SMS_GATEWAY": "outbox"}, "twilio"),
    ("codec", None, {"KEYFILL_CODEC_READERS": "anyone"}, "auditors"),
    ("api", None, {"KEYFILL_TRACES_ENDPOINT": "http://traces.bank.example/v1/traces"}, "https://"),
    ("api", _write("api", "twilio_auth_token", "0" * 15), {}, "16 characters"),
    ("ceremony", _write("ceremony", "twilio_auth_token", "0" * 15), {}, "16 characters"),
    (
        "ceremony",
        _write("ceremony", "backoffice_token", "0" * 15),
        {"KEYFILL_BACKOFFICE_EXPORT_URL": "https://backoffice.bank.example/keys"},
        "16 characters",
    ),
]


@pytest.mark.parametrize(("role", "sabotage", "changes", "says"), SABOTAGES)
def test_what_serves_in_development_only_is_refused(
    production: HomeFolder,
    environment: Callable[..., None],
    role: Role,
    sabotage: Callable[[HomeFolder], None] | None,
    changes: dict[str, str],
    says: str,
) -> None:
    """Missing, default, short, weak, reused secrets; SQLite; http; outbox: one sentence each."""
    environment(**changes)
    if sabotage is not None:
        sabotage(production)
    with pytest.raises(SettingsError) as refused:
        Settings.for_role(role, home=production.path)
    said = str(refused.value)
    assert says in said
    assert (said[-1], said.count("\n")) == (".", 0)


@pytest.mark.parametrize("url", ["", "sqlite:////srv/keyfill.db"])
def test_no_sqlite_file_is_made_for_production(
    production: HomeFolder, environment: Callable[..., None], url: str
) -> None:
    """`db upgrade` refuses, as the processes that would use it do: nothing is left lying there."""
    file = production.path / "keyfill.db"
    file.unlink(missing_ok=True)
    environment(KEYFILL_DATABASE_URL=url)
    result = CliRunner().invoke(app, ["db", "upgrade", "--home", str(production.path)])
    assert (result.exit_code, "KEYFILL_DATABASE_URL" in result.output) == (2, True)
    with pytest.raises(SettingsError, match="PostgreSQL"):
        _ = Settings.unchecked(home=production.path).served_database
    assert not file.exists()


def test_no_process_is_handed_the_security_officers_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for `keyfill hsm` alone, and the PIN is for the key worker alone."""
    for name in ("KEYFILL_PKCS11_SO_PIN", "KEYFILL_PKCS11_PIN"):
        monkeypatch.setenv(name, "1234")
    given = {role: role_environment(role).keys() for role in ROLES if role != "operator"}
    assert not any("KEYFILL_PKCS11_SO_PIN" in names for names in given.values())
    assert [role for role, names in given.items() if "KEYFILL_PKCS11_PIN" in names] == ["keys"]


def test_development_needs_no_payload_keys(home: HomeFolder) -> None:
    """Whoever develops may look at plain payloads: without keys there is no codec."""
    for path in (home.path / "secrets").rglob("keyfill_payload_keys"):
        path.unlink()
    assert Settings.for_role("api", home=home.path).payload_ring is None


def test_random_secrets_are_not_taken_for_weak_ones() -> None:
    """Of 32 random bytes next to none have fewer than eight different digits."""
    assert all(len(set(secrets.token_hex(32))) >= 8 for _ in range(2_000))


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:7233", True),
        ("localhost:7233", True),
        ("[::1]:7233", True),
        ("127.9.9.9:1", True),
        ("temporal:7233", False),
        ("localhost.evil.example:7233", False),
        ("10.0.0.1:7233", False),
        ("[2001:db8::1]:7233", False),
        ("127.0.0.1.evil.example:7233", False),
    ],
)
def test_only_this_machine_is_loopback(address: str, loopback: bool) -> None:
    """A name or address that only looks like this machine's is another's."""
    assert is_loopback(address) is loopback


def test_temporal_elsewhere_is_reached_by_tls_only() -> None:
    """Outside development; this machine may be reached without, and is never sent an API key."""
    with pytest.raises(TransportRefused, match="TEMPORAL_TLS"):
        transport_to("temporal.bank.example:7233", required=True, environment={})
    assert transport_to("temporal.bank.example:7233", required=False, environment={}).tls is False
    key = {"TEMPORAL_API_KEY": "secret-api-key"}
    local = transport_to("127.0.0.1:7233", required=True, environment=key)
    assert (local.tls, local.api_key) == (False, None)
    cloud = transport_to("eu.api.temporal.io:7233", required=True, environment=key)
    assert (cloud.tls, cloud.api_key) == (True, "secret-api-key")
    assert "secret-api-key" not in repr(cloud)


def test_tls_is_read_from_the_sdks_environment(tmp_path: Path) -> None:
    """Certificates by the SDK's variables; no key is shown, and an unreadable file is told."""
    for name, content in (("ca", "authority"), ("client", "shown"), ("client-key", "private")):
        (tmp_path / f"{name}.pem").write_text(content)
    variables = {
        "TEMPORAL_TLS": "true",
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(tmp_path / "ca.pem"),
        "TEMPORAL_TLS_SERVER_NAME": "temporal",
        "TEMPORAL_TLS_CLIENT_CERT_PATH": str(tmp_path / "client.pem"),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": str(tmp_path / "client-key.pem"),
    }
    transport = transport_to("10.0.0.1:7233", required=True, environment=variables)
    tls = transport.tls
    assert not isinstance(tls, bool)
    assert (tls.server_root_ca_cert, tls.domain) == (b"authority", "temporal")
    assert (tls.client_cert, tls.client_private_key) == (b"shown", b"private")
    target = TemporalTarget("10.0.0.1:7233", "keyfill", transport)
    assert "private" not in f"{transport!r} {target!r}"
    variables["TEMPORAL_TLS_SERVER_CA_CERT_PATH"] = str(tmp_path / "missing.pem")
    with pytest.raises(TransportRefused):
        transport_to("10.0.0.1:7233", required=True, environment=variables)
