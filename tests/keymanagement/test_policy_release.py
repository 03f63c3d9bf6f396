"""What the key policy says of a terminal's model is what its key and its token are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from ceremony.reasons import Reason
from keymanagement.policy import KeyPolicy, KeyRule
from keymanagement.port import KeyAlgorithm
from keymanagement.tr34.dialect import Dialect as Written
from keymanagement.tr34.form import ContentCipher, TokenForm
from terminal.epp import Epp
from terminal.epperrors import EppCode, EppError
from terminal.eppstore import EppStore
from terminal.tr34.binding import Anchors, Binding, Krd
from terminal.tr34.dialects import Dialect
from terminal.tr34.keytoken import Opened, Policy, TwoPass, open_key_token
from tests.support.eppbench import new_memory
from tests.support.keybench import Case, KeyBench, require_refused
from tests.support.keytokens import sample_kdh

MODEL = "Sample 280"
AES_128, TDES = KeyAlgorithm.AES_128, KeyAlgorithm.TDES
OLD = TokenForm(Written.ANNEXB_ERRATA, ContentCipher.TDES)
TR34 = {"formats": ("tr34",)}
BOTH = {"formats": ("tr34", "oaep-jws")}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


def opened(bench: KeyBench, case: Case, usage: str) -> Opened:
    """The last published token as a KRD opens it that takes keys of one usage."""
    epp = bench.world.terminal.epp
    return open_key_token(
        bench.archive.tokens[-1].value,
        Krd(x509.load_der_x509_certificate(epp.certificate), epp.private_key),
        Binding(x509.load_der_x509_certificate(sample_kdh().certificate_der)),
        Anchors(authority=None),
        TwoPass(bytes.fromhex(case.confirmation.payload.krd_nonce)),
        now=bench.world.now,
        policy=Policy(usages=frozenset({usage})),
    )


def test_a_model_gets_its_algorithm_usage_dialect_and_cipher(bench: KeyBench) -> None:
    """The default's rule is another: it is the model in the terminal's entry that counts."""
    rule = KeyRule(TDES, "K0", ("tr34",), OLD)
    bench.policy = KeyPolicy(KeyRule(), {MODEL: rule})
    case = bench.released(request=BOTH)
    read = opened(bench, case, "K0")
    assert (read.dialect, read.block.usage) == (Dialect.ANNEXB_ERRATA, "K0")
    assert (read.block.algorithm, bench.archive.tokens[-1].format) == ("TDES", "tr34")
    held = bench.journal.key_of(case.request_id)
    assert held is not None and held.algorithm is TDES


def test_another_model_gets_the_default(bench: KeyBench) -> None:
    """A section of another model, named almost alike, says nothing of this one."""
    strange = KeyRule(TDES, "K0", ("oaep-jws",), OLD)
    bench.policy = KeyPolicy(KeyRule(), {MODEL.lower(): strange})
    read = opened(bench, bench.released(request=TR34), "K1")
    assert (read.dialect, read.block.algorithm) == (Dialect.STRICT_CMS, "AES-128")


def test_a_model_without_a_rule_gets_no_key(bench: KeyBench) -> None:
    """It is refused with a reason, and nothing is made."""
    bench.policy = KeyPolicy(None, {"Other": KeyRule()})
    case = bench.authorised()
    require_refused(bench, bench.command(case), Reason.MODEL_UNKNOWN)


def test_a_format_that_only_one_side_allows_is_refused(bench: KeyBench) -> None:
    """The policy allows `oaep-jws` only, the terminal takes `tr34` only: there is no key."""
    bench.policy = KeyPolicy(KeyRule(formats=("oaep-jws",)), {})
    case = bench.authorised(request=TR34)
    require_refused(bench, bench.command(case), Reason.FORMAT_UNSUPPORTED)


def test_the_request_says_which_allowed_format_it_prefers(bench: KeyBench) -> None:
    """Of two formats that policy and key manager allow, the terminal's first is made."""
    for formats in (("tr34", "oaep-jws"), ("oaep-jws", "tr34")):
        bench.released(request={"formats": formats})
        assert bench.archive.tokens[-1].format == formats[0]


def test_a_key_is_wrapped_again_as_what_it_is(bench: KeyBench) -> None:
    """A policy that was changed meanwhile makes no other key of a released one."""
    case = bench.released(request=BOTH)
    bench.policy = KeyPolicy(KeyRule(TDES, "K1", ("tr34", "oaep-jws"), OLD), {})
    again = bench.confirmed_anew(case)
    outcome = bench.release(bench.command(again))
    assert outcome.refused is None
    token = bench.archive.tokens[-1]
    assert token.format == "oaep-jws", "a 3DES envelope carries no AES key"
    held = bench.journal.key_of(case.request_id)
    assert held is not None and held.algorithm is AES_128
    assert len(bench.clear_key(token.token_digest)) == 16


def test_the_reference_epp_takes_no_key_without_key_blocks(bench: KeyBench, tmp_path: Path) -> None:
    """A K0 token, which a site may allow, is for other EPPs: this one has key blocks."""
    kdh = sample_kdh()
    memory = new_memory(
        bench.world.terminal.epp,
        kdh_thumbprint=kdh.thumbprint,
        kdh_certificate=kdh.certificate_der,
    )
    epp = Epp(EppStore.create(tmp_path / "epp", memory), clock=lambda: bench.world.now)
    nonce = epp.start_key_exchange().hex()
    bench.policy = KeyPolicy(KeyRule(key_usage="K0"), {})
    case = bench.released(request=TR34, confirmation={"krd_nonce": nonce})
    with pytest.raises(EppError) as refused:
        epp.import_key_token(
            bench.archive.tokens[-1].value, request_id=case.request_id, token_format="tr34"
        )
    assert refused.value.code is EppCode.USE_VIOLATION
