"""A trust file that is refused says what to mend, and repeats nothing of it."""

import json
from typing import Any

import pytest

from ceremony.trust import Trust, TrustError
from tests.support.identities import signing_key, trust_text

FEED = signing_key("feed")
OFFICERS = tuple(signing_key(f"officer {n}") for n in range(3))
TEXT = trust_text(FEED, OFFICERS)


def refused(**changes: Any) -> str:
    """The message about a trust file with these changes."""
    with pytest.raises(TrustError) as refusal:
        Trust.read(json.dumps({**json.loads(TEXT), **changes}))
    return str(refusal.value)


def test_the_place_of_a_fault_is_named() -> None:
    """Member, place in its list, and member of that: the first fault of several."""
    officers = json.loads(TEXT)["officers"]
    officers[1]["name"] = 7
    assert refused(officers=officers).startswith("trust file: officers.1.name: ")
    assert refused(audience="", lowest_seq=-1).startswith("trust file: audience: ")


def test_a_fault_of_the_whole_is_the_contents() -> None:
    """A rule over several members has no place of its own."""
    assert refused(officer_threshold=4) == (
        "trust file: content: Value error, fewer officers than the threshold"
    )


def test_a_root_that_is_no_certificate_is_named() -> None:
    """PEM of something else, or no PEM at all."""
    for pem in ("nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
        assert refused(epp_roots=[pem]).endswith("an EPP root is not a PEM certificate")


def test_nothing_of_the_file_is_repeated() -> None:
    """The message reaches a log; what was written in the wrong place might be a secret."""
    assert "hunter2" not in refused(audience={"hunter2": "hunter2"})
    assert "hunter2" not in refused(officers=[{"name": ["hunter2"], "key": "hunter2"}])


@pytest.mark.parametrize(
    ("member", "longest"), [("audience", 100), ("rp_id", 253)], ids=["audience", "rp_id"]
)
def test_names_have_a_longest_form(member: str, longest: int) -> None:
    """The deployment's name fits every statement, the relying party is a domain name."""
    for text in ("x", "x" * longest):
        read = Trust.read(json.dumps({**json.loads(TEXT), member: text}))
        assert read.model_dump()[member] == text
    assert f"{member}: " in refused(**{member: ""})
    assert f"{member}: " in refused(**{member: "x" * (longest + 1)})


def test_the_lowest_seq_starts_at_zero() -> None:
    """Absent it is zero, and it is never negative."""
    document = json.loads(TEXT)
    del document["lowest_seq"]
    assert Trust.read(json.dumps(document)).lowest_seq == 0
    assert Trust.read(json.dumps({**document, "lowest_seq": 0})).lowest_seq == 0
    assert "lowest_seq: " in refused(lowest_seq=-1)
