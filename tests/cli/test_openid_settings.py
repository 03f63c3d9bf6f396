"""The settings of sign-in by OpenID Connect: what they have to say, and what the doctor finds."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import JSONResponse

from api.app import create_app
from api.oidcsettings import client_of
from ceremony.encoding import b64url
from commands.deployment import role_environment
from commands.homefolder import HomeFolder
from commands.openid import openid_findings
from settings import Settings, SettingsError
from soundness import require_sound
from tests.support.commandline import Keyfill
from tests.support.openidprovider import CLIENT_SECRET, provided

ISSUER = "https://sso.bank.example/realms/atm"
RIGHT = {
    "KEYFILL_OIDC_ISSUER": ISSUER,
    "KEYFILL_OIDC_CLIENT_ID": "keyfill",
    "KEYFILL_OIDC_STAFF_CLAIM": "employee_number",
    "KEYFILL_OIDC_ADMINISTRATORS": "CN=Keyfill Administrators,OU=ATM; atm-admins ;",
    "KEYFILL_OIDC_AUDITORS": "auditors",
}


@pytest.fixture
def told(home: HomeFolder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """The API's settings with the right environment, and what a test changes of it."""

    def read(**changes: str) -> Settings:
        for name, value in {**RIGHT, **changes}.items():
            monkeypatch.setenv(name, value)
        return Settings.for_role("api", home=home.path)

    return read


def test_the_settings_make_the_client(told: Callable[..., Settings], home: HomeFolder) -> None:
    """Groups may hold commas and blanks; the secret is a file of the API's; the rest as said."""
    (home.secrets("api") / "keyfill_oidc_client_secret").write_text(CLIENT_SECRET)
    settings = told(KEYFILL_OIDC_NAME="Bank")
    client = client_of(settings, "https://keyfill.bank.example")
    assert client is not None
    assert client.redirect_uri == "https://keyfill.bank.example/oidc/callback"
    assert client.roles_of(frozenset({"CN=Keyfill Administrators,OU=ATM", "auditors"})) == (
        "administrator",
        "auditor",
    )
    assert client.roles_of(frozenset({"atm-admins"})) == ("administrator",)
    assert client.roles_of(frozenset({"", "others"})) == ()
    assert (client.client_secret, client.name) == (CLIENT_SECRET, "Bank")
    assert CLIENT_SECRET not in repr(client) and CLIENT_SECRET not in repr(settings)
    app = create_app(settings)
    assert app.state.parts.openid.name == "Bank"
    assert CLIENT_SECRET not in repr(app.state.parts)


def test_without_an_issuer_there_is_no_openid_connect(home: HomeFolder) -> None:
    """The rest of the settings then says nothing."""
    settings = Settings.for_role("api", home=home.path)
    assert client_of(settings, "https://keyfill.bank.example") is None
    assert create_app(settings).state.parts.openid is None


WRONG: list[tuple[dict[str, str], str]] = [
    ({"KEYFILL_OIDC_ISSUER": "http://sso.bank.example"}, "https://"),
    ({"KEYFILL_OIDC_ISSUER": "sso.bank.example"}, "https://"),
    ({"KEYFILL_OIDC_ISSUER": f"{ISSUER}?a=b"}, "https://"),
    ({"KEYFILL_OIDC_ISSUER": f"{ISSUER}#a"}, "https://"),
    ({"KEYFILL_OIDC_ISSUER": "https://a@sso.bank.example"}, "https://"),
    ({"KEYFILL_OIDC_ISSUER": "https://[sso"}, "https://"),
    ({"KEYFILL_OIDC_CLIENT_ID": ""}, "KEYFILL_OIDC_CLIENT_ID"),
    ({"KEYFILL_OIDC_SCOPES": "profile"}, "openid"),
    ({"KEYFILL_OIDC_STAFF_CLAIM": ""}, "KEYFILL_OIDC_STAFF_CLAIM"),
    ({"KEYFILL_OIDC_STAFF_CLAIM": "email"}, "KEYFILL_OIDC_STAFF_CLAIM"),
    ({"KEYFILL_OIDC_ADMINISTRATORS": " ;", "KEYFILL_OIDC_AUDITORS": ""}, "group"),
]


