"""`keyfill init`: a home folder for development, with keys that protect nothing.

It makes a trust file with a feed key and two officer keys, the secrets of each role marked as
development ones, a KDH identity, and the root of a sample EPP maker. Outside development all of
these come from elsewhere, and this command refuses.
"""

import json
import secrets
import shutil
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from ceremony.keys import SigningKey
from ceremony.trust import Trust, TrustError
from commands.homefolder import HomeFolder, write_key
from commands.options import DEFAULT_HOME, Exit, Home, leave
from settings import DEVELOPMENT_MARK, HELD_BY, SECRET_BYTES, Role, Settings
from terminal.durable import replace

DEFAULT_AUDIENCE: Final = "keyfill-development"
DEFAULT_ORIGIN: Final = "http://localhost:8480"
OFFICERS: Final = ("officer-1", "officer-2")

_GATEWAY_SECRETS: Final[Mapping[Role, tuple[str, ...]]] = MappingProxyType(
    {"ceremony": ("outbox_key",)}
)


class HomeExists(Exception):
    """There is something in the home folder already."""


def init(
    home: Home = DEFAULT_HOME,
    origin: Annotated[
        str, typer.Option(help="Web origin of QR codes and passkeys: scheme, host, port.")
    ] = DEFAULT_ORIGIN,
    audience: Annotated[
        str, typer.Option(help="The deployment's name in every statement.")
    ] = DEFAULT_AUDIENCE,
) -> None:
    """Make a development home: trust file, development secrets, sample keys."""
    if Settings(home=home).environment != "development":
        leave(Exit.USAGE, "Keys are made by `keyfill init` in development only.")
    try:
        make_home(HomeFolder(home), origin=origin, audience=audience, now=int(time.time()))
    except HomeExists as error:
        leave(Exit.USAGE, f"{error} Nothing was changed.")
    except TrustError as error:
        leave(Exit.USAGE, f"No home was made: {error}.")
    typer.echo(f"Made {home}. `keyfill up` starts everything.")


def make_home(home: HomeFolder, *, origin: str, audience: str, now: int) -> None:
    """Make a development home in one step: it is there whole, or not at all.

    `now` is Unix time in seconds.

    Raises:
        HomeExists: if the folder is there and not empty.
        TrustError: if origin or audience cannot be in a trust file.
    """
    target = home.path.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise HomeExists(f"{home.path} is not empty.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = HomeFolder(target.with_name(f".{target.name}.{secrets.token_hex(4)}"))
    draft.path.mkdir(mode=0o700)
    try:
        _fill(draft, origin=origin, audience=audience, now=now)
        draft.path.rename(target)
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def _fill(home: HomeFolder, *, origin: str, audience: str, now: int) -> None:
    feed = SigningKey.generate()
    officers = {name: SigningKey.generate() for name in OFFICERS}
    write_key(home.feed_key, feed)
    for name, key in officers.items():
        write_key(home.officers / f"{name}.jwk", key)
    trust = {
        "audience": audience,
        "origin": origin,
        "rp_id": urlsplit(origin).hostname or "",
        "feed_keys": [feed.public.jwk],
        "officers": [{"name": name, "key": key.public.jwk} for name, key in officers.items()],
        "officer_threshold": len(officers),
        "epp_roots": [_make_epp_root(home, now)],
        "lowest_seq": 0,
    }
    _write_trust(home, trust)
    _make_secrets(home, now)


def _make_epp_root(home: HomeFolder, now: int) -> str:
    from terminal.eppfactory import make_root

    root = make_root(now=now)
    home.epp_root.mkdir(mode=0o700)
    replace(home.epp_root / "key.pem", root.key_pem)
    replace(home.epp_root / "certificate.pem", root.certificate_pem)
    return root.certificate_pem.decode()


def _write_trust(home: HomeFolder, trust: dict[str, Any]) -> None:
    text = json.dumps(trust, indent=2) + "\n"
    Trust.read(text)
    replace(home.trust_file, text.encode())
    # Read-only, as in production: what a deployment believes is not changed by its services.
    home.trust_file.chmod(0o400)


def _make_secrets(home: HomeFolder, now: int) -> None:
    from keymanagement.journal import Journal
    from keymanagement.kdh import make_development_kdh

    kdh = make_development_kdh(now=now)
    replace(home.kdh_certificate, kdh.certificate_pem)
    texts = {name: secrets.token_hex(size) for name, size in SECRET_BYTES.items()}
    texts["kdh_key"] = kdh.key_pem.decode()
    texts["kdh_certificate"] = kdh.certificate_pem.decode()
    texts["record_key"] = json.dumps(SigningKey.generate().private_jwk())
    for role, held in HELD_BY.items():
        names = held + _GATEWAY_SECRETS.get(role, ())
        if not names:
            continue
        folder = home.secrets(role)
        folder.mkdir(mode=0o700, parents=True)
        for name in names:
            replace(folder / f"keyfill_{name}", (DEVELOPMENT_MARK + texts[name]).encode())
    Journal(home.journal, bytes.fromhex(texts["kek"]), create=True).close()
