"""The key policy: what the file says is what a model gets, and what cannot be is refused early."""

import pytest

from ceremony.reasons import Reason
from commands.samplepolicy import SAMPLE_POLICY
from keymanagement.kdh import KdhIdentity
from keymanagement.policy import CARRIED, KeyPolicy, KeyRule, ModelUnknown, PolicyInvalid
from keymanagement.port import KeyAlgorithm
from keymanagement.software import SoftwareKeyManager
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.form import ContentCipher, TokenForm
from tests.support.keyfakes import KEK

AES_128, AES_256, TDES = KeyAlgorithm.AES_128, KeyAlgorithm.AES_256, KeyAlgorithm.TDES
TWO_MODELS = """
[default]
algorithm = "TDES"
tr34_dialect = "annexb-errata"
tr34_cipher = "des-ede3-cbc"

[model."Sample 280"]
algorithm = "AES-128"
key_usage = "K0"
formats = ["tr34"]
tr34_dialect = "strict-cms"
tr34_cipher = "aes-128-cbc"

[model.Long]
algorithm = "AES-256"
"""
PLAIN = KeyRule(AES_128, "K1", ("tr34", "oaep-jws"), TokenForm())
OLD_FORM = TokenForm(Dialect.ANNEXB_ERRATA, ContentCipher.TDES)


def read(text: str, algorithm: KeyAlgorithm = AES_128) -> KeyPolicy:
    """A policy file's policy."""
    return KeyPolicy.read(text, algorithm=algorithm)


def test_each_model_gets_what_its_section_says() -> None:
    """A model's section says what differs from the default; the default is everybody else's."""
    policy = read(TWO_MODELS)
    assert policy.rule_for("Sample 280") == KeyRule(AES_128, "K0", ("tr34",), TokenForm())
    assert policy.rule_for("Long") == KeyRule(AES_256, "K1", ("oaep-jws",), OLD_FORM)
    for other in ("Other", "sample 280", "Sample 280 ", "default", ""):
        assert policy.rule_for(other) == KeyRule(TDES, "K1", ("tr34", "oaep-jws"), OLD_FORM)


def test_what_is_left_out_is_strict_and_for_key_blocks() -> None:
    """An empty default section means AES-128 as the setting says, K1, strict CMS, every format."""
    assert read("[default]").rule_for("any") == PLAIN


@pytest.mark.parametrize("algorithm", [AES_256, TDES])
def test_the_setting_is_the_default_sections_algorithm_only(algorithm: KeyAlgorithm) -> None:
    """`KEYFILL_KEY_ALGORITHM` counts where the default section says none, and nowhere else."""
    assert read("[default]", algorithm).rule_for("any").algorithm is algorithm
    said = read('[default]\nalgorithm = "AES-192"\n[model.A]\nkey_usage = "K0"', algorithm)
    assert {said.rule_for(one).algorithm for one in ("A", "B")} == {KeyAlgorithm.AES_192}
    assert KeyPolicy.for_all(algorithm).rule_for("any").algorithm is algorithm


def test_a_model_that_nobody_named_is_refused() -> None:
    """Without a default, an unknown model is a business outcome with a reason, not a fault."""
    policy = read('[model.A]\nalgorithm = "TDES"')
    assert policy.rule_for("A").algorithm is TDES
    with pytest.raises(ModelUnknown) as refused:
        policy.rule_for("B")
    assert refused.value.reason is Reason.MODEL_UNKNOWN


