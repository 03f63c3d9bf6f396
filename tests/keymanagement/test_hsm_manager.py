"""The PKCS#11 key manager on SoftHSM and on NSS: keys that are made, checked and wrapped inside."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ceremony.encoding import from_b64url
from keymanagement.checkvalue import key_check_value
from keymanagement.oaepjws import KeyEncryption
from keymanagement.pkcs11.abilities import HsmRules
from keymanagement.pkcs11.faults import ModuleTooWeak
from keymanagement.pkcs11.manager import HsmKeyManager
from keymanagement.pkcs11.module import Pkcs11Module
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
    bench_of,
    binding_of,
    opened,
    token_of,
)
from tests.support.keytokens import terms_for

AES = KeyAlgorithm.AES_128


def loaded(bench: HsmBench) -> Pkcs11Module:
    """The module of a bench."""
    return Pkcs11Module.load(str(bench.access.module))


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
