"""`keyfill keys rewrap`: what is under the former KEK comes under the present one.

Run it where the key worker runs, with its secrets, while both KEKs are in its folder. The key
worker may go on working. It may be stopped at any time and started again; when it reports that
nothing was left, the former KEK can be taken away.
"""

import typer

from commands.opened import database_of, settings_of
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from records import keystore
from records.database import Database

PAGE = 500


def rewrap(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Bring journal, host's copies and check values under the present KEK."""
    from keymanagement.journal import Journal
    from keymanagement.port import KeyManagementError
    from keymanagement.renewal import RenewalPlace, software_renewal

    settings = settings_of(home, "keys")
    keks = (settings.secret("kek"), *settings.former_keks)
    # Whatever the key manager is now: a journal may hold keys of the software one from before.
    renew_key = software_renewal(*keks)
    rows, left, place = 0, 0, RenewalPlace()
    try:
        with database_of(settings) as database, Journal(settings.journal, *keks) as journal:
            while True:
                page = journal.renew(place, renew_key, limit=PAGE)
                rows += page.rows
                left += page.left
                _publish(database, page.keys)
                if page.after is None:
                    break
                place = page.after
    except KeyManagementError as error:
        leave(Exit.FAULT, f"Stopped after {rows} rows: {error}.")
    if as_json:
        write_json({"rewrapped": rows, "left": left})
        return
    if left:
        typer.echo(
            f"{left} host's copies are no X9.143 blocks (an HSM's keys, or a former version's):"
            " they stay as they are.",
            err=True,
        )
    if rows:
        typer.echo(f"{rows} rows rewrapped. Once more, to see that none is left.")
    else:
        typer.echo("Nothing is left under a former KEK.")


def _publish(database: Database, keys: dict[str, bytes]) -> None:
    if not keys:
        return
    with database.write() as session:
        for request_id, block in keys.items():
            keystore.renew_block(session, request_id, block)
