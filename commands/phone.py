"""`keyfill phone`: an administrator's phone without a browser, for the demo and for scripts.

It speaks HTTP to the server and nothing else. What a camera would scan and a person would type
comes in as lines on standard input; what the screen would show goes out as JSON lines.

Exit codes: 0 done, 2 wrong usage, 3 refused, 4 the server does not answer.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from commands.homefolder import HomeError, read_key
from commands.options import Exit, leave, write_json
from commands.phoneclient import ApplicationDocument, Phone, Reasoned
from terminal.transport import (
    AnswerMalformed,
    Patience,
    PatientHttp,
    ServerAddressRefused,
    ServerRefused,
    ServerUnavailable,
)

LOOK_SECONDS: Final = 0.5
"""How often a person who waits for a review looks again."""
_GIVE_UP_AFTER: Final = 60.0

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)

Server = Annotated[str, typer.Option(help="Keyfill's origin, https://host[:port].")]
KeyFile = Annotated[Path, typer.Option("--key", help="The administrator's private JWK.")]
StaffNo = Annotated[str, typer.Option(help="The administrator's staff number.")]
Audience = Annotated[str, typer.Option(help="The deployment's name in every statement.")]


@app.command()
def apply(
    server: Server,
    key: KeyFile,
    staff_no: StaffNo,
    audience: Audience,
    terminal_no: Annotated[str, typer.Option(help="The number on the terminal, as typed.")],
) -> None:
    """Apply as the first administrator: reads the QR text, then SMS codes until one is right."""
    with _phone(server, key, staff_no, audience) as phone:
        write_json({"event": "scan"})
        qr_text = _line()
        sent = phone.ask_code(qr_text)
        write_json({"event": "code-sent", "sent_to": sent.sent_to, "n": sent.n})
        document = phone.document(qr_text)
        while not _applied(phone, document, qr_text, terminal_no):
            pass


@app.command()
def review(
    server: Server,
    key: KeyFile,
    staff_no: StaffNo,
    audience: Audience,
    terminal_no: Annotated[str, typer.Option(help="The terminal to decide about.")],
    decision: Annotated[Literal["approve", "reject"], typer.Option(help="What to decide.")],
    reason_code: Annotated[str | None, typer.Option(help="Why, as a code.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in words.")] = None,
    within: Annotated[float, typer.Option(help="Seconds to wait for the review.")] = 120.0,
) -> None:
    """Decide as the second administrator, as soon as a review of the terminal waits."""
    with _phone(server, key, staff_no, audience) as phone:
        request_id = _awaited(phone, terminal_no, time.monotonic() + within)
        document = phone.review(request_id)
        write_json({"event": "reviewing", "request_id": request_id, "terminal_no": terminal_no})
        decided = phone.decide(document, Reasoned(decision, reason_code, reason))
        write_json({"event": "decided", "decision": decision, "stage": decided.stage.value})


def _applied(phone: Phone, document: ApplicationDocument, qr_text: str, terminal_no: str) -> bool:
    write_json({"event": "code-needed"})
    try:
        applied = phone.apply(document, qr_text, terminal_no, _line())
    except ServerRefused as error:
        if not error.attempts_left:
            raise
        write_json({"event": "refused", "code": error.code, "attempts_left": error.attempts_left})
        return False
    write_json({"event": "applied", "stage": applied.stage.value})
    return True


def _awaited(phone: Phone, terminal_no: str, deadline: float) -> str:
    while time.monotonic() < deadline:
        for one in phone.reviews():
            if one.terminal_no == terminal_no:
                return one.request_id
        time.sleep(LOOK_SECONDS)
    leave(Exit.UNAVAILABLE, f"No review of {terminal_no} came.")


@contextmanager
def _phone(server: str, key: Path, staff_no: str, audience: str) -> Iterator[Phone]:
    try:
        http = PatientHttp(server, patience=Patience(give_up_after=_GIVE_UP_AFTER))
        phone = Phone(http, read_key(key), staff_no, audience)
    except (ServerAddressRefused, HomeError) as error:
        leave(Exit.USAGE, str(error))
    try:
        phone.login()
        write_json({"event": "signed-in", "staff_no": staff_no})
        yield phone
    except ServerRefused as error:
        write_json({"event": "refused", "code": error.code})
        leave(Exit.REFUSED, f"The server refused: {error.code}.")
    except (ServerUnavailable, AnswerMalformed) as error:
        leave(Exit.UNAVAILABLE, f"{error}.")
    finally:
        http.close()


def _line() -> str:
    line = sys.stdin.readline().strip()
    if not line:
        leave(Exit.USAGE, "Nothing was scanned or typed.")
    return line
