"""Settings: everything a deployment configures, in one class, read at the edges only.

Each value is an environment variable `KEYFILL_<NAME>` or, for secrets, a file
`keyfill_<name>` in the role's own secrets folder (the layout of Docker secrets), so that each
process sees only what it may hold. Outside development nothing secret has a default.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Role = Literal["api", "ceremony", "keys", "operator"]

DEVELOPMENT_MARK: Final = "development:"
"""Prefix of every secret that `keyfill init` makes; refused outside development."""

SECRET_BYTES: Final = {
    "qr_key": 64,
    "edge_key": 32,
    "session_key": 32,
    "sms_secret": 32,
    "outbox_key": 32,
    "kek": 32,
}
"""Exact sizes of the secrets that are keys; each is written as hexadecimal."""

HELD_BY: Final[dict[Role, tuple[str, ...]]] = {
    "api": ("qr_key", "edge_key", "session_key"),
    "ceremony": ("sms_secret", "edge_key"),
    "keys": ("kek", "kdh_key", "kdh_certificate", "record_key", "sms_secret", "qr_key", "edge_key"),
    "operator": (),
}
"""Who holds what (design, section 4); what a gateway adds is checked with the gateway."""


class SettingsError(ValueError):
    """The settings cannot be used; the message is one sentence that says what to do."""


class Settings(BaseSettings):
    """A deployment's settings; `for_role` reads and checks them for one process."""

    model_config = SettingsConfigDict(
        env_prefix="KEYFILL_", extra="ignore", hide_input_in_errors=True, frozen=True
    )

    environment: Literal["development", "production"] = "development"
    home: Path = Path(".keyfill")
    database_url: str = ""
    journal_file: Path | None = None
    trust_file: Path | None = None
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_ui: str = ""
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8480
    api_wait_seconds: Annotated[float, Field(gt=0, le=30)] = 5.0
    registry_source: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    sms_gateway: Literal["outbox", "twilio"] = "outbox"
    sms_language: Literal["en", "zh-CN"] = "en"
    twilio_account_sid: str = ""
    twilio_from: str = ""
    twilio_base_url: str = ""
    twilio_status_callback: str = ""
    twilio_auth_token: SecretStr = SecretStr("")

    key_manager: Literal["software"] = "software"
    key_algorithm: Literal["TDES", "AES-128", "AES-192", "AES-256"] = "AES-128"

    qr_key: SecretStr = SecretStr("")
    edge_key: SecretStr = SecretStr("")
    session_key: SecretStr = SecretStr("")
    sms_secret: SecretStr = SecretStr("")
    outbox_key: SecretStr = SecretStr("")
    kek: SecretStr = SecretStr("")
    kdh_key: SecretStr = SecretStr("")
    kdh_certificate: SecretStr = SecretStr("")
    record_key: SecretStr = SecretStr("")

    @classmethod
    def for_role(cls, role: Role, *, home: Path | None = None) -> Self:
        """Read the settings of one process from its environment and its own secrets folder.

        Raises:
            SettingsError: if a value is malformed, or a secret that the role needs is missing,
                of the wrong size, or a development one outside development.
        """
        chosen: dict[str, Any] = {} if home is None else {"home": home}
        try:
            folder = cls(**chosen).home / "secrets" / ("ceremony" if role == "operator" else role)
            settings = cls(**chosen, _secrets_dir=folder if folder.is_dir() else None)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = "_".join(str(part) for part in first["loc"]).upper()
            raise SettingsError(f"Set KEYFILL_{name} rightly: {first['msg']}.") from None
        settings._check(role)
        return settings

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
    def database(self) -> str:
        """The records' database URL; SQLite in the home folder by default."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'keyfill.db'}"

    @property
    def journal(self) -> Path:
        """The key worker's own journal file."""
        return self.journal_file or self.home / "journal.db"

    @property
    def trust(self) -> Path:
        """The trust file."""
        return self.trust_file or self.home / "trust.json"

    @property
    def source(self) -> str:
        """Where terminal entries come from: a JSON Lines file or the URL of an HTTP feed."""
        return self.registry_source or str(self.home / "feed" / "terminals.jsonl")

    def _check(self, role: Role) -> None:
        for name in HELD_BY[role]:
            if name in SECRET_BYTES:
                self.secret(name)
            else:
                self.secret_text(name)
        if self.sms_gateway == "outbox":
            if self.environment != "development":
                raise SettingsError("Set KEYFILL_SMS_GATEWAY to twilio outside development.")
            if role in ("ceremony", "operator"):
                self.secret("outbox_key")
        elif role in ("api", "ceremony"):
            self.secret_text("twilio_auth_token")
            for name in ("twilio_account_sid", "twilio_from", "twilio_status_callback"):
                if not getattr(self, name):
                    raise SettingsError(f"Set KEYFILL_{name.upper()} for the Twilio gateway.")
