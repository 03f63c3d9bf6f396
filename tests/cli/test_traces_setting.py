"""Where traces go is a setting that a process refuses to misunderstand."""

import pytest

from commands.homefolder import HomeFolder
from settings import Settings, SettingsError

ADDRESSES = (
    "https://traces.bank.example/v1/traces",
    "http://127.0.0.1:4318/v1/traces",
    "http://[::1]:4318/v1/traces",
    "http://localhost:4318/v1/traces",
    "http://traces.bank.example/v1/traces",
    "off",
    "",
)
NONE = (
    "traces.bank.example:4317",
    "grpc://traces.bank.example",
    "https://",
    "https://user:password@traces.bank.example",
    "http://[::1",
    "on",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_or_none_serves(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """In development also one in clear; outside see the production settings."""
    monkeypatch.setenv("KEYFILL_TRACES_ENDPOINT", address)
    assert Settings.for_role("api", home=home.path).traces_endpoint == address


@pytest.mark.parametrize("address", NONE)
def test_what_is_no_address_is_refused(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """In one sentence that does not repeat it: it might hold a password."""
    monkeypatch.setenv("KEYFILL_TRACES_ENDPOINT", address)
    with pytest.raises(SettingsError, match=r"^Set KEYFILL_TRACES_ENDPOINT [^.]*\.$") as refused:
        Settings.for_role("api", home=home.path)
    assert "password" not in str(refused.value)


def test_traces_are_off_unless_somebody_sets_them(home: HomeFolder) -> None:
    """Nobody sends anything anywhere by default."""
    assert Settings.for_role("api", home=home.path).traces_endpoint == "off"


@pytest.mark.parametrize("ratio", ["-0.1", "1.1", "nan", "all"])
def test_a_ratio_that_is_none_is_refused(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, ratio: str
) -> None:
    """From nothing to all."""
    monkeypatch.setenv("KEYFILL_TRACES_RATIO", ratio)
    with pytest.raises(SettingsError, match=r"^Set KEYFILL_TRACES_RATIO rightly: "):
        Settings.for_role("api", home=home.path)
