"""Making the API from settings: it starts while Temporal is away, and not without its secrets."""

import secrets
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from ceremony.trust import TrustError
from engine.embedded import free_port
from holdings import SECRET_BYTES
from settings import Settings, SettingsError
from telemetry.endpoint import EndpointRefused
from tests.support.apihouse import make_world
from tests.support.databases import make_database
from tests.support.identities import ORIGIN


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a deployment whose Temporal nobody started."""
    (tmp_path / "trust.json").write_text(make_world().trust_file)
    folder = tmp_path / "secrets" / "api"
    folder.mkdir(parents=True)
    for name in ("qr_key", "edge_key", "session_key"):
        (folder / f"keyfill_{name}").write_text(secrets.token_hex(SECRET_BYTES[name]))
    (folder / "keyfill_database_url").write_text(make_database(tmp_path))
    return Settings.for_role("api", home=tmp_path).model_copy(
        update={"temporal_address": "127.0.0.1:1"}
    )


async def test_the_api_starts_while_temporal_is_away(settings: Settings) -> None:
    """It answers what needs no Temporal, says that it is not ready, and stops cleanly."""
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client,
    ):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.post("/v1/challenges")).status_code == 200
        ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"] == {"database": "ok", "temporal": "away", "key_worker": "away"}


def test_the_api_does_not_start_without_its_secrets(settings: Settings) -> None:
    """A missing secret is told at once, by name."""
    (settings.home / "secrets" / "api" / "keyfill_edge_key").unlink()
    with pytest.raises(SettingsError, match="keyfill_edge_key"):
        Settings.for_role("api", home=settings.home)


def test_the_api_does_not_start_without_a_trust_file(settings: Settings) -> None:
    """Neither without the trust file nor with a broken one."""
    (settings.home / "trust.json").write_text("{}")
    with pytest.raises(TrustError):
        create_app(settings)
    (settings.home / "trust.json").unlink()
    with pytest.raises(SettingsError):
        create_app(settings)


def test_its_metrics_address_is_served_once(settings: Settings) -> None:
    """Temporal's own metrics are there for Prometheus; an address that is taken is told at once."""
    address = f"127.0.0.1:{free_port()}"
    chosen = settings.model_copy(update={"metrics_address": address})
    app = create_app(chosen)
    answer = httpx.get(f"http://{address}/metrics", trust_env=False)
    assert answer.status_code == 200
    with pytest.raises(EndpointRefused, match="KEYFILL_METRICS_ADDRESS"):
        create_app(chosen)
    app.state.parts.database.close()


def test_the_parts_show_no_secret(settings: Settings) -> None:
    """What a debugger or a log would print of the parts holds no key."""
    app = create_app(settings)
    shown = repr(app.state.parts)
    for name in ("qr_key", "edge_key", "session_key"):
        assert settings.secret(name).hex() not in shown
        assert repr(settings.secret(name)) not in shown


def test_its_limits_hold_for_all_apis(settings: Settings) -> None:
    """What is made of settings counts in the database, not by itself."""
    app = create_app(settings)
    assert app.state.parts.limits.shared
    app.state.parts.database.close()
