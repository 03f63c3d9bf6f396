"""The `keyfill` command: sets a deployment up, runs it, and shows what it did.

Exit codes: 0 done, 1 a fault (run again), 2 wrong usage or set-up, 3 refused by a rule,
4 something that is needed does not answer.
"""

from typing import NoReturn

import typer

from commands import administrators, db, hsm, keys, officers, requests, sessions, terminals
from commands.codecserver import codec_server
from commands.demo import demo
from commands.doctor import doctor
from commands.init import init
from commands.makesecrets import make_secrets
from commands.options import Exit
from commands.phone import app as phone
from commands.preparetemporal import prepare_temporal
from commands.serve import api, worker
from commands.sms import sms
from commands.up import up
from engine.processes import leave

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
    rich_markup_mode=None,
)
app.command()(demo)
app.command()(up)
app.command()(init)
app.add_typer(terminals.app, name="terminals")
app.add_typer(administrators.app, name="administrators")
app.add_typer(officers.app, name="officers")
app.add_typer(sessions.app, name="sessions")
app.add_typer(requests.app, name="requests")
app.add_typer(keys.app, name="keys")
app.add_typer(hsm.app, name="hsm")
app.command()(sms)
app.add_typer(phone, name="phone")
app.command()(api)
app.command()(worker)
app.command()(codec_server)
app.command()(make_secrets)
app.command()(prepare_temporal)
app.command()(doctor)
app.add_typer(db.app, name="db")


def main() -> NoReturn:
    """Run the command, and end without the interpreter's own shutdown.

    The Temporal SDK's native code may crash during that, and the crash would be the exit code.
    """
    try:
        app()
    except SystemExit as ended:
        leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
    leave(Exit.DONE)


if __name__ == "__main__":
    main()
