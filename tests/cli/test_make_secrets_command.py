"""`keyfill make-secrets`: all that a production deployment holds, each in its own folder."""

import json
import os
import ssl
import stat
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store
from typer.testing import CliRunner

from cli import app
from commands.makesecrets import KEYFILL_USER, POSTGRES_USER, TEMPORAL_USER, ProductionSecrets
from holdings import HELD_BY, Role
from keymanagement.kdh import KDH_PURPOSE, SIGNS_ONLY
from settings import Settings, SettingsError

NOW = 1_790_000_000
GIVEN = {"kdh_certificate"}
URL = "postgresql+psycopg://keyfill:"


@pytest.fixture(scope="module")
def made() -> ProductionSecrets:
    """One set; RSA keys are slow to make."""
    return ProductionSecrets.make(
        now=NOW, database_host="db.bank.example", temporal_hosts=["temporal", "127.0.0.1"]
    )


@pytest.fixture
def folder(made: ProductionSecrets, tmp_path: Path) -> Path:
    """The set on disk."""
    made.write(tmp_path / "secrets")
    return tmp_path / "secrets"


@pytest.mark.parametrize("role", ["api", "ceremony", "keys", "codec"])
def test_a_role_gets_what_it_holds_and_nothing_else(folder: Path, role: Role) -> None:
    """Its secrets are there but for what others give, are read, and no other role's are beside."""
    present = {one.name.removeprefix("keyfill_") for one in (folder / role).glob("keyfill_*")}
    assert present == {*HELD_BY[role], "database_url"} - GIVEN
    settings = Settings.unchecked(role, home=folder.parent)
    for name in present - {"database_url", "payload_keys", "kdh_key", "record_key"}:
        assert settings.secret(name)
    assert settings.database.startswith(URL)
    assert settings.payload_ring


def test_the_operators_folder_runs_commands(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the ceremony's place, as it is mounted, it has what a command needs, and no more."""
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True)
    (folder / "operator").rename(home / "secrets" / "ceremony")
    trust_of_production(home, monkeypatch)
    settings = Settings.for_role("operator", home=home)
    assert settings.database.startswith(URL)
    assert settings.payload_ring == Settings.unchecked("api", home=folder.parent).payload_ring
    present = {one.name for one in (home / "secrets" / "ceremony").glob("keyfill_*")}
    assert present == {"keyfill_database_url", "keyfill_payload_keys"}


