"""An HSM as the key worker opens it: connection, KDH, key manager and reconciler of one token."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from keymanagement.kdh import KdhIdentity
from keymanagement.observer import KeyObserver
from keymanagement.pkcs11.abilities import HsmRules
from keymanagement.pkcs11.manager import HsmKeyManager
from keymanagement.pkcs11.reconciler import KeyReconciler, Ledger
from keymanagement.pkcs11.session import HsmConnection, TokenAccess
from keymanagement.pkcs11.signer import read_kdh
from keymanagement.pkcs11.softhsm import CONFIGURED_BY
from keymanagement.uniqueness import KeyUniqueness


@dataclass(frozen=True, slots=True)
class HsmChoice:
    """What a deployment sets of its HSM.

    `configuration` is a file for SoftHSM in a development home; it counts only if it is there and
    the environment names no other.
    """

    module: Path
    token: str
    pin: str = field(repr=False)
    parameters: str = ""
    parallel: bool = False
    configuration: Path | None = None
    allow_oaep_sha1: bool = False
    allow_untrusted_wrap: bool = False


class Hsm:
    """An open HSM; use `open_hsm`."""

    def __init__(self, connection: HsmConnection, rules: HsmRules) -> None:
        """Take a connection that is logged in."""
        self._connection = connection
        self._rules = rules

    def kdh(self, certificate_pem: bytes, *, now: int) -> KdhIdentity:
        """The KDH of a certificate whose key is in this HSM; see `signer.read_kdh`."""
        return read_kdh(self._connection, certificate_pem, now=now)

    @contextmanager
    def key_manager(
        self,
        kdh: KdhIdentity,
        kek: bytes,
        ledger: Ledger,
        *,
        deployment: str,
        observer: KeyObserver | None = None,
    ) -> Iterator[HsmKeyManager]:
        """The key manager, and beside it the reconciler for as long as the block lasts.

        `kek` keys the uniqueness values only: no TMK is under it. The `observer` is told of what
        the reconciler finds.

        Raises:
            ModuleTooWeak, HsmUnavailable: if the module does not serve.
        """
        manager = HsmKeyManager(
            self._connection, kdh, KeyUniqueness(kek), deployment=deployment, rules=self._rules
        )
        reconciler = KeyReconciler(
            self._connection,
            manager.keys,
            ledger,
            adopted=lambda: manager.adopted,
            observer=observer,
        )
        with reconciler.running():
            yield manager


@contextmanager
def open_hsm(choice: HsmChoice) -> Iterator[Hsm]:
    """Log in to the token for a block.

    Raises:
        ModuleMissing, TokenMissing, PinRefused, HsmUnavailable.
    """
    if choice.configuration is not None and choice.configuration.exists():
        os.environ.setdefault(CONFIGURED_BY, str(choice.configuration.absolute()))
    access = TokenAccess(
        choice.module, choice.token, choice.pin, choice.parameters, choice.parallel
    )
    with HsmConnection(access) as connection:
        yield Hsm(connection, HsmRules(choice.allow_oaep_sha1, choice.allow_untrusted_wrap))
