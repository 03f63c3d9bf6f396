"""Keys of the PKCS#11 key manager, on SoftHSM and on NSS: what nobody can do with one."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pkcs11 import Attribute

from keymanagement.oaepjws import KeyEncryption
from keymanagement.pkcs11.abilities import OAEP
from keymanagement.pkcs11.faults import HsmKeyInvalid, TerminalUntrusted
from keymanagement.pkcs11.manager import HsmKeyManager
from keymanagement.pkcs11.objects import read
from keymanagement.pkcs11.signer import HsmSigningKey
from keymanagement.pkcs11.terminalkeys import session_key
from keymanagement.pkcs11.tokenkeys import lock
from keymanagement.port import KeyAlgorithm, KeyBinding
from tests.support.certificates import sample_epp
from tests.support.hsmbench import HsmBench, bench_of, binding_of, opened, public_key, token_of

AES = KeyAlgorithm.AES_128
SHA1 = OAEP[KeyEncryption.RSA_OAEP]


@pytest.fixture(scope="module", params=["softhsm", "nss"])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HsmBench]:
    """A token of each module."""
    with bench_of(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(scope="module")
def manager(bench: HsmBench) -> HsmKeyManager:
    """The key manager on it."""
    return bench.manager()


@pytest.fixture
def binding(request: pytest.FixtureRequest) -> KeyBinding:
    """A binding of this test only."""
    return binding_of(abs(hash(request.node.nodeid)) % 10**17)


def test_a_key_has_exactly_the_attributes_asked_for(
    bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """Sensitive from the first, for its one mechanism only, labelled with its request."""
    block = manager.create(AES, binding).block

    def attributes(session: pkcs11.Session) -> dict[str, object]:
        key = manager.keys.open(session, block, AES, binding)
        names = (
            "TOKEN PRIVATE SENSITIVE ALWAYS_SENSITIVE EXTRACTABLE NEVER_EXTRACTABLE SIGN VERIFY"
            " ENCRYPT DECRYPT WRAP UNWRAP DERIVE LABEL VALUE_LEN WRAP_WITH_TRUSTED COPYABLE LOCAL"
        )
        return {name: read(key, Attribute[name]) for name in names.split()}

    found = bench.connection.run(attributes)
    yes = {"TOKEN", "PRIVATE", "SENSITIVE", "ALWAYS_SENSITIVE", "EXTRACTABLE", "SIGN"}
    hardened: dict[str, object] = {"WRAP_WITH_TRUSTED": True, "COPYABLE": False, "LOCAL": True}
    if not bench.trusts:
        hardened = {name: found[name] for name in hardened}
    rest = {"LABEL": binding.request_id, "VALUE_LEN": 16, **hardened}
    expected: dict[str, object] = {name: name in yes for name in found}
    assert found == expected | rest


def test_a_key_cannot_be_read(bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding) -> None:
    """Asked for CKA_VALUE, the HSM refuses; and no later change makes the key less sensitive."""
    block = manager.create(AES, binding).block

    def look(session: pkcs11.Session) -> None:
        key = manager.keys.open(session, block, AES, binding)
        with pytest.raises(pkcs11.AttributeSensitive):
            key[Attribute.VALUE]
        with pytest.raises((pkcs11.AttributeReadOnly, pkcs11.PKCS11Error)):
            key[Attribute.SENSITIVE] = False
        assert key[Attribute.SENSITIVE] is True

    bench.connection.run(look)


def test_a_key_cannot_be_wrapped_under_a_stranger(
    bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """An EPP that the HSM's officer has not trusted gets no key, not even by the raw module.

    NSS does not heed the attribute, which is why it takes a setting to use it: ADR 16.
    """
    created = manager.create(AES, binding)
    stranger = sample_epp("stranger")
    if not bench.trusts:
        assert opened(token_of(manager, created, AES, binding, stranger).value, stranger)
        return
    with pytest.raises(TerminalUntrusted):
        token_of(manager, created, AES, binding, stranger)

    def wrap(session: pkcs11.Session) -> None:
        key = manager.keys.open(session, created.block, AES, binding)
        with session_key(session, public_key(stranger)) as wrapping:
            with pytest.raises(pkcs11.KeyNotWrappable):
                wrapping.wrap_key(
                    key, mechanism=pkcs11.Mechanism.RSA_PKCS_OAEP, mechanism_param=SHA1
                )
            with pytest.raises(pkcs11.PKCS11Error):
                wrapping[Attribute.TRUSTED] = True

    bench.connection.run(wrap)


def test_the_user_cannot_trust_a_key(bench: HsmBench, manager: HsmKeyManager) -> None:
    """Whoever has the key worker's PIN stores no key as trusted: only the HSM's officer does.

    NSS lets the user do it: one more reason for the setting that it takes.
    """
    del manager
    refused = pytest.raises(pkcs11.PKCS11Error) if bench.trusts else nullcontext()
    key = public_key(sample_epp("stranger"))

    def store(session: pkcs11.Session) -> None:
        numbers = key.public_numbers()
        with refused:
            session.create_object(
                {
                    Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY,
                    Attribute.KEY_TYPE: pkcs11.KeyType.RSA,
                    Attribute.MODULUS: numbers.n.to_bytes(256, "big"),
                    Attribute.PUBLIC_EXPONENT: numbers.e.to_bytes(3, "big"),
                    Attribute.TOKEN: False,
                    Attribute.TRUSTED: True,
                }
            )

    bench.connection.run(store)


def test_a_key_that_came_out_otherwise_is_destroyed(
    bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """What the HSM made is read back: one attribute wrong, and there is no key, and it is named."""
    expecting = replace(manager.keys, proofs={Attribute.NEVER_EXTRACTABLE: True})
    with pytest.raises(HsmKeyInvalid, match="NEVER_EXTRACTABLE"):
        bench.connection.run(lambda session: expecting.generate(session, AES, binding))
    assert bench.objects(binding.request_id) == []
    block = manager.create(AES, binding).block
    with pytest.raises(HsmKeyInvalid, match="NEVER_EXTRACTABLE"):
        bench.connection.run(lambda session: expecting.open(session, block, AES, binding))


def test_a_kdh_key_that_does_more_than_sign_is_refused(bench: HsmBench) -> None:
    """A key that also decrypts could open what only an EPP may: it signs no tokens."""

    def make(session: pkcs11.Session) -> rsa.RSAPublicKey:
        public, _ = session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="double")
        modulus = int.from_bytes(public[Attribute.MODULUS], "big")
        return rsa.RSAPublicNumbers(65537, modulus).public_key()

    double = bench.connection.run(make)
    with pytest.raises(HsmKeyInvalid, match="DECRYPT"):
        HsmSigningKey(bench.connection, double)
    with pytest.raises(HsmKeyInvalid, match="0 keys"):
        HsmSigningKey(bench.connection, public_key(sample_epp("stranger")))


def test_an_untrusted_copy_of_a_trusted_key_denies_nobody(
    bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """The user stores the EPP's key once more, untrusted: the one that the officer trusted counts.

    Stored, it cannot be told by its name; and the HSM would refuse to wrap under it.
    """
    epp = sample_epp("strength", 2048)

    def store(session: pkcs11.Session) -> None:
        with session_key(session, public_key(epp)) as held:
            held.copy({Attribute.TOKEN: True})  # type: ignore[attr-defined]

    for _ in range(3):
        bench.connection.run(store)
    created = manager.create(AES, binding)
    assert opened(token_of(manager, created, AES, binding).value, epp)


def test_a_locked_key_leaves_no_more(
    bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """Once locked, a key has its KCV but no further token; the lock does not come off."""
    created = manager.create(AES, binding)

    def shut(session: pkcs11.Session) -> tuple[bool, bool]:
        key = manager.keys.open(session, created.block, AES, binding)
        return lock(key), lock(key)

    assert bench.connection.run(shut) == (True, False)
    with pytest.raises(HsmKeyInvalid):
        token_of(manager, created, AES, binding)
    assert manager.kcv(created.block, AES, binding) == created.kcv

    def unlock(session: pkcs11.Session) -> None:
        manager.keys.open(session, created.block, AES, binding)[Attribute.EXTRACTABLE] = True

    with pytest.raises(Exception, match="refused"):
        bench.connection.run(unlock)


def test_a_locked_key_is_neither_taken_nor_destroyed(
    bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """Under a restored old journal it is a terminal's: nothing of the request is touched."""
    created = manager.create(AES, binding)
    wrong = replace(manager.keys, proofs={})

    def shut(session: pkcs11.Session) -> None:
        lock(manager.keys.open(session, created.block, AES, binding))
        wrong.generate(session, AES, binding)[Attribute.SIGN] = False

    bench.connection.run(shut)
    before = sorted(bench.objects(binding.request_id))
    assert len(before) == 2
    with pytest.raises(HsmKeyInvalid, match="locked"):
        manager.create(AES, binding)
    assert sorted(bench.objects(binding.request_id)) == before
    assert manager.kcv(created.block, AES, binding) == created.kcv