def trust_of_production(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trust file with an https origin, and the environment of production."""
    trust = {"origin": "https://keyfill.bank.example", "cooling_off_seconds": 86_400}
    monkeypatch.setattr("settings.Trust.read", lambda _, **__: type("T", (), trust))
    (home / "trust.json").touch()
    monkeypatch.setenv("KEYFILL_ENVIRONMENT", "production")
    monkeypatch.setenv("KEYFILL_SMS_GATEWAY", "twilio")


def test_what_two_roles_share_is_the_same_and_nothing_else_is(made: ProductionSecrets) -> None:
    """A secret has the same bytes wherever it is held; no two secrets have the same."""
    values: dict[str, set[bytes]] = {}
    for path, content in made.files.items():
        name = path.partition("/")[2]
        if name.startswith("keyfill_"):
            values.setdefault(name, set()).add(content)
    assert {len(one) for one in values.values()} == {1}
    assert len(set.union(*values.values())) == len(values)


def test_another_run_makes_other_secrets(made: ProductionSecrets) -> None:
    """Nothing is derived from anything."""
    other = ProductionSecrets.make(now=NOW, database_host="db", temporal_hosts=["temporal"])
    assert not set(made.files.values()) & set(other.files.values())


def test_outside_development_the_missing_certificate_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others give is not made up: the key worker says that it is not there."""
    trust_of_production(folder.parent, monkeypatch)
    with pytest.raises(SettingsError, match="keyfill_kdh_certificate"):
        Settings.for_role("keys", home=folder.parent)


def test_files_are_for_their_owner_only(folder: Path) -> None:
    """Mode 0400 in folders of 0700; made by root, they belong to the container that reads them."""
    for path in folder.rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o400
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    if os.geteuid() == 0:
        users = {"postgresql": POSTGRES_USER, "temporal": TEMPORAL_USER, "ca": 0}
        users |= {"temporal-ui": TEMPORAL_USER}
        for path in folder.rglob("*"):
            part = path.relative_to(folder).parts[0]
            assert path.stat().st_uid == users.get(part, KEYFILL_USER), path


def test_passwords_agree(made: ProductionSecrets) -> None:
    """PostgreSQL is told the passwords that the others use."""
    files = made.files
    password = files["postgresql/keyfill_password"].decode()
    assert files["api/keyfill_database_url"].decode() == f"{URL}{password}@db.bank.example/keyfill"
    assert files["temporal/password"] == files["postgresql/temporal_password"]
    assert files["postgresql/superuser_password"] != files["postgresql/temporal_password"]


def test_certificates_verify(made: ProductionSecrets) -> None:
    """Every client's and the server's certificate comes from the authority, for its purpose."""
    authority = x509.load_pem_x509_certificate(made.files["ca/ca.pem"])
    policy = PolicyBuilder().store(Store([authority])).time(datetime.fromtimestamp(NOW, UTC))
    server = x509.load_pem_x509_certificate(made.files["temporal/server.pem"])
    names = (x509.DNSName("temporal"), x509.IPAddress(ip_address("127.0.0.1")))
    for name in names:
        policy.build_server_verifier(name).verify(server, [])
    for holder in ("api", "ceremony", "keys", "operator", "temporal-ui"):
        pem = made.files[f"{holder}/temporal-client.pem"]
        client = x509.load_pem_x509_certificate(pem)
        purposes = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [one.dotted_string for one in purposes] == ["1.3.6.1.5.5.7.3.2"], holder
        client.verify_directly_issued_by(authority)
        key = load_pem_private_key(made.files[f"{holder}/temporal-client-key.pem"], None)
        assert key.public_key() == client.public_key()
        assert made.files[f"{holder}/temporal-ca.pem"] == made.files["ca/ca.pem"]
    assert "codec/temporal-client.pem" not in made.files


def test_a_tls_library_takes_them(folder: Path) -> None:
    """OpenSSL pairs key and certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "temporal/server.pem", folder / "temporal/server-key.pem")
    context.load_verify_locations(folder / "temporal/temporal-ca.pem")


def test_the_request_for_the_kdh_asks_for_its_one_purpose(made: ProductionSecrets) -> None:
    """Whoever certifies it as asked makes a certificate that the key worker takes."""
    request = x509.load_pem_x509_csr(made.files["keys/kdh-request.pem"])
    assert request.is_signature_valid
    purposes = request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [KDH_PURPOSE]
    assert request.extensions.get_extension_for_class(x509.KeyUsage).value == SIGNS_ONLY
    key = load_pem_private_key(made.files["keys/keyfill_kdh_key"], None)
    assert key.public_key() == request.public_key()


def test_the_record_key_is_a_private_jwk(made: ProductionSecrets) -> None:
    """It signs release records."""
    jwk = json.loads(made.files["keys/keyfill_record_key"])
    assert jwk["alg"] == "ES256" and "d" in jwk


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """Secrets are never replaced."""
    kept = tmp_path / "kept"
    kept.write_text("mine")
    result = CliRunner().invoke(app, ["make-secrets", str(tmp_path)])
    assert result.exit_code == 3
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


def test_the_command_names_what_is_left_to_put_in(tmp_path: Path) -> None:
    """It prints names, and no secret; a further name of Temporal's is one beside compose's."""
    further = ["--temporal-host", "temporal.bank.example"]
    result = CliRunner().invoke(app, ["make-secrets", str(tmp_path / "new"), *further])
    assert result.exit_code == 0
    server = x509.load_pem_x509_certificate((tmp_path / "new/temporal/server.pem").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [one.value for one in names] == ["temporal", "localhost", "temporal.bank.example"]
    for name in (
        "api/keyfill_twilio_auth_token",
        "ceremony/keyfill_twilio_auth_token",
        "keys/keyfill_kdh_certificate",
        "keys/kdh-request.pem",
        "keys/keyfill_export_key",
        "ceremony/keyfill_backoffice_token",
    ):
        assert name in result.output
    for path in (tmp_path / "new").rglob("keyfill_*"):
        assert path.read_text() not in result.output
