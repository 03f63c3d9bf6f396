"""An officer's own key: made where it stays, and held against the trust file before it signs."""

from pathlib import Path
from typing import Annotated

import typer

from ceremony.keys import SigningKey
from ceremony.trust import Trust
from commands.homefolder import HomeError, read_key, read_trust, write_key
from commands.options import Exit, leave, write_json
from settings import Settings, SettingsError

TrustFile = Annotated[
    Path | None, typer.Option("--trust", help="The trust file; the deployment's by default.")
]
OfficerKey = Annotated[Path, typer.Option("--key", help="The officer's private JWK.")]


def make_key(
    file: Annotated[Path, typer.Argument(help="Where the private JWK goes; not there yet.")],
) -> None:
    """Make an officer's key, on the officer's own machine, and show its public half.

    What is shown goes into the trust file, among the officers. The file never leaves its officer.
    """
    if file.exists():
        leave(Exit.REFUSED, f"{file} is there: keys are never replaced.")
    key = SigningKey.generate()
    write_key(file, key)
    write_json(key.public.jwk)


def signing_trust(home: Path, named: Path | None) -> Trust:
    """Read the trust file that is named, or the deployment's: KEYFILL_TRUST_FILE, or the home's.

    Raises:
        HomeError: if it is missing or cannot be used.
    """
    try:
        return read_trust(named or Settings.unchecked(home=home).trust)
    except SettingsError as error:
        raise HomeError(f"{error}") from None


def officer_key(path: Path, trust: Trust) -> SigningKey:
    """An officer's key that the trust file knows.

    Raises:
        HomeError: if it is missing, unusable or unknown.
    """
    key = read_key(path)
    if key.kid not in {one.public_key.kid for one in trust.officer_keys}:
        raise HomeError(f"The key at {path} is no officer's.")
    return key
