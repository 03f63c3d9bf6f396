"""`keyfill sms`: the outbox of the embedded default, as the phones would show it.

It needs the ceremony worker's outbox key: whoever reads the database alone reads no message.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from ceremony.sealedsms import OutboxError, open_message
from ceremony.sms import mask_number
from commands.opened import database_of, settings_of
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from records import messages
from records.database import Database

POLL_SECONDS: Final = 0.5


def sms(
    to: Annotated[str | None, typer.Option(help="To this number only (+…).")] = None,
    request: Annotated[str | None, typer.Option(help="Of this loading request only.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show the messages in the SMS outbox, the oldest first."""
    settings = settings_of(home)
    if settings.sms_gateway != "outbox":
        leave(Exit.USAGE, "This deployment sends its SMS; there is no outbox.")
    key = settings.secret("outbox_key")
    with database_of(settings) as database:
        try:
            for message in _messages(database, key, follow=follow):
                if to not in (None, message["to"]):
                    continue
                if request is not None and not message["step"].startswith(f"{request}/"):
                    continue
                _write(message, as_json=as_json)
        except OutboxError:
            leave(Exit.FAULT, "A message does not open with this outbox key.")
        except KeyboardInterrupt:
            return


def _messages(database: Database, key: bytes, *, follow: bool) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        with database.read() as session:
            rows = messages.outbox_list(session, after)
        for row in rows:
            after = max(after, row.id or 0)
            opened = open_message(key, row.step, row.sealed)
            yield {
                "step": row.step,
                "sent_at": opened.sent_at,
                "to": opened.to,
                "text": opened.text,
            }
        if not rows:
            if not follow:
                return
            time.sleep(POLL_SECONDS)


def _write(message: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_json(message)
        return
    at = datetime.fromtimestamp(message["sent_at"], UTC).strftime("%H:%M:%SZ")
    typer.echo(f"{at}  {mask_number(message['to'])}  {message['text']}")
