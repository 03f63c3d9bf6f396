"""`keyfill hsm`: what the HSM's security officer does for Keyfill."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from commands.options import AsJson, Exit, leave, write_json

SO_PIN: Final = "KEYFILL_PKCS11_SO_PIN"
_PEM: Final = b"-----BEGIN"

app = typer.Typer(no_args_is_help=True, help="For the security officer of an HSM.")


@app.callback()
def _group() -> None:
    """Keep `trust` a command of a group."""


@app.command()
def trust(
    certificates: Annotated[
        list[Path], typer.Argument(help="EPP certificates, PEM or DER, checked by the officer.")
    ],
    module: Annotated[Path, typer.Option(help="The HSM's PKCS#11 module.")],
    token: Annotated[str, typer.Option(help="The token's label.")] = "keyfill",  # noqa: S107 - a label
    parameters: Annotated[str, typer.Option(help="For a module that needs them.")] = "",
    as_json: AsJson = False,
) -> None:
    """Have an HSM trust terminals' EPP keys: it wraps master keys under no others.

    Asks for the security officer's PIN, or takes it from KEYFILL_PKCS11_SO_PIN.
    """
    try:
        from keymanagement.pkcs11.faults import HsmError
        from keymanagement.pkcs11.officer import trust_terminals
    except ImportError:
        leave(Exit.USAGE, "The PKCS#11 key manager is for Linux.")
    keys = [_key_of(path) for path in certificates]
    pin = os.environ.get(SO_PIN) or typer.prompt("The officer's PIN", hide_input=True)
    try:
        fresh = trust_terminals(module, token, pin, keys, parameters=parameters)
    except HsmError as error:
        leave(Exit.FAULT, f"{error}")
    if as_json:
        write_json({"trusted": fresh, "known": len(keys) - fresh})
        return
    typer.echo(f"Trusted {fresh} EPP keys; {len(keys) - fresh} were trusted already.")


def _key_of(path: Path) -> tuple[str, RSAPublicKey]:
    try:
        data = path.read_bytes()
        read = x509.load_pem_x509_certificate if _PEM in data else x509.load_der_x509_certificate
        certificate = read(data)
        key = certificate.public_key()
    except (OSError, ValueError):
        leave(Exit.USAGE, f"There is no certificate in {path}.")
    if not isinstance(key, RSAPublicKey):
        leave(Exit.USAGE, f"The key in {path} is not an RSA key: no other wraps in PKCS#11.")
    return certificate.subject.rfc4514_string(), key
