"""Keys at their edges: sizes of RSA, equality, and private keys that are none."""

from typing import Any

import pytest

from ceremony.encoding import b64url
from ceremony.keys import ALGORITHMS, KeyRefused, PublicKey, SigningKey
from tests.support.identities import signing_key


def rsa_of(bits: int, alg: str = "PS256") -> dict[str, Any]:
    """A JWK with a modulus of this many bits; nobody knows its factors."""
    modulus = (1 << bits) - 1
    octets = modulus.to_bytes((bits + 7) // 8, "big")
    return {"kty": "RSA", "n": b64url(octets), "e": "AQAB", "alg": alg}


@pytest.mark.parametrize("alg", ["PS256", "RS256"])
@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_of_2048_to_4096_bits_is_taken(bits: int, alg: str) -> None:
    """Both ends are within."""
    assert PublicKey.from_jwk(rsa_of(bits, alg)).alg == alg


@pytest.mark.parametrize("bits", [512, 1024, 2047, 4097, 8192, 16384])
def test_rsa_of_another_size_is_refused(bits: int) -> None:
    """One bit less is too weak, one more costs a verifier more than the contract says."""
    with pytest.raises(KeyRefused, match="2048 to 4096"):
        PublicKey.from_jwk(rsa_of(bits))


def test_keys_are_equal_by_thumbprint_and_algorithm() -> None:
    """Another key, the same key for another algorithm, and what is no key at all: unequal."""
    key = signing_key("equal").public
    assert key == PublicKey.from_jwk(key.jwk)
    assert key != signing_key("unequal").public
    assert key != key.kid
    assert PublicKey.from_jwk(rsa_of(2048)) != PublicKey.from_jwk(rsa_of(2048, "RS256"))
    assert len({key, PublicKey.from_jwk(key.jwk), signing_key("unequal").public}) == 2
    both = {PublicKey.from_jwk(rsa_of(2048)), PublicKey.from_jwk(rsa_of(2048, "RS256"))}
    assert len({hash(one) for one in both}) == 2


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_key_has_one_fingerprint(alg: str) -> None:
    """SHA-256 over its SubjectPublicKeyInfo: the same from the private and the public JWK."""
    key = signing_key("fingerprint", alg)
    assert key.public.fingerprint == PublicKey.from_jwk(key.public.jwk).fingerprint
    assert not set(key.public.jwk) & {"d", "p", "q", "dp", "dq", "qi"}


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_bent_private_key_is_refused_with_one_error(alg: str) -> None:
    """Members that are missing, null, numbers or lists: `KeyRefused`, whatever the library says."""
    jwk = signing_key("bent private", alg).private_jwk()
    for name in sorted(set(jwk) - {"kid"}):
        values: tuple[Any, ...] = (None, 5, [], "")
        for value in values:
            with pytest.raises(KeyRefused):
                SigningKey.from_jwk({**jwk, name: value})
    with pytest.raises(KeyRefused):
        SigningKey.from_jwk({"kty": jwk["kty"], "crv": jwk.get("crv"), "alg": alg})


def test_a_key_file_without_members_is_refused() -> None:
    """Key type, curve and algorithm agree, and nothing else is there."""
    for jwk in (
        {"kty": "EC", "crv": "P-256", "alg": "ES256"},
        {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA"},
        {"kty": "RSA", "alg": "PS256", "e": "AQAB"},
        {"kty": "RSA", "alg": "PS256", "n": rsa_of(2048)["n"]},
    ):
        with pytest.raises(KeyRefused):
            SigningKey.from_jwk(jwk)


def test_a_new_key_is_on_p_256() -> None:
    """ES256 unless something else is asked for."""
    assert SigningKey.generate().alg == "ES256"


def test_a_key_prints_as_its_thumbprint() -> None:
    """What a log shows of a key finds it in the registry."""
    key = signing_key("printed").public
    assert repr(key) == f"PublicKey(ES256, {key.kid})"


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_the_halves_of_a_private_key_belong_together(alg: str) -> None:
    """A private JWK with another key's public members is refused: it would sign by its kid."""
    own, other = signing_key("own", alg), signing_key("other", alg)
    public = {name: value for name, value in other.public.jwk.items() if name != "alg"}
    with pytest.raises(KeyRefused):
        SigningKey.from_jwk({**own.private_jwk(), **public})


def test_a_malformed_public_half_beside_a_private_one_is_refused() -> None:
    """The library never reads it; the error is the one of the contract."""
    with pytest.raises(KeyRefused):
        SigningKey.from_jwk({**signing_key("own", "EdDSA").private_jwk(), "x": "!"})
