"""The PKCS#11 key manager: TMKs are made, checked and wrapped inside an HSM.

The clear key is never in this process. The host's copy is the key object in the HSM, and what the
journal stores is its name (`keymanagement.pkcs11.tokenkeys`).

It makes `oaep-jws` only. A TR-34 or X9.143 block is composed around the clear key before it is
encrypted, and PKCS#11 has no mechanism that does so inside: C_WrapKey encrypts the key's value and
nothing beside it. A payment HSM has such commands of its own (payShield's, IBM CCA's TR-34 verbs).
One fits behind the same port: `create` and `kcv` as here by its key-generation command,
`make_token` by one command that takes the EPP's certificate, the nonce and the header of
`TokenTerms` and returns the whole signed token, and `formats_for` then names `tr34` first.
"""

import logging
from typing import Final

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pkcs11 import Attribute, Mechanism

from keymanagement import oaepjws
from keymanagement.algorithm import KeyAlgorithm
from keymanagement.kdh import KdhIdentity
from keymanagement.pkcs11.abilities import OAEP, HsmRules, probe
from keymanagement.pkcs11.faults import HsmKeyInvalid, ModuleTooWeak, TerminalUntrusted
from keymanagement.pkcs11.session import HsmConnection
from keymanagement.pkcs11.terminalkeys import session_key, trusted_key
from keymanagement.pkcs11.tokenkeys import TokenKeys, check_value, fingerprint
from keymanagement.port import (
    CreatedKey,
    FormatUnsupported,
    KeyBinding,
    KeyToken,
    KeyUsage,
    TokenTerms,
)
from keymanagement.strength import require_transport
from keymanagement.transport import rsa_transport
from keymanagement.uniqueness import KeyUniqueness

_FORMATS: Final = (oaepjws.FORMAT,)

_log = logging.getLogger("keyfill.hsm")


class HsmKeyManager:
    """Answers `keymanagement.port.KeyManager` with an HSM; safe for threads."""

    __slots__ = ("_abilities", "_adopted", "_connection", "_signer", "_uniqueness", "keys")

    def __init__(
        self,
        connection: HsmConnection,
        signer: KdhIdentity,
        uniqueness: KeyUniqueness,
        *,
        deployment: str,
        rules: HsmRules | None = None,
    ) -> None:
        """Take the token and the KDH, and find out what the module does.

        Args:
            connection: logged in to the token.
            signer: the KDH, whose key should be in the same HSM (`keymanagement.pkcs11.signer`).
            uniqueness: keys what the HSM computes of a new key.
            deployment: the audience of its statements; marks its keys in a shared token.
            rules: how far the module may fall short.

        Raises:
            ModuleTooWeak: if it does less than the rules ask for.
            HsmUnavailable: if it fails.
        """
        self._connection = connection
        self._signer = signer
        self._uniqueness = uniqueness
        self._adopted = 0
        asked = rules or HsmRules()
        # The module is tried under the KDH's own public key, which decrypts nothing.
        certificate = x509.load_der_x509_certificate(signer.certificate_der)
        stranger = certificate.public_key()
        if not isinstance(stranger, RSAPublicKey):
            raise HsmKeyInvalid("the KDH's key is an RSA key")
        self._abilities = connection.run(lambda session: probe(session, stranger, asked))
        self.keys = TokenKeys(deployment, self._abilities.hardening, self._abilities.proofs)

    @property
    def adopted(self) -> int:
        """How many keys this manager took that an earlier attempt had left."""
        return self._adopted

    def formats_for(self, algorithm: KeyAlgorithm) -> tuple[str, ...]:
        """`oaep-jws` if the module has what the algorithm needs; see the port."""
        return _FORMATS if algorithm in self._abilities.algorithms else ()

    def create(
        self, algorithm: KeyAlgorithm, binding: KeyBinding, usage: KeyUsage = "K1"
    ) -> CreatedKey:
        """Make a key in the HSM, or take the one that an interrupted call left there.

        See the port. A call that died after the HSM had made the key, and before the journal had
        its name, left a key of this binding that nobody has ever had: it is this call's. The
        `usage` is in the tokens only: a key in the HSM is one that is wrapped, and no more.

        Raises:
            ModuleTooWeak: if the module does not make keys of this algorithm.
            HsmKeyInvalid: if it makes them other than asked.
            HsmUnavailable: if it fails.
        """
        if algorithm not in self._abilities.algorithms:
            raise ModuleTooWeak(f"the HSM makes no {algorithm} keys")

        def work(session: pkcs11.Session) -> CreatedKey:
            key = self.keys.adopt(session, algorithm, binding)
            if key is None:
                key = self.keys.generate(session, algorithm, binding)
            else:
                self._adopted += 1
                _log.warning(
                    "took the key that an earlier attempt left for %(request_id)s",
                    {"request_id": binding.request_id},
                )
            return CreatedKey(
                self.keys.block(key),
                check_value(key, algorithm),
                self._uniqueness.of(fingerprint(key, algorithm)),
            )

        return self._connection.run(work)

    def make_token(
        self,
        block: bytes,
        algorithm: KeyAlgorithm,
        binding: KeyBinding,
        terms: TokenTerms,
        token_format: str,
    ) -> KeyToken:
        """Have the HSM wrap the key under the EPP's RSA key; see the port.

        Raises:
            TerminalUntrusted: if the HSM's officer has not trusted the EPP's key.
            HsmKeyInvalid: if the key is locked or has not its attributes.
            HsmUnavailable: if the module fails.
        """
        if token_format not in _FORMATS:
            raise FormatUnsupported(
                "PKCS#11 wraps a key and composes no block around it: this key manager makes"
                " oaep-jws only"
            )
        _, transport = rsa_transport(binding, terms)
        require_transport(algorithm, transport)
        encrypted = self._connection.run(
            lambda session: self._wrap(session, block, algorithm, binding, transport)
        )
        return oaepjws.compose(
            terms, algorithm, encrypted, self._signer, self._abilities.key_encryption
        )

    def kcv(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> str:
        """Have the HSM compute the KCV; see the port."""
        return self._connection.run(
            lambda session: check_value(
                self.keys.open(session, block, algorithm, binding), algorithm
            )
        )

    def forget(self, binding: KeyBinding) -> None:
        """Destroy the HSM's keys of this binding; see the port."""

        def work(session: pkcs11.Session) -> None:
            for key in self.keys.of_binding(session, binding):
                key.destroy()

        self._connection.run(work)

    def __repr__(self) -> str:
        """Name the KDH by its thumbprint, nothing else."""
        return f"HsmKeyManager(kdh={self._signer.thumbprint})"

    def _wrap(
        self,
        session: pkcs11.Session,
        block: bytes,
        algorithm: KeyAlgorithm,
        binding: KeyBinding,
        transport: RSAPublicKey,
    ) -> bytes:
        key = self.keys.open(session, block, algorithm, binding)
        if key[Attribute.EXTRACTABLE] is not True:
            raise HsmKeyInvalid("the key is locked: it leaves the HSM no more")
        parameter = OAEP[self._abilities.key_encryption]
        if not self._abilities.trusted_only:
            with session_key(session, transport) as wrapping:
                return bytes(
                    wrapping.wrap_key(
                        key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=parameter
                    )
                )
        wrapping = trusted_key(session, transport)
        try:
            return bytes(
                wrapping.wrap_key(key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=parameter)
            )
        except pkcs11.KeyNotWrappable as error:
            raise TerminalUntrusted("the HSM does not wrap the key under this EPP's key") from error