@pytest.mark.parametrize(("changes", "says"), WRONG)
def test_wrong_settings_stop_the_start(
    told: Callable[..., Settings], changes: dict[str, str], says: str
) -> None:
    """One sentence each: no TLS, no client, no scope, no claim or an e-mail address, no group."""
    with pytest.raises(SettingsError) as refused:
        told(**changes)
    assert says in f"{refused.value}" and f"{refused.value}".endswith(".")


def test_production_wants_tls_and_a_real_secret(told: Callable[..., Settings]) -> None:
    """Loopback by http serves in development only; a short secret is a placeholder."""
    local = told(KEYFILL_OIDC_ISSUER="http://127.0.0.1:9000")
    client = client_of(local, "http://localhost:8480")
    assert client is not None and client.allow_http
    from soundness import _check_openid

    with pytest.raises(SettingsError, match="https://"):
        _check_openid(local.model_copy(update={"environment": "production"}))
    right = told().model_copy(update={"environment": "production"})
    _check_openid(right)
    client = client_of(right, "https://keyfill.bank.example")
    assert client is not None and not client.allow_http
    with pytest.raises(SettingsError, match="16 characters"):
        _check_openid(
            told(KEYFILL_OIDC_CLIENT_SECRET="short").model_copy(
                update={"environment": "production"}
            )
        )
    require_sound(told(KEYFILL_OIDC_CLIENT_SECRET="short"), "api")


def test_only_the_api_is_given_the_clients_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """`keyfill up` keeps it from all other processes."""
    monkeypatch.setenv("KEYFILL_OIDC_CLIENT_SECRET", CLIENT_SECRET)
    for role in ("ceremony", "keys", "codec"):
        assert "KEYFILL_OIDC_CLIENT_SECRET" not in role_environment(role)
    assert role_environment("api")["KEYFILL_OIDC_CLIENT_SECRET"] == CLIENT_SECRET


async def test_the_doctor_names_what_is_wrong_at_the_provider(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another issuer, no TLS, no PKCE, weak keys, no document: each with what to do."""

    async def found() -> tuple[str, str]:
        [finding] = [one async for one in openid_findings(home.path)]
        assert finding.check == "OpenID provider"
        return finding.grade, finding.says

    for name, value in RIGHT.items():
        monkeypatch.setenv(name, value)
    async with provided(lambda: 0.0) as provider:
        monkeypatch.setenv("KEYFILL_OIDC_ISSUER", provider.issuer)
        assert (await found())[0] == "good"
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"issuer": f"{provider.issuer}/"}, "exactly"),
            ({"token_endpoint": "http://sso.bank.example/token"}, "https://"),
            ({"response_types_supported": ["token"]}, "code flow"),
            ({"code_challenge_methods_supported": []}, "PKCE"),
            ({"id_token_signing_alg_values_supported": ["HS256"]}, "sign ID tokens"),
            ({"jwks_uri": f"{provider.issuer}/nowhere"}, "KEYFILL_OIDC_ISSUER"),
        ]
        for document, says in wrong:
            provider.document = document
            grade, said = await found()
            assert grade == "bad" and says in said, document
        provider.document = {}
        weak = {"kty": "RSA", "kid": "weak", "n": b64url(b"\xff" * 128), "e": "AQAB"}
        provider.fails = {"/keys": JSONResponse({"keys": [weak, {"kty": "oct", "k": "AAAA"}, 1]})}
        assert "2048" in (await found())[1]
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("SSL_CERT_FILE", "/nowhere/authorities.pem")
            assert "SSL_CERT_FILE" in (await found())[1]
    assert (await found())[0] == "away"


def test_the_doctor_looks_at_the_provider_from_the_apis_host(keyfill: Keyfill) -> None:
    """One line more where there is a provider, and none where there is none."""
    away = {**RIGHT, "KEYFILL_OIDC_ISSUER": "http://127.0.0.1:1"}
    result = keyfill("doctor", **away)
    assert "AWAY  OpenID provider: Let the API reach http://127.0.0.1:1" in result.stdout
    assert "OpenID provider" not in keyfill("doctor").stdout
