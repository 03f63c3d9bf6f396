"""Software HSMs on a bench: a private token each, with a KDH in it and EPPs that it trusts.

    bench = HsmBench.softhsm(folder)
    manager = bench.manager()

SoftHSM keeps to every rule but wraps with SHA-1; NSS wraps with SHA-256 and trusts everybody
(docs/adr/0016), so that each is tested under the rules that it needs.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from ceremony.encoding import from_b64url, strict_json
from keymanagement.kdh import KdhIdentity, certify_development_kdh
from keymanagement.oaepjws import KeyEncryption
from keymanagement.pkcs11 import softhsm
from keymanagement.pkcs11.abilities import HsmRules
from keymanagement.pkcs11.manager import HsmKeyManager
from keymanagement.pkcs11.module import Pkcs11Module
from keymanagement.pkcs11.officer import trust_terminals
from keymanagement.pkcs11.session import HsmConnection, TokenAccess
from keymanagement.pkcs11.signer import generate_signing_key
from keymanagement.port import CreatedKey, KeyAlgorithm, KeyBinding, KeyToken
from keymanagement.uniqueness import KeyUniqueness
from tests.support import softhsm as found
from tests.support.certificates import Epp, sample_epp
from tests.support.keytokens import NOW, terms_for

KEK: Final = bytes(range(32))
DEPLOYMENT: Final = "keyfill-test"
FORMAT: Final = "oaep-jws"
BITS: Final = {
    KeyAlgorithm.TDES: 2048,
    KeyAlgorithm.AES_128: 2048,
    KeyAlgorithm.AES_192: 3072,
    KeyAlgorithm.AES_256: 4096,
}
OAEPS: Final = {
    KeyEncryption.RSA_OAEP_256: OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None),
    KeyEncryption.RSA_OAEP: OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None),  # noqa: S303
}
SHA1_ALLOWED: Final = HsmRules(allow_oaep_sha1=True)
UNTRUSTED_ALLOWED: Final = HsmRules(allow_untrusted_wrap=True)


def trusted_epps() -> list[Epp]:
    """The EPPs that every bench's HSM trusts, where it trusts at all."""
    return [sample_epp("strength", bits) for bits in sorted(set(BITS.values()))]


def public_key(epp: Epp) -> RSAPublicKey:
    """An EPP's public key."""
    return epp.private_key.public_key()


@dataclass
class HsmBench:
    """One token of one module; use `softhsm` or `nss`."""

    access: TokenAccess
    so_pin: str = field(repr=False)
    rules: HsmRules
    folder: Path

    @classmethod
    def softhsm(cls, folder: Path, label: str = "keyfill") -> Self:
        """A new token of SoftHSM in a folder: this process sees those of SOFTHSM2_CONF only."""
        module = found.needed(found.softhsm(), "SoftHSM")
        tokens = folder / "tokens"
        tokens.mkdir(parents=True, exist_ok=True)
        conf = folder / "softhsm2.conf"
        conf.write_text(softhsm.configuration(tokens))
        token = softhsm.SoftToken(module, label, secrets.token_hex(8), secrets.token_hex(8))
        softhsm.make_token(conf, token)
        loaded = Pkcs11Module.load(str(module))
        loaded.restart(loaded.generation)
        access = TokenAccess(module, label, token.pin)
        return cls(access, token.so_pin, SHA1_ALLOWED, folder)

    @classmethod
    def nss(cls, folder: Path) -> Self:
        """A new database of NSS in a folder; whatever this process opened before is closed."""
        module = found.needed(found.softokn(), "NSS")
        folder.mkdir(parents=True, exist_ok=True)
        parameters = (
            f"configDir='sql:{folder}' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
            " dbTokenDescription='keyfill'"
        )
        access = TokenAccess(module, "keyfill", secrets.token_hex(8), parameters, parallel=True)
        loaded = Pkcs11Module.load(str(module), parameters)
        loaded._parameters = parameters.encode()
        loaded.restart(loaded.generation)
        with loaded.calling():
            officer = loaded.token("keyfill").open(rw=True, so_pin="")
            officer.init_pin(access.pin)
            officer.close()
        return cls(access, "", UNTRUSTED_ALLOWED, folder)

    @property
    def trusts(self) -> bool:
        """Whether the module wraps under trusted keys only."""
        return not self.rules.allow_untrusted_wrap

    @property
    def conf(self) -> Path:
        """SoftHSM's configuration file."""
        return self.folder / "softhsm2.conf"

    @cached_property
    def kdh(self) -> KdhIdentity:
        """The KDH, made in the token; before it the officer trusts the sample EPPs."""
        if self.trusts:
            self.trust(*trusted_epps())
        key = generate_signing_key(self.connection)
        return KdhIdentity(key, certify_development_kdh(key, now=NOW - 60), now=NOW)

    @cached_property
    def connection(self) -> HsmConnection:
        """The connection that all of a test's parts share."""
        return self.connect()

    def connect(self) -> HsmConnection:
        """A new connection, as of a key worker just started."""
        return HsmConnection(self.access)

    def manager(self, connection: HsmConnection | None = None) -> HsmKeyManager:
        """A key manager on the token, over a connection of its own or over the shared one."""
        kdh = self.kdh
        return HsmKeyManager(
            connection or self.connection,
            kdh,
            KeyUniqueness(KEK),
            deployment=DEPLOYMENT,
            rules=self.rules,
        )

    def trust(self, *epps: Epp) -> int:
        """Have the HSM's officer trust EPPs; nobody may be logged in."""
        keys = [(epp.fingerprint, public_key(epp)) for epp in epps]
        return trust_terminals(self.access.module, self.access.token, self.so_pin, keys)

    def objects(self, label: str) -> list[bytes]:
        """CKA_ID of every stored secret key of this label."""
        wanted = {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.Attribute.TOKEN: True,
            pkcs11.Attribute.LABEL: label,
        }
        return self.connection.run(
            lambda session: [one[pkcs11.Attribute.ID] for one in session.get_objects(wanted)]
        )


def token_of(
    manager: HsmKeyManager,
    created: CreatedKey,
    algorithm: KeyAlgorithm,
    binding: KeyBinding,
    epp: Epp | None = None,
) -> KeyToken:
    """Wrap a key to the sample EPP of its strength, or to another."""
    terms = terms_for(
        epp or sample_epp("strength", BITS[algorithm]),
        terminal_no=binding.terminal_no,
        request_id=binding.request_id,
    )
    return manager.make_token(created.block, algorithm, binding, terms, FORMAT)


def opened(token: bytes, epp: Epp) -> bytes:
    """The clear key in a token, by the EPP's private key and the hash that the token names."""
    payload = strict_json(from_b64url(token.decode().split(".")[1]))
    padding = OAEPS[KeyEncryption(payload["key_encryption"])]
    return epp.private_key.decrypt(from_b64url(payload["encrypted_key"]), padding)


def binding_of(number: int, terminal_no: str = "ATM-0001") -> KeyBinding:
    """The binding of the numbered request."""
    return KeyBinding(terminal_no, f"request{number:017d}")


@contextmanager
def bench_of(kind: Literal["softhsm", "nss"], folder: Path) -> Iterator[HsmBench]:
    """A bench of this kind, whose tokens are the only ones that this process sees meanwhile."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        yield HsmBench.softhsm(folder) if kind == "softhsm" else HsmBench.nss(folder)
