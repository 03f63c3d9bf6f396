"""`keyfill api`: how its process begins."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from commands import serve


def test_the_log_is_set_up_before_the_application_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What libraries say meanwhile (OpenTelemetry quotes a header that it cannot read) is ours."""
    done: list[str] = []

    def made(_: object) -> None:
        done.append("application")
        raise OSError

    # The command names the home for its process; another test must not find it.
    monkeypatch.setenv("KEYFILL_HOME", "nowhere")
    settings = SimpleNamespace(log_level="info", environment="production")
    monkeypatch.setattr(serve, "settings_of", lambda *_: settings)
    monkeypatch.setattr("telemetry.logs.set_up", lambda *_, **__: done.append("log"))
    monkeypatch.setattr("api.app.create_app", made)
    with pytest.raises(typer.Exit):
        serve.api(tmp_path)
    assert done == ["log", "application"]
