"""What is typed about a person on the command line, checked before anything is stored."""

from pathlib import Path
from typing import Annotated, Final, cast

import typer
from pydantic import ValidationError

from ceremony.keys import SigningKey
from ceremony.sms import NumberRefused, valid_number
from commands.credentials import VALID_SECONDS, RoleName
from commands.homefolder import HomeError, read_key, write_key
from commands.options import Exit, leave
from settings import Settings

PersonArgument = Annotated[str, typer.Argument(help="The registry's identifier of the person.")]
StaffNoOption = Annotated[str, typer.Option(help="Staff number: what is typed at terminals.")]
NameOption = Annotated[str, typer.Option(help="Name, for people to read.")]
NumberOption = Annotated[str, typer.Option(help="Mobile number, +<country><number>.")]
RoleOption = Annotated[list[str] | None, typer.Option("--role", help="administrator or auditor.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="The person's private JWK.")]
DaysOption = Annotated[int, typer.Option(min=1, max=3650, help="Days until the entry expires.")]
DEFAULT_DAYS: Final = VALID_SECONDS // 86_400
_ROLES: Final = ("administrator", "auditor")


def number_of(text: str) -> str:
    """A telephone number in E.164, or the end of the command."""
    try:
        return valid_number(text)
    except NumberRefused:
        leave(Exit.USAGE, "Give a mobile number as +<country><number>.")


def roles_of(names: list[str] | None) -> tuple[RoleName, ...]:
    """Roles without repeats, `administrator` if none is given, or the end of the command."""
    wanted = tuple(dict.fromkeys(names or [_ROLES[0]]))
    if not set(wanted).issubset(_ROLES):
        leave(Exit.USAGE, "Roles are administrator and auditor.")
    return cast(tuple[RoleName, ...], wanted)


def key_of(path: Path, settings: Settings) -> SigningKey:
    """A person's key; where the file is not there, development makes one.

    Raises:
        HomeError: if there is none, or it cannot be used.
    """
    if path.exists():
        return read_key(path)
    if settings.environment != "development":
        raise HomeError(f"There is no key at {path}; keys are made in development only.")
    key = SigningKey.generate()
    write_key(path, key)
    return key


def broken_field(error: ValidationError) -> str:
    """Say which field does not fit, without its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}."
