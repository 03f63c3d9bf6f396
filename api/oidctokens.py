"""ID tokens: whose signature they carry, whom they are for, and when (OpenID Connect Core 1.0).

Authlib checks the claims (section 3.1.3.7), joserfc the signature; which algorithms and keys count
is decided here and never by the token. Both parts are read as strictly as statements are.
"""

from collections.abc import Mapping
from typing import Any, Final

from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jws
from joserfc.errors import ClaimError, JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey, import_key

from api.oidcclient import ALGORITHMS, OidcClient, ProviderFault
from ceremony.encoding import EncodingError, from_b64url, strict_json

SKEW_SECONDS: Final = 60
"""How far the provider's clock may differ from ours."""
LEAST_RSA_BITS: Final = 2048
_REGISTRY: Final = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)


class KeyNotFound(Exception):
    """No key of the provider's that is known here can have signed the token."""


class TokenRefused(Exception):
    """The ID token does not prove what it has to; the message is a reason code."""


def read_keys(document: Mapping[str, Any]) -> KeySet:
    """Read a provider's keys (RFC 7517 section 5): public RSA and EC keys for signatures.

    What else is in the set, and what is too weak, is passed over.

    Raises:
        ProviderFault: `keys-unusable` if nothing is left.
    """
    listed = document.get("keys")
    found: list[RSAKey | ECKey] = []
    for one in listed if isinstance(listed, list) else []:
        key = _public_key(one)
        if key is not None:
            found.append(key)
    if not found:
        raise ProviderFault("keys-unusable")
    return KeySet([*found])


def verified_claims(
    text: str,
    keys: KeySet,
    client: OidcClient,
    *,
    nonce: str,
    access_token: str | None,
    begun_at: int,
    now: int,
) -> Mapping[str, Any]:
    """The claims of an ID token that answers the sign-in begun at `begun_at` with this nonce.

    Raises:
        KeyNotFound: it names a key that is not in the set.
        TokenRefused: with the reason.
    """
    header, said = _signed(text, keys)
    claims = CodeIDToken(
        said,
        header,
        options={
            "iss": {"essential": True, "value": client.issuer},
            "aud": {"essential": True, "value": client.client_id},
        },
        params={"nonce": nonce, "client_id": client.client_id, "access_token": access_token},
    )
    try:
        claims.validate(now=now, leeway=SKEW_SECONDS)
    except ClaimError as error:
        raise TokenRefused(f"id-token-{error.claim.partition(',')[0].replace('_', '-')}") from None
    except (JoseError, ValueError, TypeError):
        raise TokenRefused("id-token-malformed") from None
    # Older than the sign-in that it answers: made for another one.
    if claims["iat"] < begun_at - SKEW_SECONDS:
        raise TokenRefused("id-token-iat")
    return said


def _signed(text: str, keys: KeySet) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The header and the claims of a token that the key signed which it names."""
    try:
        header = strict_json(from_b64url(text.partition(".")[0]))
        if header.get("alg") not in ALGORITHMS:
            raise TokenRefused("id-token-algorithm")
        token = jws.deserialize_compact(text, _key_of(header, keys), registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        # joserfc's and cryptography's refusals of what has the wrong form, too.
        raise TokenRefused("id-token-signature") from None
    try:
        return header, strict_json(token.payload)
    except EncodingError:
        raise TokenRefused("id-token-malformed") from None


def _key_of(header: Mapping[str, Any], keys: KeySet) -> RSAKey | ECKey:
    """The one key that the token's header names; with a single key it may name none."""
    kid, every = header.get("kid"), [key for key in keys if isinstance(key, RSAKey | ECKey)]
    named = every if kid is None and len(every) == 1 else [key for key in every if key.kid == kid]
    if not named:
        raise KeyNotFound
    return named[0]


def _public_key(one: object) -> RSAKey | ECKey | None:
    if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC"):
        return None
    if one.get("use", "sig") != "sig" or "d" in one:
        return None
    try:
        if one["kty"] == "RSA" and _bits(one["n"]) < LEAST_RSA_BITS:
            return None
        key = import_key(one)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey) else None


def _bits(number: str) -> int:
    return int.from_bytes(from_b64url(number), "big").bit_length()
