"""Tokens that another implementation made: clover-tr34-host, with its published sample keys.

The source stands in the vectors' file. The KDH's certificate there has 2048 bits and, in place of
an extended key usage, its role in the common names: the profile says so.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from terminal.epperrors import EppCode
from terminal.tr34.binding import Anchors, Binding, Krd
from terminal.tr34.certificates import HostProfile
from terminal.tr34.dialects import Dialect
from terminal.tr34.envelope import read_envelope
from terminal.tr34.keytoken import Opened, TwoPass, open_key_token
from terminal.tr34.refusal import Rule, Tr34Refused
from terminal.tr34.signeddata import read_signed

FILE = Path(__file__).parents[1] / "keymanagement" / "vectors" / "tr34-two-pass.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text())
KDH = x509.load_pem_x509_certificate(VECTORS["kdh_certificate"].encode())
NOW = 1_790_000_000
BY_NAME = HostProfile(purpose=None, name_mark="KDH", least_bits=2048)
each = pytest.mark.parametrize("vector", VECTORS["two_pass"], ids=lambda one: one["key"][:8])


def clover_krd() -> Krd:
    """The sample KRD."""
    key = load_pem_private_key(VECTORS["krd_private_key"].encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return Krd(x509.load_pem_x509_certificate(VECTORS["krd_certificate"].encode()), key)


def opened(vector: dict[str, str], *, nonce: str = "", profile: HostProfile = BY_NAME) -> Opened:
    """Open a vector's token on its nonce, or on another."""
    return open_key_token(
        bytes.fromhex(vector["token_der"]),
        clover_krd(),
        Binding(KDH),
        Anchors(authority=None, profile=profile),
        TwoPass(bytes.fromhex(nonce or vector["krd_nonce"])),
        now=NOW,
    )


@each
def test_a_published_token_verifies_and_opens(vector: dict[str, str]) -> None:
    """The key and the header inside are those that its maker put in."""
    read = opened(vector)
    assert read.block.key.hex() == vector["key"]
    assert read.dialect is Dialect.STRICT_CMS
    assert read.block.usage == "K1"
    tdes = len(vector["key"]) == 48
    assert read.block.algorithm == ("TDES" if tdes else "AES-128")
    assert read.block.header == (b"B0000K1TD00N0000" if tdes else b"D0000K1AD00N0000")


@each
def test_the_envelope_holds_the_published_key_block(vector: dict[str, str]) -> None:
    """The bytes inside the envelope are the published ones."""
    krd = clover_krd()
    envelope = read_envelope(read_signed(bytes.fromhex(vector["token_der"])).content)
    assert envelope.open(krd.private_key, krd.name).hex() == vector["key_block_der"]


@each
def test_a_published_token_answers_its_own_nonce_only(vector: dict[str, str]) -> None:
    """On another nonce the same token is randomInvalid."""
    with pytest.raises(Tr34Refused) as caught:
        opened(vector, nonce="00" * 16)
    assert (caught.value.rule, caught.value.code) == (Rule.NONCE, EppCode.RANDOM_INVALID)


@pytest.mark.parametrize(
    "profile",
    [HostProfile(), HostProfile(purpose=None, name_mark="KRD", least_bits=2048)],
    ids=["purpose", "another role's name"],
)
def test_a_kdh_without_the_profiles_mark_is_refused(profile: HostProfile) -> None:
    """By default a KDH needs its own extended key usage; and a name of another role is no KDH's."""
    with pytest.raises(Tr34Refused) as caught:
        opened(VECTORS["two_pass"][0], profile=profile)
    assert caught.value.rule is Rule.HOST_PURPOSE


def test_the_sample_krd_never_passes_for_a_kdh() -> None:
    """The KRD's certificate has a signing purpose and a name: the name is not a KDH's."""
    with pytest.raises(Tr34Refused) as caught:
        BY_NAME.require(clover_krd().certificate, now=NOW)
    assert caught.value.rule is Rule.HOST_PURPOSE
