"""What a deployment and its OpenID provider have agreed on: one client of one issuer.

Roles come from groups, and people from a claim that holds their staff number. There is no default
for that claim: a provider may let people choose `preferred_username` themselves, and `email` is
reused (OpenID Connect Core 1.0, section 5.7: neither identifies anybody).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from api.roles import ROLE_NAMES, RoleName
from ceremony.encoding import MAX_JSON_BYTES

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
)
"""Which signatures of ID tokens count: asymmetric ones only, so that no key of ours makes one."""
MAX_ANSWER_BYTES: Final = MAX_JSON_BYTES
BASIC: Final = "client_secret_basic"
"""How a client proves itself where the provider offers it (OpenID Connect Core 1.0, section 9)."""
CALLBACK_PATH: Final = "/oidc/callback"
"""Where the provider sends people back to, on this deployment's origin."""
_DISCOVERY: Final = "/.well-known/openid-configuration"
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_VISIBLE: Final = re.compile(r"[!-~]+\Z")
"""What an address is written with (RFC 3986, section 2); other texts only look like one."""


class ProviderFault(Exception):
    """The provider is away, or answers what cannot be used; the message is a reason code."""


@dataclass(frozen=True, slots=True)
class OidcClient:
    """Keyfill as its provider knows it.

    Attributes:
        issuer: Exactly as the provider writes it.
        client_secret: None for a public client, which PKCE alone protects.
        redirect_uri: Where the provider sends people back to.
        scopes: Parted by spaces, `openid` among them.
        staff_claim: The claim of the ID token that holds the staff number.
        groups_claim: The claim that holds a group, or a list of them.
        groups: Each role's groups.
        name: The provider's, for people.
        allow_http: Whether a provider on loopback may do without TLS: in development.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    redirect_uri: str
    staff_claim: str
    groups: Mapping[RoleName, frozenset[str]]
    groups_claim: str = "groups"
    scopes: str = "openid profile"
    name: str = "OpenID Connect"
    allow_http: bool = False

    @property
    def discovery_url(self) -> str:
        """Where the provider describes itself (OpenID Connect Discovery 1.0, section 4)."""
        return self.issuer.removesuffix("/") + _DISCOVERY

    def roles_of(self, groups: frozenset[str]) -> tuple[RoleName, ...]:
        """The roles of someone who is in these groups."""
        return tuple(role for role in ROLE_NAMES if self.groups.get(role, frozenset()) & groups)


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a provider says of itself, as far as it is used."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_auth: str
    names_issuer: bool


def read_discovery(document: Mapping[str, Any], client: OidcClient) -> Discovered:
    """Check what a provider says of itself (OpenID Connect Discovery 1.0, sections 3 and 4.3).

    Raises:
        ProviderFault: `issuer-differs`, `endpoint-unusable`, `code-unsupported`,
            `pkce-unsupported`, `algorithm-unsupported` or `client-unsupported`.
    """
    if document.get("issuer") != client.issuer:
        raise ProviderFault("issuer-differs")
    authorization, token, jwks = (
        _endpoint(document.get(name), client)
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    )
    if "code" not in _list(document, "response_types_supported", ["code"]):
        raise ProviderFault("code-unsupported")
    # Several providers take PKCE and do not say so; one that names methods has to name ours.
    if "S256" not in _list(document, "code_challenge_methods_supported", ["S256"]):
        raise ProviderFault("pkce-unsupported")
    signed = _list(document, "id_token_signing_alg_values_supported", ["RS256"])
    if not {*ALGORITHMS} & {*signed}:
        raise ProviderFault("algorithm-unsupported")
    return Discovered(
        authorization_endpoint=authorization,
        token_endpoint=token,
        jwks_uri=jwks,
        token_auth=_token_auth(document, client),
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(url: object, client: OidcClient) -> str:
    """An address of the provider's that may be called: by TLS, or on loopback in development."""
    if not isinstance(url, str) or not _is_usable(url, client.allow_http):
        raise ProviderFault("endpoint-unusable")
    return url


def _is_usable(url: str, allow_http: bool) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = allow_http and parts.scheme == "http" and host in _LOOPBACK
    return bool(
        host
        and _VISIBLE.match(url)
        and (parts.scheme == "https" or plain)
        and "@" not in parts.netloc
        and not parts.fragment
    )


def _token_auth(document: Mapping[str, Any], client: OidcClient) -> str:
    """How the client proves itself at the token endpoint (OpenID Connect Core 1.0, section 9)."""
    if client.client_secret is None:
        return "none"
    offered = _list(document, "token_endpoint_auth_methods_supported", [BASIC])
    for method in (BASIC, "client_secret_post"):
        if method in offered:
            return method
    raise ProviderFault("client-unsupported")


def _list(document: Mapping[str, Any], name: str, default: list[str]) -> list[object]:
    value = document.get(name, default)
    return value if isinstance(value, list) else []
