"""What a module really does, found by trying: its OAEP, and whether it keeps keys from strangers.

A module may take CKA_WRAP_WITH_TRUSTED and not heed it (NSS softokn 3.87 does), or list a
mechanism and refuse its parameters (SoftHSM 2.6 does OAEP with SHA-1 only). So the attributes and
the list of mechanisms prove nothing: a key of this session is generated and wrapped under a public
key that nobody has trusted, and what happens counts.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag

from keymanagement.oaepjws import KeyEncryption
from keymanagement.pkcs11.faults import ModuleTooWeak
from keymanagement.pkcs11.objects import Attributes, HsmKey, read
from keymanagement.pkcs11.terminalkeys import session_key
from keymanagement.port import KeyAlgorithm

OAEP: Final[Mapping[KeyEncryption, tuple[Mechanism, MGF, None]]] = MappingProxyType(
    {
        KeyEncryption.RSA_OAEP_256: (Mechanism.SHA256, MGF.SHA256, None),
        KeyEncryption.RSA_OAEP: (Mechanism.SHA_1, MGF.SHA1, None),
    }
)
"""Mechanism parameters, strongest first."""

_NEEDED: Final[Mapping[KeyAlgorithm, frozenset[Mechanism]]] = MappingProxyType(
    {
        KeyAlgorithm.AES_128: frozenset({Mechanism.AES_KEY_GEN, Mechanism.AES_CMAC}),
        KeyAlgorithm.AES_192: frozenset({Mechanism.AES_KEY_GEN, Mechanism.AES_CMAC}),
        KeyAlgorithm.AES_256: frozenset({Mechanism.AES_KEY_GEN, Mechanism.AES_CMAC}),
        KeyAlgorithm.TDES: frozenset({Mechanism.DES3_KEY_GEN, Mechanism.DES3_ECB}),
    }
)
_REFUSED: Final = (
    pkcs11.KeyNotWrappable,
    pkcs11.KeyUnextractable,
    pkcs11.WrappingKeyHandleInvalid,
    pkcs11.WrappingKeyTypeInconsistent,
)

_log = logging.getLogger("keyfill.hsm")


@dataclass(frozen=True, slots=True)
class HsmRules:
    """How far a deployment lets a module fall short; the default is not at all."""

    allow_oaep_sha1: bool = False
    allow_untrusted_wrap: bool = False


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a module does: how keys are wrapped, whether only under trusted keys, and which.

    `hardening` are attributes that new keys get because this module knows and keeps them, `proofs`
    those that it gives by itself to keys made inside it.
    """

    key_encryption: KeyEncryption
    trusted_only: bool
    algorithms: frozenset[KeyAlgorithm]
    hardening: Attributes
    proofs: Attributes


def probe(session: pkcs11.Session, stranger: RSAPublicKey, rules: HsmRules) -> Abilities:
    """Find out what the module does; `stranger` is any RSA key that nobody has trusted.

    Raises:
        ModuleTooWeak: if it does less than the rules ask for.
    """
    with session_key(session, stranger) as wrapping:
        encryption = _strongest(session, wrapping)
        trusted_only = _refuses(session, wrapping, encryption)
    if encryption is KeyEncryption.RSA_OAEP:
        if not rules.allow_oaep_sha1:
            raise ModuleTooWeak(
                "The HSM wraps under RSA-OAEP with SHA-1 only: use one that does SHA-256, or set"
                " KEYFILL_PKCS11_ALLOW_OAEP_SHA1."
            )
        _log.warning("the HSM wraps under RSA-OAEP with SHA-1 only, as the settings allow")
    if not trusted_only:
        if not rules.allow_untrusted_wrap:
            raise ModuleTooWeak(
                "The HSM wraps keys under keys that nobody trusted: use one that heeds"
                " CKA_WRAP_WITH_TRUSTED, or set KEYFILL_PKCS11_ALLOW_UNTRUSTED_WRAP."
            )
        _log.warning("the HSM wraps keys under untrusted keys, as the settings allow")
    hardening = {**_kept(session, Attribute.COPYABLE, value=False)}
    if trusted_only:
        hardening[Attribute.WRAP_WITH_TRUSTED] = True
    return Abilities(encryption, trusted_only, _algorithms(session), hardening, _proofs(session))


def _strongest(session: pkcs11.Session, wrapping: HsmKey) -> KeyEncryption:
    with _probe_key(session, {}) as key:
        for encryption, parameter in OAEP.items():
            try:
                wrapping.wrap_key(key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=parameter)
            except (
                pkcs11.ArgumentsBad,
                pkcs11.MechanismInvalid,
                pkcs11.MechanismParamInvalid,
                pkcs11.FunctionNotSupported,
            ):
                continue
            return encryption
    raise ModuleTooWeak("The HSM does not wrap keys under RSA-OAEP.")


def _refuses(session: pkcs11.Session, wrapping: HsmKey, encryption: KeyEncryption) -> bool:
    try:
        with _probe_key(session, {Attribute.WRAP_WITH_TRUSTED: True}) as key:
            wrapping.wrap_key(
                key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=OAEP[encryption]
            )
    except _REFUSED:
        return True
    except _NO_SUCH_ATTRIBUTE:
        return False
    return False


def _kept(session: pkcs11.Session, attribute: Attribute, *, value: bool) -> dict[Attribute, Any]:
    try:
        with _probe_key(session, {attribute: value}, store=True) as key:
            return {attribute: value} if read(key, attribute) == value else {}
    except _NO_SUCH_ATTRIBUTE:
        return {}


def _proofs(session: pkcs11.Session) -> dict[Attribute, Any]:
    with _probe_key(session, {}, store=True) as key:
        return {Attribute.LOCAL: True} if read(key, Attribute.LOCAL) is True else {}


def _algorithms(session: pkcs11.Session) -> frozenset[KeyAlgorithm]:
    known = frozenset(session.token.slot.get_mechanisms())
    return frozenset(one for one, needed in _NEEDED.items() if needed <= known)


@contextmanager
def _probe_key(
    session: pkcs11.Session, template: Attributes, *, store: bool = False
) -> Iterator[HsmKey]:
    # softokn knows attributes of a session's keys that it cannot store
    key: Any = session.generate_key(
        KeyType.AES,
        128,
        label="keyfill probe",
        store=store,
        capabilities=MechanismFlag.SIGN,
        template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True, **template},
    )
    try:
        yield key
    finally:
        key.destroy()


_NO_SUCH_ATTRIBUTE: Final = (
    pkcs11.AttributeTypeInvalid,
    pkcs11.AttributeValueInvalid,
    pkcs11.TemplateInconsistent,
    # softokn answers this to attributes that its database has no column for
    pkcs11.GeneralError,
)
