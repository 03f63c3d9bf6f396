"""Keys carry their one algorithm, have one spelling, and never print themselves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.encoding import b64url, from_b64url
from ceremony.keys import ALGORITHMS, KeyRefused, PublicKey, SigningKey
from tests.support.certificates import rsa_key
from tests.support.identities import signing_key

# RFC 7638 section 3.1, with the algorithm that this project would enrol it for.
RFC_7638_KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
    "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2"
    "QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6W"
    "eZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "PS256",
}
# RFC 8037 appendix A.2 and A.3.
RFC_8037_KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "alg": "EdDSA",
}


def test_the_key_id_is_the_published_thumbprint() -> None:
    """RFC 7638 section 3.1 and RFC 8037 appendix A.3 give these thumbprints."""
    rsa = PublicKey.from_jwk(RFC_7638_KEY)
    assert rsa.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    okp = PublicKey.from_jwk(RFC_8037_KEY)
    assert okp.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_key_survives_its_jwk(alg: str) -> None:
    """Private and public JWK read back as the same key with the same algorithm."""
    key = signing_key("round trip", alg)
    again = SigningKey.from_jwk(key.private_jwk())
    assert (again.kid, again.alg, again.public) == (key.kid, alg, key.public)
    assert PublicKey.from_jwk(key.public.jwk) == key.public
    assert hash(PublicKey.from_jwk(key.public.jwk)) == hash(key.public)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_no_key_prints_its_private_part(alg: str) -> None:
    """`repr` and `str` name the thumbprint only."""
    key = signing_key("silent", alg)
    assert repr(key) == f"SigningKey({alg}, {key.kid})"
    for name in ("d", "p", "q", "dp", "dq", "qi"):
        assert str(key.private_jwk().get(name, "absent")) not in f"{key!r} {key}"


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_private_key_is_not_enrolled(alg: str) -> None:
    """A JWK with private members is refused where a public one belongs."""
    with pytest.raises(KeyRefused):
        PublicKey.from_jwk(signing_key("private", alg).private_jwk())


def test_a_public_key_signs_nothing() -> None:
    """A signing key needs its private half."""
    with pytest.raises(KeyRefused):
        SigningKey.from_jwk(signing_key("halved").public.jwk)


def _ec(**changes: Any) -> dict[str, Any]:
    return {**signing_key("bent").public.jwk, **changes}


def _rsa(**changes: Any) -> dict[str, Any]:
    return {**RFC_7638_KEY, **changes}


def _short_rsa(bits: int) -> dict[str, Any]:
    numbers = rsa_key("size", bits).public_key().public_numbers()
    return {
        "kty": "RSA",
        "n": b64url(numbers.n.to_bytes((bits + 7) // 8, "big")),
        "e": "AQAB",
        "alg": "PS256",
    }


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA", "alg": "HS256"},
        _ec(alg="none"),
        _ec(alg="HS256"),
        _ec(alg="ES384"),
        _ec(alg="EdDSA"),
        _ec(alg="PS256"),
        _ec(alg=None),
        _ec(crv="P-384"),
        _ec(crv="secp256k1"),
        _ec(kty="RSA"),
        _ec(kid="chosen"),
        _ec(use="sig"),
        _ec(x5c=["AAAA"]),
        _ec(key_ops=["verify"]),
        _ec(y=b64url(bytes(32))),
        _rsa(alg="ES256"),
        _rsa(e="AQ"),
        _rsa(e="Ag"),
        {**RFC_8037_KEY, "crv": "X25519"},
        {**RFC_8037_KEY, "crv": "Ed448"},
    ],
)
def test_a_foreign_key_is_refused(jwk: dict[str, Any]) -> None:
    """Another type, curve, algorithm, a foreign member, or a point off the curve: refused."""
    with pytest.raises(KeyRefused):
        PublicKey.from_jwk(jwk)


def test_rsa_keys_have_2048_to_4096_bits() -> None:
    """Weaker keys are refused, and so are those that cost a verifier too much."""
    for bits in (1024, 2040, 4104):
        with pytest.raises(KeyRefused):
            PublicKey.from_jwk(_short_rsa(bits))
    assert PublicKey.from_jwk(_short_rsa(2048)).alg == "PS256"


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_one_key_has_one_spelling(alg: str) -> None:
    """A leading zero, padding or unused bits would make a second key id of the same key.

    Two thumbprints of one key would pass for two credentials under dual control.
    """
    jwk = signing_key("spelt", alg).public.jwk
    for name in {"x", "y", "n", "e"} & set(jwk):
        octets = from_b64url(jwk[name])
        for other in (b64url(b"\0" + octets), jwk[name] + "=", jwk[name] + "\n", ""):
            with pytest.raises(KeyRefused):
                PublicKey.from_jwk({**jwk, name: other})


JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=50) | st.lists(st.text())


@given(st.sampled_from(sorted(ALGORITHMS)), st.data())
def test_a_malformed_key_is_refused_with_one_error(alg: str, data: st.DataObject) -> None:
    """Whatever stands in a member, reading gives a key or `KeyRefused`, nothing else."""
    jwk: dict[str, Any] = dict(signing_key("fuzzed", alg).public.jwk)
    jwk[data.draw(st.sampled_from(sorted(jwk)))] = data.draw(JUNK)
    with pytest.raises(KeyRefused):
        PublicKey.from_jwk(jwk)


def test_an_unknown_algorithm_makes_no_key() -> None:
    """Keys are made for the four algorithms only."""
    with pytest.raises(KeyRefused):
        SigningKey.generate("HS256")
