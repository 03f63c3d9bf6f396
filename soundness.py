"""Soundness: what the settings of each role must satisfy before its process starts.

Outside development nothing may be as only development may have it: default, short or reused
secrets, SQLite, a plain HTTP origin, the outbox SMS gateway.
"""

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ceremony.trust import TrustError
from holdings import HELD_BY, HSM_HELD, ROTATED, SECRET_BYTES, Role

if TYPE_CHECKING:
    from settings import Settings

MIN_SECRET_BYTES: Final = 32
MIN_TOKEN_CHARS: Final = 16
"""Of a token that another company gave; Twilio's have 32. A shorter one is a placeholder."""
DISTINCT_DIGITS: Final = 8
"""Random bytes hold at least so many different hexadecimal digits; what people type may not."""


class SettingsError(ValueError):
    """The settings cannot be used; the message is one sentence that says what to do."""


def require_sound(settings: "Settings", role: Role) -> None:
    """Pass only if the settings of one process can be used as they are.

    Raises:
        SettingsError: with one sentence that says what to do.
    """
    _ = settings.database
    _check_environment(settings, role)
    _check_held(settings, role)
    _ = settings.payload_ring
    if settings.environment != "development":
        _check_strength(settings, role)
    _check_export(settings, role)
    _check_traces(settings)
    if role == "api" and settings.oidc_issuer:
        _check_openid(settings)
    if settings.sms_gateway == "outbox":
        if settings.environment != "development":
            raise SettingsError("Set KEYFILL_SMS_GATEWAY to twilio outside development.")
        if role in ("ceremony", "operator"):
            settings.secret("outbox_key")
    elif role in ("api", "ceremony"):
        _check_token(settings, "twilio_auth_token")
        for name in ("twilio_account_sid", "twilio_from", "twilio_status_callback"):
            if not getattr(settings, name):
                raise SettingsError(f"Set KEYFILL_{name.upper()} for the Twilio gateway.")


def _check_token(settings: "Settings", name: str) -> None:
    """See that what another company gave is there, and outside development no placeholder."""
    short = len(settings.secret_text(name)) < MIN_TOKEN_CHARS
    if short and settings.environment != "development":
        raise SettingsError(f"Give keyfill_{name} {MIN_TOKEN_CHARS} characters at least.")


def _check_openid(settings: "Settings") -> None:
    """See that people can be told and their roles found, and that the provider is who it says."""
    try:
        issuer = urlsplit(settings.oidc_issuer)
        host = issuer.hostname
    except ValueError:
        issuer, host = urlsplit(""), None
    local = issuer.scheme == "http" and host in ("127.0.0.1", "::1", "localhost")
    safe = issuer.scheme == "https" or (local and settings.environment == "development")
    # OpenID Connect Discovery 1.0, section 3: no query, no fragment.
    if not safe or not host or set("?#@") & set(settings.oidc_issuer):
        raise SettingsError("Set KEYFILL_OIDC_ISSUER to the https:// address of the provider.")
    if not settings.oidc_client_id:
        raise SettingsError("Set KEYFILL_OIDC_CLIENT_ID to what the provider calls this client.")
    if "openid" not in settings.oidc_scopes.split():
        raise SettingsError("Name openid among KEYFILL_OIDC_SCOPES.")
    # Addresses are reused, and many people can change theirs (OpenID Connect Core 1.0, 5.7).
    if settings.oidc_staff_claim in ("", "email"):
        raise SettingsError("Set KEYFILL_OIDC_STAFF_CLAIM to the claim with the staff number.")
    if not any(settings.oidc_groups.values()):
        raise SettingsError("Name a group in KEYFILL_OIDC_AUDITORS or another role's setting.")
    if settings.oidc_secret is not None:
        _check_token(settings, "oidc_client_secret")


def _check_held(settings: "Settings", role: Role) -> None:
    """See that the role has its secrets, and the key worker where to find its HSM."""
    held, hsm = HELD_BY[role], role == "keys" and settings.key_manager == "pkcs11"
    if hsm:
        held = (*(name for name in held if name != "kdh_key"), *HSM_HELD)
    for name in held:
        if name in SECRET_BYTES:
            settings.secret(name)
        elif name != "payload_keys":
            settings.secret_text(name)
    if hsm and settings.pkcs11_module is None:
        raise SettingsError("Set KEYFILL_PKCS11_MODULE to the HSM's PKCS#11 module.")


def _check_environment(settings: "Settings", role: Role) -> None:
    """See that nothing outside development is as only development may have it."""
    if settings.environment == "development":
        return
    _ = settings.served_database
    try:
        trust = settings.read_trust()
    except (SettingsError, TrustError) as error:
        raise SettingsError(f"Put a trust file that can be used at {settings.trust}.") from error
    if not trust.origin.startswith("https://"):
        raise SettingsError("Give the trust file an https:// origin: pages need TLS.")
    if trust.cooling_off_seconds < settings.cooling_off_at_least:
        raise SettingsError(
            f"Give the trust file cooling_off_seconds of {settings.cooling_off_at_least} at least."
        )
    if role == "codec" and settings.codec_readers != "auditors":
        raise SettingsError("Set KEYFILL_CODEC_READERS to auditors outside development.")


def _check_strength(settings: "Settings", role: Role) -> None:
    """See that no secret key is weak, and none serves twice."""
    held = SECRET_BYTES.keys() & {*HELD_BY[role], *ROTATED, "outbox_key", "export_key"}
    texts = [(name, getattr(settings, name).get_secret_value()) for name in sorted(held)]
    texts += [
        ("payload_keys", word.partition(":")[2])
        for word in settings.payload_keys.get_secret_value().split()
    ]
    known: dict[str, str] = {}
    for name, text in ((name, text.strip().lower()) for name, text in texts):
        if len(text) < 2 * MIN_SECRET_BYTES:
            continue
        if len(set(text)) < DISTINCT_DIGITS:
            raise SettingsError(f"Make keyfill_{name} of random bytes.")
        if text in known:
            raise SettingsError(f"Give keyfill_{name} other bytes than keyfill_{known[text]}.")
        known[text] = name


def _check_export(settings: "Settings", role: Role) -> None:
    """See that the secrets of a KEK's change and of the export are right where they are set."""
    if role == "keys" and settings.export_key.get_secret_value():
        settings.secret("export_key")
        if settings.key_manager == "pkcs11":
            raise SettingsError("Take keyfill_export_key away: an HSM's keys are not exported.")
    if role == "keys" and settings.former_keks == (settings.secret("kek"),):
        raise SettingsError("Give keyfill_kek_previous the KEK before keyfill_kek.")
    if role == "ceremony" and settings.backoffice_export_url:
        _check_token(settings, "backoffice_token")


def _check_traces(settings: "Settings") -> None:
    """See that traces are off, or go somewhere, and outside development not in clear."""
    if settings.traces_endpoint in ("", "off"):
        return
    try:
        to = urlsplit(settings.traces_endpoint)
        host = to.hostname or ""
    except ValueError:
        host = ""
    if not host or to.scheme not in ("http", "https") or to.username is not None:
        raise SettingsError("Set KEYFILL_TRACES_ENDPOINT to an OTLP/HTTP address, or to off.")
    if to.scheme == "http" and settings.environment != "development" and not _is_loopback(host):
        raise SettingsError("Give KEYFILL_TRACES_ENDPOINT an https:// address.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
