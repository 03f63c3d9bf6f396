"""What `keyfill doctor` finds at the OpenID provider: that it is there, and says what is needed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from commands import checks
from commands.checks import Finding
from settings import Settings, SettingsError

ANSWER_WITHIN: Final = 5.0

_SAYS: Final = {
    "issuer-differs": "Set KEYFILL_OIDC_ISSUER exactly as the provider writes its issuer.",
    "endpoint-unusable": "Have the provider name its endpoints, each by https://.",
    "code-unsupported": "Choose a provider that offers the authorization code flow.",
    "pkce-unsupported": "Have the provider take PKCE by S256.",
    "algorithm-unsupported": "Have the provider sign ID tokens by RS256, PS256 or ES256.",
    "client-unsupported": "Have the provider take client_secret_basic or client_secret_post.",
    "keys-unusable": "Have the provider publish an RSA (2048 bits or more) or EC key.",
    "no-json": "Set KEYFILL_OIDC_ISSUER to the provider: there is no discovery document.",
    "way-unusable": "Mend HTTPS_PROXY or SSL_CERT_FILE, by which the API reaches the provider.",
    "http-404": "Set KEYFILL_OIDC_ISSUER to the provider: there is no discovery document.",
}


async def openid_findings(home: Path) -> AsyncIterator[Finding]:
    """Whether the API's OpenID provider can be used; nothing where there is none."""
    from api.oidccalls import ProviderCalls
    from api.oidcclient import ProviderFault, read_discovery
    from api.oidcsettings import client_of
    from api.oidctokens import read_keys

    check = "OpenID provider"
    try:
        # Where people come back to does not matter here: nobody signs in.
        client = client_of(Settings.unchecked("api", home=home), "")
    except SettingsError:
        # The API's settings are a finding already.
        return
    if client is None:
        return
    calls = ProviderCalls(seconds=ANSWER_WITHIN)
    try:
        discovered = read_discovery(await calls.get(client.discovery_url), client)
        read_keys(await calls.get(discovered.jwks_uri))
    except ProviderFault as fault:
        wrong = _SAYS.get(f"{fault}")
        if wrong is None:
            yield checks.away(check, f"Let the API reach {client.issuer}: {fault}.")
        else:
            yield checks.bad(check, wrong)
        return
    yield checks.good(check, f"{client.issuer} can be used.")
