"""The PKCS#11 key manager on SoftHSM and on NSS: keys that are made, checked and wrapped inside."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pkcs11 import Attribute

from ceremony.encoding import from_b64url
from keymanagement.checkvalue import key_check_value
from keymanagement.oaepjws import KeyEncryption
from keymanagement.pkcs11.abilities import OAEP, HsmRules
from keymanagement.pkcs11.faults import (
    HsmKeyInvalid,
    ModuleTooWeak,
    TerminalUntrusted,
)
from keymanagement.pkcs11.manager import HsmKeyManager
from keymanagement.pkcs11.module import Pkcs11Module
from keymanagement.pkcs11.objects import read
from keymanagement.pkcs11.signer import HsmSigningKey
from keymanagement.pkcs11.terminalkeys import session_key
from keymanagement.pkcs11.tokenkeys import lock
from keymanagement.port import (
    FormatUnsupported,
    HostCopyInvalid,
    KeyAlgorithm,
    KeyBinding,
    KeyManager,
    TermsRefused,
    TransportTooWeak,
)
from keymanagement.uniqueness import KeyUniqueness
from tests.support.certificates import sample_epp
from tests.support.hsmbench import (
    BITS,
    DEPLOYMENT,
    KEK,
    HsmBench,
    binding_of,
    opened,
    public_key,
    token_of,
)
from tests.support.keytokens import terms_for

AES = KeyAlgorithm.AES_128
SHA1 = OAEP[KeyEncryption.RSA_OAEP]


def loaded(bench: HsmBench) -> Pkcs11Module:
    """The module of a bench."""
    return Pkcs11Module.load(str(bench.access.module))


@pytest.fixture(scope="module", params=["softhsm", "nss"])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HsmBench]:
    """A token of each module."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        yield getattr(HsmBench, request.param)(folder)


@pytest.fixture(scope="module")
def manager(bench: HsmBench) -> HsmKeyManager:
    """The key manager on it."""
    return bench.manager()


@pytest.fixture
def binding(request: pytest.FixtureRequest) -> KeyBinding:
    """A binding of this test only."""
    return binding_of(abs(hash(request.node.nodeid)) % 10**17)


def held(bench: HsmBench, manager: HsmKeyManager, block: bytes, binding: KeyBinding) -> object:
    """The key object of a host's copy."""
    return bench.connection.run(lambda session: manager.keys.open(session, block, AES, binding))


@pytest.mark.parametrize("algorithm", [one for one in KeyAlgorithm if one in BITS])
def test_the_epp_opens_the_key_that_the_hsm_checked(
    manager: HsmKeyManager, algorithm: KeyAlgorithm, binding: KeyBinding
) -> None:
    """A token holds the HSM's key, its KCV is what the HSM computed, and the uniqueness its own."""
    port: KeyManager = manager
    created = port.create(algorithm, binding)
    epp = sample_epp("strength", BITS[algorithm])
    token = token_of(manager, created, algorithm, binding)
    key = opened(token.value, epp)
    assert len(key) == algorithm.key_bytes
    assert key_check_value(algorithm, key) == created.kcv
    assert manager.kcv(created.block, algorithm, binding) == created.kcv
    assert len(created.uniqueness) == 32
    assert key not in created.block + created.uniqueness + token.value


