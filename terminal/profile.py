"""What a terminal is set up with: who it is, which deployment it speaks to, whose tokens it takes.

`terminal.json` in the terminal's folder. It holds no secret.
"""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ceremony.statements import Code, Name, TerminalNo
from terminal.durable import replace
from terminal.keytoken import FORMAT

PROFILE_FILE: Final = "terminal.json"
Thumbprint = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class ProfileError(Exception):
    """The terminal's folder cannot be used; the message says what to mend."""


class TerminalProfile(BaseModel):
    """A terminal's pins, and its model for people to read.

    `audience` is the deployment's name in every statement, `kdh_thumbprint` SHA-256 of the one
    accepted KDH certificate as base64url, `kdh_next_thumbprint` that of a second one while the KDH
    is rotated, `formats` the key tokens that the EPP takes, best first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    terminal_no: TerminalNo
    audience: Annotated[str, Field(min_length=1, max_length=100)]
    kdh_thumbprint: Thumbprint
    kdh_next_thumbprint: Thumbprint | None = None
    formats: Annotated[tuple[Code, ...], Field(min_length=1, max_length=8)] = (FORMAT,)
    model: Name | None = None

    @property
    def pins(self) -> tuple[str, ...]:
        """The thumbprints of the accepted KDH certificates: one, or two during a rotation."""
        following = self.kdh_next_thumbprint
        return (self.kdh_thumbprint,) if following is None else (self.kdh_thumbprint, following)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the profile of a terminal's folder.

        Raises:
            ProfileError: if it is missing or malformed.
        """
        path = folder / PROFILE_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError:
            raise ProfileError(f"There is no terminal set up in {folder}.") from None
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "content"
            raise ProfileError(f"Mend {path}: {where}: {first['msg']}.") from None

    def write(self, folder: Path) -> None:
        """Write the profile into a terminal's folder, making the folder if need be."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(folder / PROFILE_FILE, self.model_dump_json(indent=2).encode() + b"\n")
