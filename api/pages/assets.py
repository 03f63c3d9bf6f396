"""Static files of the pages: named with a hash of their content, and kept by browsers for ever.

A module that imports another is served with the other's hash in the import, so that no two
versions ever meet in one page.
"""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
PREFIX: Final = "/static/"
KEPT: Final = "public, max-age=31536000, immutable"

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HASH_CHARS: Final = 16
_IMPORT: Final = re.compile(
    r"""(?P<before>\b(?:from|import)\s*\(?\s*")\./(?P<name>[a-z]+\.js)(?=")"""
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served, with the first 16 hexadecimal digits of its SHA-256."""

    name: str
    content: bytes
    media_type: str
    version: str

    @property
    def url(self) -> str:
        """The path under which a browser may keep it."""
        return f"{PREFIX}{self.name}?v={self.version}"


class AssetUnknown(KeyError):
    """There is no such file."""


@cache
def asset(name: str) -> Asset:
    """Find a static file.

    Raises:
        AssetUnknown: if there is none of this name.
    """
    path = _files().get(name)
    if path is None:
        raise AssetUnknown(name)
    content = path.read_bytes()
    if path.suffix == ".js":
        content = _IMPORT.sub(_versioned, content.decode()).encode()
    return Asset(name, content, MEDIA_TYPES[path.suffix], sha256(content).hexdigest()[:_HASH_CHARS])


def asset_url(name: str) -> str:
    """The path of a static file, for a page to name.

    Raises:
        AssetUnknown: if there is none of this name.
    """
    return asset(name).url


@cache
def _files() -> dict[str, Path]:
    return {path.name: path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}


def _versioned(found: re.Match[str]) -> str:
    return f"{found['before']}{asset_url(found['name'])}"
