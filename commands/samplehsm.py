"""Development: an HSM in the home folder, a private token of SoftHSM that needs no root.

It holds the KDH's signing key, made inside, and the terminal master keys. The security officer's
PIN lies beside it, which nobody may do in production: there the officer is another person.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from commands.homefolder import HomeError, HomeFolder
from holdings import DEVELOPMENT_MARK
from terminal.durable import replace

if TYPE_CHECKING:
    from keymanagement.pkcs11.softhsm import SoftToken

TOKEN: Final = "keyfill"  # noqa: S105 - a label
CONFIGURATION: Final = "softhsm2.conf"
_TOKENS: Final = "tokens"
_SO_PIN: Final = "so-pin"
_PIN_BYTES: Final = 16


def make_hsm(home: HomeFolder, target: Path, *, now: int) -> None:
    """Make the token and its KDH in a home that is being made and will be moved to `target`.

    The KDH of software is replaced, and the key worker's settings say that its key manager is this
    HSM. `now` is Unix time in seconds.

    Raises:
        HomeError: if SoftHSM is not installed, or fails.
    """
    try:
        from keymanagement.pkcs11 import softhsm
        from keymanagement.pkcs11.faults import HsmError
    except ImportError:
        raise HomeError("The PKCS#11 key manager is for Linux.") from None
    try:
        token = softhsm.SoftToken(
            softhsm.find_module(),
            TOKEN,
            secrets.token_hex(_PIN_BYTES),
            secrets.token_hex(_PIN_BYTES),
        )
        certificate = _make_token(home.hsm, token, now)
    except HsmError as error:
        raise HomeError(str(error)) from error
    final = HomeFolder(target).hsm
    replace(home.hsm / CONFIGURATION, softhsm.configuration(final / _TOKENS).encode())
    replace(home.hsm / _SO_PIN, (DEVELOPMENT_MARK + token.so_pin).encode())
    replace(home.kdh_certificate, certificate)
    folder = home.secrets("keys")
    # The KDH's key is in the HSM, and none of an HSM's keys is exported.
    for name in ("kdh_key", "export_key"):
        (folder / f"keyfill_{name}").unlink()
    held = {
        "key_manager": "pkcs11",
        "pkcs11_module": str(token.module),
        "pkcs11_token": TOKEN,
        # SoftHSM knows no other.
        "pkcs11_allow_oaep_sha1": "true",
        "pkcs11_pin": DEVELOPMENT_MARK + token.pin,
        "kdh_certificate": DEVELOPMENT_MARK + certificate.decode(),
    }
    for name, text in held.items():
        replace(folder / f"keyfill_{name}", text.encode())


def trust_sample(home: HomeFolder, epp_certificate: bytes) -> None:
    """Have the home's HSM, if it has one, trust a sample EPP's key (certificate in DER).

    Raises:
        HomeError: if the HSM fails.
    """
    if not home.hsm.is_dir():
        return
    from keymanagement.pkcs11 import softhsm
    from keymanagement.pkcs11.faults import HsmError
    from keymanagement.pkcs11.officer import trust_terminals

    certificate = x509.load_der_x509_certificate(epp_certificate)
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        return
    label = certificate.subject.rfc4514_string()
    so_pin = (home.hsm / _SO_PIN).read_text().removeprefix(DEVELOPMENT_MARK)
    try:
        module = softhsm.find_module()
        with softhsm.configured(module, home.hsm / CONFIGURATION):
            trust_terminals(module, TOKEN, so_pin, [(label, key)])
    except HsmError as error:
        raise HomeError(str(error)) from error


def _make_token(folder: Path, token: "SoftToken", now: int) -> bytes:
    from keymanagement.kdh import certify_development_kdh
    from keymanagement.pkcs11 import softhsm
    from keymanagement.pkcs11.session import HsmConnection, TokenAccess
    from keymanagement.pkcs11.signer import generate_signing_key

    (folder / _TOKENS).mkdir(mode=0o700, parents=True)
    conf = folder / "draft.conf"
    conf.write_text(softhsm.configuration(folder / _TOKENS))
    softhsm.make_token(conf, token)
    access = TokenAccess(token.module, token.label, token.pin)
    with softhsm.configured(token.module, conf), HsmConnection(access) as connection:
        certificate = certify_development_kdh(generate_signing_key(connection), now=now)
    conf.unlink()
    return certificate.public_bytes(Encoding.PEM)
