"""Settings: everything a deployment configures, in one class, read at the edges only.

Each value is an environment variable `KEYFILL_<NAME>` or, for secrets, a file
`keyfill_<name>` in the role's own secrets folder (the layout of Docker secrets), so that each
process sees only what it may hold. Outside development nothing secret has a default.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ceremony.approvalkeys import ApprovalKeys
from ceremony.smscaps import SmsCaps
from ceremony.trust import MAX_COOLING_OFF, Trust
from holdings import DEVELOPMENT_MARK, SECRET_BYTES, Role
from soundness import SettingsError, require_sound

__all__ = ["DATABASES", "POSTGRESQL", "Settings", "SettingsError"]

POSTGRESQL: Final = "postgresql+psycopg://"
DATABASES: Final = ("sqlite:///", POSTGRESQL)
"""What a database's URL begins with."""

CAP: Final = r"^[1-9]\d{0,5}/[1-9]\d{0,5}$"
"""SMS in an hour and in a day: `30/100`."""
ADDRESS: Final = r"^((\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:]+\]):\d{1,5})?$"
"""An IP address and a port, or nothing: who listens there looks no name up."""


class Settings(BaseSettings):
    """A deployment's settings; `for_role` reads and checks them for one process."""

    model_config = SettingsConfigDict(
        env_prefix="KEYFILL_", extra="ignore", hide_input_in_errors=True, frozen=True
    )

    environment: Literal["development", "production"] = "development"
    home: Path = Path(".keyfill")
    database_url: SecretStr = SecretStr("")
    database_connections: Annotated[int, Field(ge=1, le=100)] = 8
    database_lock_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    database_statement_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    journal_file: Path | None = None
    heartbeat_file: Path | None = None
    metrics_address: Annotated[str, Field(pattern=ADDRESS)] = ""
    trust_file: Path | None = None
    approval_keys: ApprovalKeys | None = None
    cooling_off_at_least: Annotated[int, Field(ge=0, le=MAX_COOLING_OFF)] = 3_600
    policy_file: Path | None = None
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_ui: str = ""
    codec_host: str = "127.0.0.1"
    codec_port: Annotated[int, Field(ge=0, le=65535)] = 8481
    codec_readers: Literal["auditors", "anyone"] = "auditors"
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8480
    api_wait_seconds: Annotated[float, Field(gt=0, le=30)] = 5.0
    registry_source: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    traces_endpoint: str = "off"
    traces_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0

    sms_gateway: Literal["outbox", "twilio"] = "outbox"
    sms_language: Literal["en", "zh-CN"] = "en"
    sms_regions: Annotated[str, Field(pattern=r"^([A-Z]{2}(,[A-Z]{2})*)?$")] = ""
    sms_cap_person: Annotated[str, Field(pattern=CAP)] = "30/100"
    sms_cap_terminal: Annotated[str, Field(pattern=CAP)] = "12/40"
    sms_cap_all: Annotated[str, Field(pattern=CAP)] = "1000/5000"
    twilio_account_sid: str = ""
    twilio_from: str = ""
    twilio_base_url: str = ""
    twilio_status_callback: str = ""
    twilio_auth_token: SecretStr = SecretStr("")

    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_name: Annotated[str, Field(min_length=1, max_length=60)] = "OpenID Connect"
    oidc_scopes: str = "openid profile"
    oidc_staff_claim: str = ""
    oidc_groups_claim: str = "groups"
    oidc_administrators: str = ""
    oidc_operators: str = ""
    oidc_auditors: str = ""

    key_manager: Literal["software", "pkcs11"] = "software"
    pkcs11_module: Path | None = None
    pkcs11_token: str = "keyfill"  # noqa: S105 - a label
    pkcs11_parameters: str = ""
    pkcs11_parallel: bool = False
    pkcs11_allow_oaep_sha1: bool = False
    pkcs11_allow_untrusted_wrap: bool = False
    key_algorithm: Literal["TDES", "AES-128", "AES-192", "AES-256", "SM4"] = "AES-128"

    payload_keys: SecretStr = SecretStr("")
    qr_key: SecretStr = SecretStr("")
    edge_key: SecretStr = SecretStr("")
    session_key: SecretStr = SecretStr("")
    sms_secret: SecretStr = SecretStr("")
    outbox_key: SecretStr = SecretStr("")
    kek: SecretStr = SecretStr("")
    kek_previous: SecretStr = SecretStr("")
    export_key: SecretStr = SecretStr("")
    backoffice_export_url: str = ""
    backoffice_token: SecretStr = SecretStr("")
    kdh_key: SecretStr = SecretStr("")
    kdh_certificate: SecretStr = SecretStr("")
    pkcs11_pin: SecretStr = SecretStr("")
    kdh_sm2_key: SecretStr = SecretStr("")
    kdh_sm2_certificate: SecretStr = SecretStr("")
    kdh_next_key: SecretStr = SecretStr("")
    kdh_next_certificate: SecretStr = SecretStr("")
    kdh_signs: Literal["current", "next"] = "current"
    record_key: SecretStr = SecretStr("")

    @classmethod
    def for_role(cls, role: Role, *, home: Path | None = None) -> Self:
        """Read the settings of one process from its environment and its own secrets folder.

        Raises:
            SettingsError: if a value is malformed, or a secret that the role needs is missing,
                of the wrong size, or a development one outside development.
        """
        settings = cls.unchecked(role, home=home)
        require_sound(settings, role)
        return settings

    @classmethod
    def unchecked(cls, role: Role = "operator", *, home: Path | None = None) -> Self:
        """Read the settings of one process as `for_role` does, whatever secrets are missing.

        Raises:
            SettingsError: if a value is malformed.
        """
        chosen: dict[str, Any] = {} if home is None else {"home": home}
        try:
            folder = cls(**chosen).home / "secrets" / ("ceremony" if role == "operator" else role)
            return cls(**chosen, _secrets_dir=folder if folder.is_dir() else None)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = "_".join(str(part) for part in first["loc"]).upper()
            raise SettingsError(f"Set KEYFILL_{name} rightly: {first['msg']}.") from None

    def secret(self, name: str) -> bytes:
        """Give a secret key's bytes.

        Raises:
            SettingsError: if it is missing, of the wrong size, or not for this environment.
        """
        text = self.secret_text(name)
        try:
            data = bytes.fromhex(text)
        except ValueError:
            raise SettingsError(f"Write the secret keyfill_{name} as hexadecimal.") from None
        if len(data) != SECRET_BYTES[name]:
            raise SettingsError(f"Give the secret keyfill_{name} {SECRET_BYTES[name]} bytes.")
        return data

    def secret_text(self, name: str) -> str:
        """Give a secret that is a text (PEM, JWK, token).

        Raises:
            SettingsError: if it is missing or not for this environment.
        """
        value: SecretStr = getattr(self, name)
        text = value.get_secret_value().strip()
        if not text:
            raise SettingsError(f"Put the secret keyfill_{name} into this role's secrets folder.")
        if text.startswith(DEVELOPMENT_MARK):
            if self.environment != "development":
                raise SettingsError(
                    f"Replace keyfill_{name}: a development secret does not serve in production."
                )
            text = text[len(DEVELOPMENT_MARK) :]
        return text

    @property
    def sms_region_list(self) -> frozenset[str] | None:
        """The regions (ISO 3166-1 alpha-2) that SMS may go to; None for all."""
        return frozenset(self.sms_regions.split(",")) if self.sms_regions else None

    @property
    def sms_caps(self) -> SmsCaps:
        """The most SMS an hour and a day for a person, a terminal and the deployment."""
        return SmsCaps.read(
            person=self.sms_cap_person, terminal=self.sms_cap_terminal, everyone=self.sms_cap_all
        )

    @property
    def oidc_secret(self) -> str | None:
        """The secret that the OpenID provider knows this deployment by; None for a public client.

        Raises:
            SettingsError: as `secret_text` does.
        """
        held = self.oidc_client_secret.get_secret_value()
        return self.secret_text("oidc_client_secret") if held else None

    @property
    def oidc_groups(self) -> dict[Literal["administrator", "operator", "auditor"], frozenset[str]]:
        """Each role's groups at the OpenID provider; each setting is names parted by `;`."""
        return {
            "administrator": _names(self.oidc_administrators),
            "operator": _names(self.oidc_operators),
            "auditor": _names(self.oidc_auditors),
        }

    @property
    def payload_ring(self) -> str | None:
        """The payload keys, for `engine.keyring` to read; None without, as in development.

        Raises:
            SettingsError: if there are none outside development, or only development ones.
        """
        if self.environment == "development" and not self.payload_keys.get_secret_value():
            return None
        return self.secret_text("payload_keys")

    @property
    def former_keks(self) -> tuple[bytes, ...]:
        """The KEK that was replaced, while what is under it is still opened; none otherwise.

        Raises:
            SettingsError: as `secret` does.
        """
        held = self.kek_previous.get_secret_value()
        return (self.secret("kek_previous"),) if held else ()

    @property
    def database(self) -> str:
        """The records' database URL, password included; SQLite in the home folder by default.

        Raises:
            SettingsError: if it is neither SQLite's nor PostgreSQL's; it is not quoted.
        """
        url = self.database_url.get_secret_value().strip()
        if url and not url.startswith(DATABASES):
            raise SettingsError(
                f"Begin KEYFILL_DATABASE_URL with {POSTGRESQL}, or leave it out for SQLite."
            )
        return url or f"sqlite:///{self.home.resolve() / 'keyfill.db'}"

    @property
    def served_database(self) -> str:
        """`database`, for whoever makes or serves one: PostgreSQL's, but for development.

        Raises:
            SettingsError: as `database` does, and for SQLite outside development.
        """
        url = self.database
        if self.environment != "development" and not url.startswith(POSTGRESQL):
            raise SettingsError(
                "Set KEYFILL_DATABASE_URL to PostgreSQL: SQLite serves in development only."
            )
        return url

    @property
    def journal(self) -> Path:
        """The key worker's own journal file."""
        return self.journal_file or self.home / "journal.db"

    @property
    def trust(self) -> Path:
        """The trust file."""
        return self.trust_file or self.home / "trust.json"

    @property
    def policy(self) -> Path:
        """The key policy: what keys and tokens each terminal model gets."""
        return self.policy_file or self.home / "policy.toml"

    @property
    def source(self) -> str:
        """Where terminal entries come from: a JSON Lines file or the URL of an HTTP feed."""
        return self.registry_source or str(self.home / "feed" / "terminals.jsonl")

    @property
    def approvals(self) -> ApprovalKeys:
        """What keys that sign approvals must be: those in no cloud, but for development."""
        if self.approval_keys is not None:
            return self.approval_keys
        development = self.environment == "development"
        return ApprovalKeys.ANY if development else ApprovalKeys.DEVICE_BOUND_PASSKEYS

    def read_trust(self) -> Trust:
        """Read the trust file, with what this process demands of the keys that sign approvals.

        Raises:
            SettingsError: if there is none.
            TrustError: if it cannot be used.
        """
        try:
            return Trust.read(self.trust.read_bytes(), approvals=self.approvals)
        except OSError as error:
            raise SettingsError(f"Put the trust file at {self.trust}.") from error


def _names(text: str) -> frozenset[str]:
    return frozenset(name for one in text.split(";") if (name := one.strip()))
