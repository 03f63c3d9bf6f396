"""Terminal master keys as objects of an HSM: made in it, checked by it, wrapped by it.

The host's copy of such a key is the object itself, and what the journal stores is its name: the
label is the request's id, and the CKA_ID names deployment, key and binding:

    mark (8: SHA-256 of the deployment) | serial (16, random) | bound (16: SHA-256 of serial,
    terminal, request and algorithm)

So a name moved to another terminal's row finds nothing, and a key that a crash left without a row
can be told from another deployment's and given to its request again (docs/adr/0016).
"""

import os
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag

from keymanagement.algorithm import KeyAlgorithm
from keymanagement.checkvalue import KCV_BYTES
from keymanagement.pkcs11.faults import HsmKeyInvalid
from keymanagement.pkcs11.objects import (
    SECRET,
    Attributes,
    HsmKey,
    differing,
    find,
    read,
    require,
    require_login,
)
from keymanagement.port import HostCopyInvalid, KeyBinding

_MAGIC: Final = b"KFHH\x01"
_MARK_BYTES: Final = 8
_SERIAL_BYTES: Final = 16
_BOUND_BYTES: Final = 16
_NAME_BYTES: Final = _MARK_BYTES + _SERIAL_BYTES + _BOUND_BYTES
_UNIQUE: Final = (b"keyfill/unique/1", b"keyfill/unique/2")
"""Two blocks: what a key makes of them stands for all of it (`TokenKeys.fingerprint`)."""


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The TMKs of one deployment in one token.

    `deployment` is the audience of its statements. `hardening` is what new keys get beyond the rule
    because the module keeps it, `proofs` what it says by itself of keys made inside
    (`keymanagement.pkcs11.abilities`).
    """

    deployment: str
    hardening: Attributes
    proofs: Attributes

    def generate(
        self, session: pkcs11.Session, algorithm: KeyAlgorithm, binding: KeyBinding
    ) -> HsmKey:
        """Make a key inside the HSM and check what it made.

        Raises:
            HsmKeyInvalid: if the key has not exactly the attributes asked for; it is destroyed.
        """
        serial = os.urandom(_SERIAL_BYTES)
        is_tdes = algorithm is KeyAlgorithm.TDES
        made: Any = session.generate_key(
            KeyType.DES3 if is_tdes else KeyType.AES,
            None if is_tdes else 8 * algorithm.key_bytes,
            label=binding.request_id,
            id=self._identifier(serial, algorithm, binding),
            store=True,
            capabilities=MechanismFlag.ENCRYPT if is_tdes else MechanismFlag.SIGN,
            template={
                Attribute.PRIVATE: True,
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: True,
                Attribute.MODIFIABLE: True,
                **self.hardening,
            },
        )
        key: HsmKey = made
        try:
            self._require(key, algorithm, extractable=True)
        except HsmKeyInvalid:
            key.destroy()
            raise
        return key

    def adopt(
        self, session: pkcs11.Session, algorithm: KeyAlgorithm, binding: KeyBinding
    ) -> HsmKey | None:
        """Find the key that an earlier attempt left for this binding, if it is as it must be.

        One that is not never became anybody's: it is destroyed. Of several, which two key workers
        made at once, the one of the lowest name, so that both take the same.

        Raises:
            HsmKeyInvalid: if one was made unextractable (`lock`): it was a terminal's key, and the
                journal that does not know it a restored old one. Nothing is destroyed then.
        """
        kept, wrong = [], []
        for key in find(session, {**SECRET, Attribute.LABEL: binding.request_id}):
            name = key[Attribute.ID]
            serial = name[_MARK_BYTES:-_BOUND_BYTES]
            if name != self._identifier(serial, algorithm, binding):
                continue
            found = differing(key, self._wanted(algorithm, extractable=True))
            if found == [Attribute.EXTRACTABLE.name]:
                raise HsmKeyInvalid(
                    "a locked key of this request is in the HSM, not in the journal"
                )
            if found:
                wrong.append(key)
            else:
                kept.append((name, key))
        for key in wrong:
            key.destroy()
        return min(kept, key=lambda one: bytes(one[0]))[1] if kept else None

    def block(self, key: HsmKey) -> bytes:
        """The host's copy of a key: its name, which opens nothing outside this HSM."""
        return _MAGIC + bytes(key[Attribute.ID])

    def open(
        self,
        session: pkcs11.Session,
        block: bytes,
        algorithm: KeyAlgorithm,
        binding: KeyBinding,
    ) -> HsmKey:
        """Find the key of a host's copy.

        Raises:
            HostCopyInvalid: if the HSM has none of this name, binding and algorithm.
            HsmKeyInvalid: if the key's attributes are not as they were when it was made, but for
                `lock`.
        """
        name = block[len(_MAGIC) :]
        serial = name[_MARK_BYTES:-_BOUND_BYTES]
        expected = self._identifier(serial, algorithm, binding)
        if not block.startswith(_MAGIC) or len(name) != _NAME_BYTES or name != expected:
            raise HostCopyInvalid("not the host's copy of a key of this binding in an HSM")
        wanted = {**SECRET, Attribute.LABEL: binding.request_id, Attribute.ID: name}
        found = find(session, wanted)
        if len(found) != 1:
            require_login(session)
            raise HostCopyInvalid(f"the HSM has {len(found)} keys of this name, not one")
        self._require(found[0], algorithm, extractable=bool(found[0][Attribute.EXTRACTABLE]))
        return found[0]

    def of_binding(self, session: pkcs11.Session, binding: KeyBinding) -> list[Any]:
        """All keys of one request and terminal, of whatever algorithm."""
        require_login(session)
        return [
            key
            for key in find(session, {**SECRET, Attribute.LABEL: binding.request_id})
            if self.is_of(key, binding)
        ]

    def all_of(self, session: pkcs11.Session) -> list[Any]:
        """All TMKs of this deployment in the token."""
        require_login(session)
        return [key for key in find(session, SECRET) if self._is_ours(read(key, Attribute.ID))]

    def named(self, session: pkcs11.Session, name: bytes) -> list[Any]:
        """The keys of one CKA_ID, which `all_of` gave; none if it is gone by now."""
        found = find(session, {**SECRET, Attribute.ID: name})
        if not found:
            require_login(session)
        return found

    def _is_ours(self, name: object) -> bool:
        return (
            isinstance(name, bytes)
            and len(name) == _NAME_BYTES
            and name.startswith(_mark(self.deployment))
        )

    def is_of(self, key: HsmKey, binding: KeyBinding) -> bool:
        """Whether a key was made for this binding, of whatever algorithm."""
        name = key[Attribute.ID]
        serial = name[_MARK_BYTES:-_BOUND_BYTES]
        return any(name == self._identifier(serial, one, binding) for one in KeyAlgorithm)

    def _identifier(self, serial: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> bytes:
        parts = (
            serial,
            binding.terminal_no.encode(),
            binding.request_id.encode(),
            algorithm.encode(),
        )
        bound = sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
        return _mark(self.deployment) + serial + bound[:_BOUND_BYTES]

    def _require(self, key: HsmKey, algorithm: KeyAlgorithm, *, extractable: bool) -> None:
        require(key, self._wanted(algorithm, extractable=extractable), "a key")

    def _wanted(self, algorithm: KeyAlgorithm, *, extractable: bool) -> Attributes:
        is_tdes = algorithm is KeyAlgorithm.TDES
        wanted: dict[Attribute, Any] = {
            Attribute.KEY_TYPE: KeyType.DES3 if is_tdes else KeyType.AES,
            Attribute.TOKEN: True,
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            # Never was it readable, nor brought in from outside.
            Attribute.ALWAYS_SENSITIVE: True,
            Attribute.EXTRACTABLE: extractable,
            Attribute.NEVER_EXTRACTABLE: False,
            Attribute.ENCRYPT: is_tdes,
            Attribute.SIGN: not is_tdes,
            **dict.fromkeys(_NEVER, False),
            **self.hardening,
            **self.proofs,
        }
        if not is_tdes:
            wanted[Attribute.VALUE_LEN] = algorithm.key_bytes
        return wanted


_NEVER: Final = (
    Attribute.DECRYPT,
    Attribute.VERIFY,
    Attribute.WRAP,
    Attribute.UNWRAP,
    Attribute.DERIVE,
)


def check_value(key: HsmKey, algorithm: KeyAlgorithm) -> str:
    """The KCV, computed inside the HSM: 6 lower-case hex digits (`keymanagement.checkvalue`)."""
    if algorithm is KeyAlgorithm.TDES:
        block = key.encrypt(bytes(8), mechanism=Mechanism.DES3_ECB)
    else:
        block = key.sign(bytes(16), mechanism=Mechanism.AES_CMAC)
    return bytes(block[:KCV_BYTES]).hex()


def fingerprint(key: HsmKey, algorithm: KeyAlgorithm) -> bytes:
    """32 bytes that a key makes of two fixed blocks, for `keymanagement.uniqueness` to key.

    The HSM shows no digest of a key, so the key itself has to act: two AES-CMACs, or four blocks
    of TDES. Keys that differ agree in it no more often than in a digest of that length.
    """
    if algorithm is KeyAlgorithm.TDES:
        return bytes(key.encrypt(b"".join(_UNIQUE), mechanism=Mechanism.DES3_ECB))
    return b"".join(bytes(key.sign(one, mechanism=Mechanism.AES_CMAC)) for one in _UNIQUE)


def lock(key: HsmKey) -> bool:
    """Let a key never leave the HSM again, in no form; tells whether it could until now."""
    if read(key, Attribute.EXTRACTABLE) is False:
        return False
    key[Attribute.EXTRACTABLE] = False
    return True


def _mark(deployment: str) -> bytes:
    return sha256(b"keyfill/tmk/1|" + deployment.encode()).digest()[:_MARK_BYTES]