INVALID = [
    ("", "", ""),
    ("[", "", ""),
    ('colour = "red"', "colour", ""),
    ("default = 3", "default", ""),
    ("model = 3", "model", ""),
    ('[default]\ncolour = "red"', "default", "colour"),
    ("[default.deeper]", "default", "deeper"),
    ('[default]\nalgorithm = "DES"', "default", "algorithm"),
    ('[default]\nalgorithm = "aes-128"', "default", "algorithm"),
    ('[default]\nkey_usage = "P0"', "default", "key_usage"),
    ('[default]\ntr34_dialect = "aws-2012"', "default", "tr34_dialect"),
    ('[default]\ntr34_cipher = "des-cbc"', "default", "tr34_cipher"),
    ('[default]\ntr34_cipher = "des-ede3-cbc"', "default", "tr34_cipher"),
    ('[default]\nformats = ["tr31"]', "default", "formats"),
    ("[default]\nformats = []", "default", "formats"),
    ('[default]\nformats = "tr34"', "default", "formats"),
    ('[default]\nformats = ["tr34", "tr34"]', "default", "formats"),
    ('[default]\nalgorithm = "AES-256"\nformats = ["oaep-jws", "tr34"]', "default", "formats"),
    ('[default]\n[model.A]\nalgorithm = "RC4"', 'model."A"', "algorithm"),
    ("[model.A]\n[default]\nx = 1", "default", "x"),
    ('[model."A B"]', 'model."A B"', "algorithm"),
    ('[default]\nformats = ["tr34"]\n[model.A]\nalgorithm = "AES-192"', 'model."A"', "formats"),
    (TWO_MODELS + '[model.B]\nalgorithm = "AES-128"', 'model."B"', "tr34_cipher"),
]


@pytest.mark.parametrize(("text", "section", "field"), INVALID)
def test_what_cannot_be_is_refused_by_section_and_field(
    text: str, section: str, field: str
) -> None:
    """A policy that nobody could keep is refused when it is read, and says where to mend it."""
    with pytest.raises(PolicyInvalid) as refused:
        read(text)
    assert (refused.value.section, refused.value.field) == (section, field)
    assert refused.value.reason is None
    for part in (section, field):
        assert part in str(refused.value)


def test_a_key_released_before_is_wrapped_as_what_it_is() -> None:
    """Under a changed policy the formats are those that carry the key there is."""
    rule = read(TWO_MODELS).rule_for("any")
    assert rule.formats_for(TDES) == ("tr34", "oaep-jws")
    assert rule.formats_for(AES_128) == ("oaep-jws",), "3DES carries no AES key"
    assert PLAIN.formats_for(AES_256) == ("oaep-jws",)


def test_the_key_manager_in_use_must_make_something_under_each_rule() -> None:
    """A section under which no terminal could get a key stops the start, by its name."""
    policy = read('[default]\n[model.A]\nformats = ["tr34"]')
    policy.require_made(lambda _: ("tr34",))
    with pytest.raises(PolicyInvalid) as refused:
        policy.require_made(lambda _: ("oaep-jws",))
    assert (refused.value.section, refused.value.field) == ('model."A"', "formats")
    with pytest.raises(PolicyInvalid) as refused:
        policy.require_made(lambda _: ())
    assert refused.value.section == "default"


def test_the_table_of_formats_is_the_software_managers(kdh: KdhIdentity) -> None:
    """What the policy takes for makeable is what the software key manager makes, SM2 at hand."""
    made = SoftwareKeyManager(KEK, kdh).formats_for
    for algorithm in KeyAlgorithm:
        carrying = {one for one, carried in CARRIED.items() if algorithm in carried}
        assert carrying - {"gm-envelope"} == set(made(algorithm)), algorithm
        assert carrying, algorithm


def test_the_sample_policy_can_be_used_as_it_is_and_uncommented() -> None:
    """The file of `keyfill init` changes nothing, and each line of it may be switched on."""
    assert read(SAMPLE_POLICY).rule_for("any") == KeyPolicy.for_all().rule_for("any")
    lines = (line.removeprefix("# ") for line in SAMPLE_POLICY.splitlines())
    said = [line for line in lines if line.startswith("[") or " = " in line]
    assert len(said) == 10
    policy = read("\n".join(said))
    assert policy.rule_for("any") == PLAIN
    assert policy.rule_for("Older 100") == KeyRule(TDES, "K1", ("tr34", "oaep-jws"), OLD_FORM)
