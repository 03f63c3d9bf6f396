"""The deployment that a command works on: its settings, its database, and the time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ceremony.trust import Trust
from commands.homefolder import HomeError, read_trust
from commands.options import Exit, leave
from commands.running import Running
from holdings import Role
from records.database import Database
from records.engines import Limits
from records.failures import DatabaseUnavailable
from settings import Settings, SettingsError


def unix_time() -> int:
    """Now, in Unix seconds."""
    return int(time.time())


def settings_of(home: Path, role: Role = "operator") -> Settings:
    """Read the settings of a role, or end the command with what has to be mended."""
    try:
        settings = Settings.for_role(role, home=home)
    except SettingsError as error:
        leave(Exit.USAGE, str(error))
    return running_at(home, settings)


def running_at(home: Path, settings: Settings) -> Settings:
    """The settings with Temporal's address where `keyfill up` runs it: on a free port perhaps."""
    running = Running.read(home)
    if running is None or "temporal_address" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"temporal_address": running.temporal})


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Open the deployment's database; a command that cannot use it ends.

    Also turns `HomeError` into a message, since nearly every command reads the home as well.
    """
    database = Database(settings.database, limits=Limits.of(settings))
    try:
        database.ping()
        yield database
    except DatabaseUnavailable as error:
        leave(Exit.UNAVAILABLE, f"The database does not answer ({error}); `keyfill db upgrade`?")
    except HomeError as error:
        leave(Exit.USAGE, str(error))
    finally:
        database.close()


def trust_of(settings: Settings) -> Trust:
    """Read the deployment's trust file.

    Raises:
        HomeError: if it is missing or cannot be used.
    """
    return read_trust(settings.trust)
