"""`keyfill init`: a whole development home or none, and never outside development."""

import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ceremony.trust import Trust
from cli import app
from commands.homefolder import HomeFolder
from commands.init import make_home
from commands.samples import kdh_thumbprint
from holdings import DEVELOPMENT_MARK, HELD_BY, SM2_HELD, Role
from settings import Settings, SettingsError
from tests.support.databases import make_database
from worker import key_parts


@pytest.fixture
def home(template: Path, tmp_path: Path) -> HomeFolder:
    """A home as `init` made it, on SQLite whatever the others are on."""
    home = HomeFolder(Path(shutil.copytree(template, tmp_path / "home")))
    make_database(home.path, "sqlite")
    return home


def test_a_home_serves_every_role(home: HomeFolder) -> None:
    """Each role finds all that it holds in its own folder, and nothing that it does not hold."""
    for role in ("api", "ceremony", "keys", "operator"):
        Settings.for_role(role, home=home.path)
    for role, held in HELD_BY.items():
        folder = home.secrets(role)
        names = {path.name.removeprefix("keyfill_") for path in folder.glob("*")}
        more = {"export_key", *SM2_HELD} if role == "keys" else {"outbox_key"}
        assert names - more == set(held)


def test_secrets_are_private_and_marked(home: HomeFolder) -> None:
    """Every secret file is the owner's alone, and marked as one that production refuses."""
    files = list((home.path / "secrets").rglob("keyfill_*"))
    assert files
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().startswith(DEVELOPMENT_MARK)


@pytest.mark.parametrize("role", ["api", "ceremony", "keys"])
def test_production_refuses_the_development_secrets(
    home: HomeFolder, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No role starts in production on what `keyfill init` made."""
    monkeypatch.setenv("KEYFILL_ENVIRONMENT", "production")
    with pytest.raises(SettingsError):
        Settings.for_role(role, home=home.path)


def test_two_homes_share_no_secret(home: HomeFolder, tmp_path: Path) -> None:
    """Secrets are made anew for each home."""
    other = HomeFolder(tmp_path / "other")
    make_home(other, origin="http://localhost:1", audience="x", now=1_900_000_000)
    for path in (home.path / "secrets").rglob("keyfill_*"):
        assert path.read_text() != (other.path / path.relative_to(home.path)).read_text()


def test_the_trust_file_asks_for_two_officers(home: HomeFolder) -> None:
    """The trust file names a feed key, two officers who both must sign, and the EPP root."""
    trust: Trust = home.trust()
    assert (len(trust.feed_keys), len(trust.officers), trust.officer_threshold) == (1, 2, 2)
    assert trust.origin == "http://localhost:1"
    assert trust.rp_id == "localhost"
    assert stat.S_IMODE(home.trust_file.stat().st_mode) == 0o400


def test_the_key_worker_starts_on_it(home: HomeFolder) -> None:
    """The KDH identity, the record key and the journal fit together."""
    from contextlib import ExitStack

    from records.database import Database

    settings = Settings.for_role("keys", home=home.path)
    with ExitStack() as stack:
        database = Database(settings.database)
        stack.callback(database.close)
        assert key_parts(settings, database, stack).queue == "keyfill-keys"
    assert len(kdh_thumbprint(home)) == 43


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder that is not empty stays as it is: exit code 2."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "notes.txt").write_text("mine")
    result = CliRunner().invoke(app, ["init", "--home", str(home)])
    assert result.exit_code == 2
    assert [path.name for path in home.iterdir()] == ["notes.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_outside_development_no_key_is_made(tmp_path: Path) -> None:
    """In production `init` refuses with exit code 2 and leaves nothing behind."""
    result = CliRunner().invoke(
        app, ["init", "--home", str(tmp_path / "home")], env={"KEYFILL_ENVIRONMENT": "production"}
    )
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_half_made_home_is_taken_away(tmp_path: Path) -> None:
    """An origin that no trust file can hold makes no home at all."""
    result = CliRunner().invoke(
        app, ["init", "--home", str(tmp_path / "home"), "--origin", "nowhere"]
    )
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []
