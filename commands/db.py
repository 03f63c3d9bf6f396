"""`keyfill db`: the database's schema, and the key worker's journal, before a first start."""

import typer

from commands.opened import settings_of
from commands.options import DEFAULT_HOME, Exit, Home, leave
from settings import Settings, SettingsError

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.command()
def upgrade(home: Home = DEFAULT_HOME) -> None:
    """Bring the database to the schema of this release; again is harmless."""
    from records import migration
    from records.failures import DatabaseUnavailable

    try:
        migration.upgrade(Settings.unchecked(home=home).served_database)
    except SettingsError as error:
        leave(Exit.USAGE, str(error))
    except DatabaseUnavailable as error:
        leave(Exit.UNAVAILABLE, f"The database does not answer: {error}.")
    typer.echo(f"The database is at {migration.head()}.")


@app.command("create-journal")
def create_journal(home: Home = DEFAULT_HOME) -> None:
    """Make the key worker's empty journal, once. A worker that finds none does not start."""
    from keymanagement.journal import Journal
    from keymanagement.journalerrors import JournalCorrupt

    settings = settings_of(home, "keys")
    if settings.journal.exists():
        leave(Exit.REFUSED, f"There is a journal at {settings.journal}: it is never replaced.")
    try:
        Journal(settings.journal, settings.secret("kek"), create=True).close()
    except JournalCorrupt as error:
        leave(Exit.FAULT, f"The journal cannot be made: {error}.")
    typer.echo(f"Made {settings.journal}.")
