"""Ways to sabotage a deployment, and what `keyfill doctor` has to say of each."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from commands.homefolder import HomeFolder
from holdings import Role
from keymanagement.kdh import make_development_kdh
from records import migration
from settings import Settings


def _secret(role: Role, name: str) -> Callable[[HomeFolder], Path]:
    return lambda home: home.secrets(role) / f"keyfill_{name}"


def _ended_kdh(home: HomeFolder) -> None:
    kdh = make_development_kdh(now=int(time.time()) - 800 * 86_400, days=700)
    folder = home.secrets("keys")
    (folder / "keyfill_kdh_key").write_bytes(kdh.key_pem)
    (folder / "keyfill_kdh_certificate").write_bytes(kdh.certificate_pem)


def _broken_trust(home: HomeFolder) -> None:
    home.trust_file.unlink()
    home.trust_file.write_text("{}")


def _no_payload_keys(home: HomeFolder) -> None:
    for path in (home.path / "secrets").rglob("keyfill_payload_keys"):
        path.unlink()


def _old_schema(home: HomeFolder) -> None:
    migration.downgrade(Settings.unchecked(home=home.path).database, "0001")


NO_PORT: Final = "127.0.0.1:1"
SABOTAGES: Final[dict[str, tuple[Callable[[HomeFolder], object], dict[str, str], str, int]]] = {
    "a missing secret": (
        lambda home: _secret("api", "edge_key")(home).unlink(),
        {},
        "settings: api",
        2,
    ),
    "a short secret": (
        lambda home: _secret("keys", "kek")(home).write_text("ab" * 31),
        {},
        "settings: keys",
        2,
    ),
    "a value that cannot be": (
        lambda home: None,
        {"KEYFILL_SMS_LANGUAGE": "la"},
        "settings: operator",
        2,
    ),
    "other payload keys": (
        lambda home: _secret("keys", "payload_keys")(home).write_text(
            f"k1:{'0123456789abcdef' * 4}"
        ),
        {},
        "payload keys",
        2,
    ),
    "no payload keys in one role": (
        lambda home: _secret("api", "payload_keys")(home).unlink(),
        {},
        "payload keys",
        2,
    ),
    "no payload keys in production": (
        _no_payload_keys,
        {"KEYFILL_ENVIRONMENT": "production"},
        "Temporal",
        2,
    ),
    "a broken trust file": (_broken_trust, {}, "trust file", 2),
    "a trust file for all to write": (
        lambda home: home.trust_file.chmod(0o666),
        {},
        "trust file: who may write",
        2,
    ),
    "no journal": (lambda home: home.journal.unlink(), {}, "journal", 2),
    "a broken key policy": (lambda home: home.policy_file.write_text("="), {}, "key policy", 2),
    "an ended KDH certificate": (_ended_kdh, {}, "certificate: KDH", 2),
    "an old schema": (_old_schema, {}, "database: schema", 2),
    "no Temporal": (lambda home: None, {"KEYFILL_TEMPORAL_ADDRESS": NO_PORT}, "Temporal", 4),
    "no such namespace": (
        lambda home: None,
        {"KEYFILL_TEMPORAL_NAMESPACE": "nowhere"},
        "Temporal",
        2,
    ),
    "Temporal elsewhere, unencrypted": (
        lambda home: None,
        {"KEYFILL_TEMPORAL_ADDRESS": "10.0.0.1:7233", "KEYFILL_ENVIRONMENT": "production"},
        "Temporal",
        2,
    ),
    "no API": (lambda home: None, {}, "API", 4),
}
"""By what is wrong: the act, the settings changed, the check that finds it, the exit code."""
