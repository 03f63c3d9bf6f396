"""`keyfill init`: a home folder for development, with keys that protect nothing.

It makes a trust file with a feed key and two officer keys, a key policy, the secrets of each role
marked as development ones, a KDH identity, and the root of a sample EPP maker. Outside development
all of these come from elsewhere, and this command refuses.
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
from commands.homefolder import HomeError, HomeFolder, write_key
from commands.options import DEFAULT_HOME, Exit, Home, leave
from commands.samplehsm import make_hsm
from commands.samplepolicy import SAMPLE_POLICY
from holdings import DEVELOPMENT_MARK, HELD_BY, SECRET_BYTES, Role
from settings import Settings
from terminal.durable import replace

DEFAULT_AUDIENCE: Final = "keyfill-development"
DEFAULT_ORIGIN: Final = "http://localhost:8480"
OFFICERS: Final = ("officer-1", "officer-2")

_GATEWAY_SECRETS: Final[Mapping[Role, tuple[str, ...]]] = MappingProxyType(
    {"ceremony": ("outbox_key",), "keys": ("export_key",)}
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
    key_manager: Annotated[
        str, typer.Option(help="`software`, or `pkcs11` for SoftHSM in the home folder.")
    ] = "",
) -> None:
    """Make a development home: trust file, key policy, development secrets, sample keys."""
    if Settings(home=home).environment != "development":
        leave(Exit.USAGE, "Keys are made by `keyfill init` in development only.")
    if key_manager not in ("", "software", "pkcs11"):
        leave(Exit.USAGE, "A key manager is `software` or `pkcs11`.")
    try:
        make_home(
            HomeFolder(home),
            origin=origin,
            audience=audience,
            now=int(time.time()),
            key_manager=key_manager,
        )
    except HomeExists as error:
        leave(Exit.USAGE, f"{error} Nothing was changed.")
    except TrustError as error:
        leave(Exit.USAGE, f"No home was made: {error}.")
    except HomeError as error:
        leave(Exit.UNAVAILABLE, f"No home was made. {error}")
    typer.echo(f"Made {home}. `keyfill up` starts everything.")


def make_home(
    home: HomeFolder, *, origin: str, audience: str, now: int, key_manager: str = ""
) -> None:
    """Make a development home in one step: it is there whole, or not at all.

    `now` is Unix time in seconds; `key_manager` is `software`, `pkcs11`, or the environment's.

    Raises:
        HomeExists: if the folder is there and not empty.
        TrustError: if origin or audience cannot be in a trust file.
        HomeError: if an HSM is asked for and there is none.
    """
    target = home.path.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise HomeExists(f"{home.path} is not empty.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = HomeFolder(target.with_name(f".{target.name}.{secrets.token_hex(4)}"))
    draft.path.mkdir(mode=0o700)
    try:
        _fill(draft, origin=origin, audience=audience, now=now)
        if (key_manager or Settings(home=home.path).key_manager) == "pkcs11":
            make_hsm(draft, target, now=now)
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
        "epp_roots": _make_epp_roots(home, now),
        "lowest_seq": 0,
    }
    _write_trust(home, trust)
    replace(home.policy_file, SAMPLE_POLICY.encode())
    _make_secrets(home, now)


def _make_epp_roots(home: HomeFolder, now: int) -> list[str]:
    from commands.samplesm2 import make_sm2_epp_root
    from terminal.eppfactory import make_root

    root = make_root(now=now)
    home.epp_root.mkdir(mode=0o700)
    replace(home.epp_root / "key.pem", root.key_pem)
    replace(home.epp_root / "certificate.pem", root.certificate_pem)
    return [root.certificate_pem.decode(), *make_sm2_epp_root(home, now=now)]


def _write_trust(home: HomeFolder, trust: dict[str, Any]) -> None:
    text = json.dumps(trust, indent=2) + "\n"
    Trust.read(text)
    replace(home.trust_file, text.encode())
    # Read-only, as in production: what a deployment believes is not changed by its services.
    home.trust_file.chmod(0o400)


def _make_secrets(home: HomeFolder, now: int) -> None:
    from commands.samplesm2 import make_sm2_kdh
    from engine.keyring import KEY_BYTES
    from keymanagement.journal import Journal
    from keymanagement.kdh import make_development_kdh

    kdh = make_development_kdh(now=now)
    replace(home.kdh_certificate, kdh.certificate_pem)
    texts = {name: secrets.token_hex(size) for name, size in SECRET_BYTES.items()}
    texts["kdh_key"] = kdh.key_pem.decode()
    texts["kdh_certificate"] = kdh.certificate_pem.decode()
    texts["payload_keys"] = f"k1:{secrets.token_hex(KEY_BYTES)}"
    texts["record_key"] = json.dumps(SigningKey.generate().private_jwk())
    for role, held in HELD_BY.items():
        names = held + _GATEWAY_SECRETS.get(role, ())
        if not names:
            continue
        folder = home.secrets(role)
        folder.mkdir(mode=0o700, parents=True)
        for name in names:
            replace(folder / f"keyfill_{name}", (DEVELOPMENT_MARK + texts[name]).encode())
    make_sm2_kdh(home, now=now)
    Journal(home.journal, bytes.fromhex(texts["kek"]), create=True).close()