def test_a_token_says_how_its_key_is_encrypted(
    bench: HsmBench, manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """SoftHSM's tokens say SHA-1 and those of NSS SHA-256, under the KDH's signature."""
    token = token_of(manager, manager.create(AES, binding), AES, binding)
    payload = json.loads(from_b64url(token.value.decode().split(".")[1]))
    expected = KeyEncryption.RSA_OAEP if bench.trusts else KeyEncryption.RSA_OAEP_256
    assert payload["key_encryption"] == expected


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


def test_a_host_copy_opens_for_its_binding_only(
    manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """Moved to another terminal, request or algorithm, or changed anywhere, it is refused."""
    block = manager.create(AES, binding).block
    others = [
        (KeyAlgorithm.AES_256, binding),
        (KeyAlgorithm.TDES, binding),
        (AES, KeyBinding("ATM-0002", binding.request_id)),
        (AES, KeyBinding(binding.terminal_no, "B" * 24)),
    ]
    for algorithm, bound in others:
        with pytest.raises(HostCopyInvalid):
            manager.kcv(block, algorithm, bound)
    for place in range(len(block)):
        changed = bytearray(block)
        changed[place] ^= 1
        with pytest.raises(HostCopyInvalid):
            manager.kcv(bytes(changed), AES, binding)
    for cut in (b"", block[:-1], block + b"\0"):
        with pytest.raises(HostCopyInvalid):
            manager.kcv(cut, AES, binding)


def test_only_oaep_jws_is_made(manager: HsmKeyManager, binding: KeyBinding) -> None:
    """TR-34 is refused by a typed error that says why, and is not among the formats."""
    assert manager.formats_for(AES) == ("oaep-jws",)
    created = manager.create(AES, binding)
    terms = terms_for(
        sample_epp("strength"), terminal_no=binding.terminal_no, request_id=binding.request_id
    )
    for wanted in ("tr34", "gm-envelope"):
        with pytest.raises(FormatUnsupported, match="composes no block"):
            manager.make_token(created.block, AES, binding, terms, wanted)


def test_an_algorithm_that_the_module_lacks_is_refused(
    manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """Neither module knows SM4: no format carries it, and none is made."""
    sm4 = KeyAlgorithm.SM4
    assert manager.formats_for(sm4) == ()
    with pytest.raises(ModuleTooWeak):
        manager.create(sm4, binding)


def test_the_terms_are_checked_before_the_hsm_is_asked(
    manager: HsmKeyManager, binding: KeyBinding
) -> None:
    """Another binding's terms, and a transport too weak, are refused as by the software manager."""
    created = manager.create(KeyAlgorithm.AES_256, binding)
    with pytest.raises(TransportTooWeak):
        token_of(manager, created, KeyAlgorithm.AES_256, binding, sample_epp("strength", 2048))
    terms = terms_for(sample_epp("strength", 4096), terminal_no="ATM-9", request_id="C" * 24)
    with pytest.raises(TermsRefused):
        manager.make_token(created.block, KeyAlgorithm.AES_256, binding, terms, "oaep-jws")


def test_a_module_that_falls_short_is_refused_unless_allowed(
    bench: HsmBench, manager: HsmKeyManager
) -> None:
    """SHA-1 and wrapping under untrusted keys each need a setting of its own."""
    del manager
    with pytest.raises(ModuleTooWeak, match="SHA1" if bench.trusts else "UNTRUSTED"):
        HsmKeyManager(
            bench.connection,
            bench.kdh,
            KeyUniqueness(KEK),
            deployment=DEPLOYMENT,
            rules=HsmRules(),
        )


def test_a_forgotten_key_is_gone(manager: HsmKeyManager, bench: HsmBench) -> None:
    """`forget` destroys the object of its binding and of no other; again, it does nothing."""
    one, other = binding_of(1, "ATM-0001"), binding_of(2, "ATM-0001")
    created, kept = manager.create(AES, one), manager.create(AES, other)
    manager.forget(KeyBinding("ATM-0002", one.request_id))
    assert manager.kcv(created.block, AES, one) == created.kcv
    manager.forget(one)
    manager.forget(one)
    with pytest.raises(HostCopyInvalid):
        manager.kcv(created.block, AES, one)
    assert manager.kcv(kept.block, AES, other) == kept.kcv
    assert bench.objects(one.request_id) == []


def test_two_keys_differ_in_everything(manager: HsmKeyManager) -> None:
    """Forty keys: forty uniqueness values, forty host's copies."""
    made = [manager.create(AES, binding_of(1000 + n)) for n in range(40)]
    assert len({one.uniqueness for one in made}) == 40
    assert len({one.block for one in made}) == 40


def test_eight_threads_make_keys_and_tokens_at_once(
    bench: HsmBench, manager: HsmKeyManager
) -> None:
    """8 threads, 20 keys each: every token opens to its own key, and the module never failed."""
    epp = sample_epp("strength", 2048)
    # Eight threads on one SQLite database mostly wait for each other.
    each = 20 if bench.trusts else 4
    generation = loaded(bench).generation

    def work(thread: int) -> list[bool]:
        right = []
        for n in range(each):
            binding = binding_of(10_000 + 100 * thread + n, f"ATM-{thread}")
            created = manager.create(AES, binding)
            token = token_of(manager, created, AES, binding)
            right.append(key_check_value(AES, opened(token.value, epp)) == created.kcv)
            manager.forget(binding)
        return right

    with ThreadPoolExecutor(8) as threads:
        done = [right for all_right in threads.map(work, range(8)) for right in all_right]
    assert done == [True] * (8 * each)
    assert loaded(bench).generation == generation
