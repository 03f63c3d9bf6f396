"""The HSM's security officer: the only one who can make it trust a terminal's key.

Not to be run where the key worker runs, nor with its PIN: that the one who releases keys cannot
say to whom is what the officer is for.
"""

from collections.abc import Iterable
from pathlib import Path

import pkcs11
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from keymanagement.pkcs11.faults import HsmUnavailable, PinRefused
from keymanagement.pkcs11.module import Pkcs11Module
from keymanagement.pkcs11.terminalkeys import trust


def trust_terminals(
    module: Path,
    token: str,
    so_pin: str,
    keys: Iterable[tuple[str, RSAPublicKey]],
    *,
    parameters: str = "",
) -> int:
    """Make the HSM trust EPPs' keys, each with a label; returns how many it did not yet trust.

    Nobody may be logged in to the token in this process.

    Raises:
        ModuleMissing, TokenMissing: if there is no such module or token.
        PinRefused: if the officer's PIN is wrong; it is tried once.
        HsmUnavailable: if the module refuses.
    """
    loaded = Pkcs11Module.load(str(module), parameters)
    with loaded.calling():
        try:
            session = loaded.token(token).open(rw=True, so_pin=so_pin)
        except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinLocked):
            raise PinRefused("The token refused the security officer's PIN.") from None
        except pkcs11.PKCS11Error as error:
            raise HsmUnavailable(f"the module refused: {type(error).__name__}") from error
        try:
            return sum(trust(session, key, label) for label, key in keys)
        except pkcs11.PKCS11Error as error:
            raise HsmUnavailable(f"the module refused: {type(error).__name__}") from error
        finally:
            session.close()
