"""The database's URL as a setting: a secret, of one of two kinds, with limits of its own."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from records.engines import Limits
from settings import Settings, SettingsError
from tests.support.commandline import Keyfill

URL = "postgresql+psycopg://keyfill:planted-secret@127.0.0.1:1/keyfill"
REFUSED = 2
UNAVAILABLE = 4


def test_the_url_is_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may come as a role's secret file, and the password is in no text of the settings."""
    folder = tmp_path / "secrets" / "api"
    folder.mkdir(parents=True)
    (folder / "keyfill_database_url").write_text(f"{URL}\n")
    monkeypatch.delenv("KEYFILL_DATABASE_URL", raising=False)
    settings = Settings.unchecked("api", home=tmp_path)
    assert settings.database == URL
    assert "planted-secret" not in f"{settings} {settings!r} {settings.model_dump()}"
    assert Settings.unchecked("keys", home=tmp_path).database.startswith("sqlite:///")


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:planted-secret@h/d", "postgres://u:planted-secret@h/d", "planted-secret"],
)
def test_another_database_is_refused(keyfill: Keyfill, url: str) -> None:
    """One sentence says how a URL begins, and does not repeat the one that was given."""
    with pytest.raises(SettingsError, match=r"Begin KEYFILL_DATABASE_URL with postgresql\+psycopg"):
        _ = Settings(database_url=SecretStr(url)).database
    for command in (["db", "upgrade"], ["requests", "list"]):
        result = keyfill(*command, KEYFILL_DATABASE_URL=url)
        assert result.exit_code == REFUSED, result.output
        assert "planted-secret" not in result.output


def test_a_server_that_is_away_is_told_without_its_password(keyfill: Keyfill) -> None:
    """Commands end with 4 and name what does not answer."""
    for command in (["db", "upgrade"], ["requests", "list"]):
        result = keyfill(*command, KEYFILL_DATABASE_URL=URL)
        assert result.exit_code == UNAVAILABLE, result.output
        assert "database does not answer" in result.output
        assert "planted-secret" not in result.output


def test_the_limits_are_settings() -> None:
    """Seconds and connections, with defaults that are the records' own."""
    assert Limits.of(Settings()) == Limits()
    chosen = Settings(
        database_connections=3, database_lock_seconds=0.25, database_statement_seconds=60
    )
    assert Limits.of(chosen) == Limits(lock_ms=250, statement_ms=60_000, connections=3)
