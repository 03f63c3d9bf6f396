"""The client of a deployment's settings; the settings themselves are read elsewhere."""

from collections.abc import Mapping
from typing import Protocol

from api.oidcclient import CALLBACK_PATH, OidcClient
from api.roles import RoleName


class OidcSettings(Protocol):
    """What the settings say about the OpenID provider."""

    @property
    def environment(self) -> str:
        """`development`, or another."""

    @property
    def oidc_issuer(self) -> str:
        """Empty where there is no provider."""

    @property
    def oidc_client_id(self) -> str:
        """As the provider calls this deployment."""

    @property
    def oidc_secret(self) -> str | None:
        """None for a public client."""

    @property
    def oidc_name(self) -> str:
        """The provider's name, for people."""

    @property
    def oidc_scopes(self) -> str:
        """Parted by spaces."""

    @property
    def oidc_staff_claim(self) -> str:
        """The claim that holds the staff number."""

    @property
    def oidc_groups_claim(self) -> str:
        """The claim that holds the groups."""

    @property
    def oidc_groups(self) -> Mapping[RoleName, frozenset[str]]:
        """Each role's groups."""


def client_of(settings: OidcSettings, origin: str) -> OidcClient | None:
    """The client at the deployment's provider; None where there is none. `origin` is our own."""
    if not settings.oidc_issuer:
        return None
    return OidcClient(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_secret,
        redirect_uri=f"{origin}{CALLBACK_PATH}",
        staff_claim=settings.oidc_staff_claim,
        groups=settings.oidc_groups,
        groups_claim=settings.oidc_groups_claim,
        scopes=settings.oidc_scopes,
        name=settings.oidc_name,
        allow_http=settings.environment == "development",
    )
