"""`keyfill make-secrets`: the secrets of a production deployment, a folder for each container.

What others give is left out, and named: the KDH's certificate, the SMS provider's token. Nobody
need ever see what is made here.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from ceremony.keys import SigningKey
from commands.options import Exit, leave
from commands.privateca import Certified, PrivateCa
from holdings import HELD_BY, SECRET_BYTES, Role
from settings import POSTGRESQL

KEYFILL_USER: Final = 10001
POSTGRES_USER: Final = 999
TEMPORAL_USER: Final = 1000
"""Who reads: the user ids of Keyfill's image, and of PostgreSQL's and Temporal's own."""

CLIENTS: Final[tuple[Role, ...]] = ("api", "ceremony", "keys", "operator")
"""Who calls Temporal; beside them only its UI."""
DATABASE_USERS: Final = (*CLIENTS, "codec")
TEMPORAL_HOSTS: Final = ("temporal", "localhost")
"""What docker-compose.yml calls the Temporal server, whatever others call it besides."""
PASSWORD_BYTES: Final = 24
RSA_BITS: Final = 3072

_GIVEN: Final = (
    "api/keyfill_twilio_auth_token",
    "api/keyfill_oidc_client_secret (if people sign in by OpenID Connect: the provider's)",
    "ceremony/keyfill_twilio_auth_token",
    "keys/keyfill_kdh_certificate (certify keys/kdh-request.pem)",
    "keys/keyfill_export_key (if keys are exported: agreed with the back office)",
    "ceremony/keyfill_backoffice_token (if they are delivered: the back office's)",
)


def make_secrets(
    folder: Annotated[Path, typer.Argument(help="A folder that is empty or not there yet.")],
    database_host: Annotated[
        str, typer.Option(help="PostgreSQL's host, as the database URLs name it.")
    ] = "postgresql",
    temporal_host: Annotated[
        list[str] | None, typer.Option(help="A further name of Temporal's server; may be repeated.")
    ] = None,
) -> None:
    """Make random secrets, passwords, a private authority and certificates for Temporal.

    Run as root it gives each folder to the user of its container. Take `ca/` off the machine.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        leave(Exit.REFUSED, f"{folder} is not empty: secrets are never replaced.")
    made = ProductionSecrets.make(
        now=int(time.time()),
        database_host=database_host,
        temporal_hosts=[*TEMPORAL_HOSTS, *(temporal_host or [])],
    )
    made.write(folder)
    typer.echo(f"Made {folder}. Put these in as well:")
    for name in _GIVEN:
        typer.echo(f"  {name}")


@dataclass(frozen=True, slots=True)
class ProductionSecrets:
    """All files by `<folder>/<name>`, with what each container may read and nothing else."""

    files: dict[str, bytes] = field(repr=False)

    @classmethod
    def make(
        cls, *, now: int, database_host: str, temporal_hosts: list[str]
    ) -> "ProductionSecrets":
        """Make them; `now` is Unix time in seconds."""
        files = dict(_held())
        database, temporal = _password(), _password()
        url = f"{POSTGRESQL}keyfill:{database}@{database_host}/keyfill"
        files |= {f"{role}/keyfill_database_url": url.encode() for role in DATABASE_USERS}
        files |= {
            "postgresql/superuser_password": _password().encode(),
            "postgresql/keyfill_password": database.encode(),
            "postgresql/temporal_password": temporal.encode(),
            "temporal/password": temporal.encode(),
        }
        files |= _certificates(PrivateCa.make(now=now), temporal_hosts)
        return cls(files)

    def write(self, folder: Path) -> None:
        """Write them, each for its owner only.

        Raises:
            OSError: if a file cannot be written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        if os.geteuid() == 0:
            _give(folder)


def _held() -> Iterator[tuple[str, bytes]]:
    """What the roles hold; the same secret has the same bytes in every role that holds it."""
    kdh_key, request = _kdh()
    texts = {name: secrets.token_hex(size) for name, size in SECRET_BYTES.items()}
    texts["payload_keys"] = f"k1:{secrets.token_hex(32)}"
    texts["record_key"] = json.dumps(SigningKey.generate().private_jwk())
    texts["kdh_key"] = kdh_key.decode()
    for role, held in HELD_BY.items():
        for name in held:
            if name in texts:
                yield f"{role}/keyfill_{name}", texts[name].encode()
    # Its commands read it in the ceremony's place, without the rest that the ceremony holds.
    yield "operator/keyfill_payload_keys", texts["payload_keys"].encode()
    yield "keys/kdh-request.pem", request


def _kdh() -> tuple[bytes, bytes]:
    """The software KDH's key, and a request for its certificate with the purpose that it needs."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    from keymanagement.kdh import KDH_PURPOSE, SIGNS_ONLY

    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Keyfill KDH")]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNS_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([KDH_PURPOSE]), critical=True)
        .sign(key, SHA256())
    )
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return written, request.public_bytes(Encoding.PEM)


def _certificates(authority: PrivateCa, temporal_hosts: list[str]) -> dict[str, bytes]:
    files = _pair("ca", "ca", authority.pem)
    holders = {folder: ("client", f"keyfill-{folder}") for folder in (*CLIENTS, "temporal-ui")}
    for folder, (kind, name) in holders.items():
        files |= _pair(folder, f"temporal-{kind}", authority.certify(name))
    files |= _pair("temporal", "server", authority.certify("temporal", temporal_hosts))
    for folder in (*holders, "temporal"):
        files[f"{folder}/temporal-ca.pem"] = authority.pem.certificate_pem
    return files


def _pair(folder: str, name: str, made: Certified) -> dict[str, bytes]:
    return {
        f"{folder}/{name}.pem": made.certificate_pem,
        f"{folder}/{name}-key.pem": made.key_pem,
    }


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _give(folder: Path) -> None:
    owners = {"postgresql": POSTGRES_USER, "temporal": TEMPORAL_USER, "temporal-ui": TEMPORAL_USER}
    owners |= dict.fromkeys(DATABASE_USERS, KEYFILL_USER)
    for name, owner in owners.items():
        os.chown(folder / name, owner, owner)
        for path in (folder / name).iterdir():
            os.chown(path, owner, owner)
