"""Keys that sign statements: public keys with their one algorithm, and their private halves.

A key carries its algorithm with it (RFC 7517 section 4.4), so that a statement can never choose
how it is verified. The key id is the JWK thumbprint (RFC 7638, SHA-256, base64url).
"""

from collections.abc import Mapping
from typing import Any, Final, Self

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from ceremony.encoding import EncodingError, from_b64url, sha256_hex

ALGORITHMS: Final = frozenset({"ES256", "EdDSA", "PS256", "RS256"})
PASSKEY_ONLY: Final = frozenset({"RS256"})
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
_CURVE_BYTES: Final = 32

_PUBLIC_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "ES256": ("kty", "crv", "x", "y"),
    "EdDSA": ("kty", "crv", "x"),
    "PS256": ("kty", "n", "e"),
    "RS256": ("kty", "n", "e"),
}
_FORM: Final[Mapping[str, tuple[str, str | None]]] = {
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "PS256": ("RSA", None),
    "RS256": ("RSA", None),
}


class KeyRefused(ValueError):
    """A JWK is not a key that Keyfill accepts; the message names the rule, never key material."""


class PublicKey:
    """An enrolled public key with the one algorithm that it verifies."""

    __slots__ = ("_key", "alg", "kid")

    def __init__(self, key: ECKey | OKPKey | RSAKey, alg: str) -> None:
        """Take a parsed key; use `from_jwk` to read one."""
        self._key = key
        self.alg = alg
        self.kid = key.thumbprint()

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Read a public JWK with exactly its public members and `alg`.

        Raises:
            KeyRefused: on a private key, a foreign algorithm or curve, unknown members, or RSA
                outside 2048 to 4096 bits.
        """
        alg = _checked_algorithm(jwk)
        allowed = {*_PUBLIC_MEMBERS[alg], "alg"}
        if set(jwk) != allowed:
            raise KeyRefused("a public key holds its public members and alg, nothing else")
        return cls(_import(jwk), alg)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public JWK, with `alg`."""
        members = self._key.as_dict(private=False)
        return {**{name: members[name] for name in _PUBLIC_MEMBERS[self.alg]}, "alg": self.alg}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the SubjectPublicKeyInfo (RFC 5280 section 4.1), DER, as hex."""
        return sha256_hex(self._key.as_der(private=False))

    @property
    def verifying_key(self) -> ECKey | OKPKey | RSAKey:
        """The key in the JOSE library's form."""
        return self._key

    def __eq__(self, other: object) -> bool:
        """Equal where thumbprint and algorithm are."""
        return isinstance(other, PublicKey) and self.kid == other.kid and self.alg == other.alg

    def __hash__(self) -> int:
        """Hash of the thumbprint and algorithm."""
        return hash((self.kid, self.alg))

    def __repr__(self) -> str:
        """Name the key by its thumbprint."""
        return f"PublicKey({self.alg}, {self.kid})"


class SigningKey:
    """A private key that signs statements; never prints itself."""

    __slots__ = ("_key", "public")

    def __init__(self, key: ECKey | OKPKey | RSAKey, alg: str) -> None:
        """Take a parsed private key; use `generate` or `from_jwk`."""
        self._key = key
        public = {name: key.as_dict(private=False)[name] for name in _PUBLIC_MEMBERS[alg]}
        self.public = PublicKey(_import(public), alg)

    @classmethod
    def generate(cls, alg: str = "ES256") -> Self:
        """Make a key for ES256 (P-256), EdDSA (Ed25519), PS256 or RS256 (RSA-2048).

        Raises:
            KeyRefused: if the algorithm is none of these.
        """
        match alg:
            case "ES256":
                return cls(ECKey.generate_key("P-256"), alg)
            case "EdDSA":
                return cls(OKPKey.generate_key("Ed25519"), alg)
            case "PS256" | "RS256":
                return cls(RSAKey.generate_key(MIN_RSA_BITS), alg)
        raise KeyRefused("unknown algorithm")

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Read a private JWK with `alg`.

        Raises:
            KeyRefused: if it is no private key of an accepted algorithm.
        """
        alg = _checked_algorithm(jwk)
        key = _import(jwk)
        if not key.is_private:
            raise KeyRefused("a signing key needs its private members")
        if isinstance(key, OKPKey):
            _refuse_foreign_half(key)
        return cls(key, alg)

    @property
    def alg(self) -> str:
        """The key's one algorithm."""
        return self.public.alg

    @property
    def kid(self) -> str:
        """The key id: RFC 7638 thumbprint of the public key."""
        return self.public.kid

    @property
    def signing_key(self) -> ECKey | OKPKey | RSAKey:
        """The key in the JOSE library's form."""
        return self._key

    def private_jwk(self) -> dict[str, Any]:
        """The private JWK, for a file that only its owner reads."""
        return {**self._key.as_dict(private=True), "alg": self.alg}

    def __repr__(self) -> str:
        """Name the key by its public thumbprint only."""
        return f"SigningKey({self.alg}, {self.kid})"


def _checked_algorithm(jwk: Mapping[str, Any]) -> str:
    alg = jwk.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise KeyRefused("unknown algorithm")
    kty, curve = _FORM[alg]
    if jwk.get("kty") != kty or (curve is not None and jwk.get("crv") != curve):
        raise KeyRefused("key type and algorithm do not agree")
    return alg


def _import(jwk: Mapping[str, Any]) -> ECKey | OKPKey | RSAKey:
    if jwk.get("kty") == "RSA":
        _check_rsa_size(jwk.get("n"))
    try:
        key = JWKRegistry.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise KeyRefused("not a usable JWK") from error
    if not isinstance(key, ECKey | OKPKey | RSAKey):
        raise KeyRefused("key type and algorithm do not agree")
    _refuse_second_spelling(key)
    return key


def _check_rsa_size(modulus: object) -> None:
    # Before the library sees it: a huge modulus costs time there, a small one only warns.
    try:
        bits = int.from_bytes(from_b64url(str(modulus)), "big").bit_length()
    except EncodingError as error:
        raise KeyRefused("not a usable JWK") from error
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise KeyRefused("RSA keys have 2048 to 4096 bits")


def _refuse_foreign_half(key: OKPKey) -> None:
    # The library believes `x` beside `d`; whoever signs would go by another key's id.
    private = key.private_key
    if private is None or private.public_key().public_bytes_raw() != from_b64url(
        str(key.as_dict(private=False)["x"])
    ):
        raise KeyRefused("the halves of the key do not belong together")


def _refuse_second_spelling(key: ECKey | OKPKey | RSAKey) -> None:
    # A leading zero octet more would be the same key under another thumbprint, and so pass for
    # a second credential (RFC 7518 sections 6.2.1.2 and 6.3.1.1, RFC 8037 section 2).
    members = key.as_dict(private=False)
    names = ("n", "e") if isinstance(key, RSAKey) else ("x", "y")
    try:
        octets = [from_b64url(str(members[name])) for name in names if name in members]
    except EncodingError as error:
        raise KeyRefused("not a usable JWK") from error
    canonical = (
        all(not one.startswith(b"\0") for one in octets)
        if isinstance(key, RSAKey)
        else all(len(one) == _CURVE_BYTES for one in octets)
    )
    if not canonical:
        raise KeyRefused("a key has one spelling")
