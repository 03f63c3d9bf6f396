"""`KEYFILL_SMS_REGIONS`: the regions that a deployment's SMS may go to reach the Twilio gateway."""

from contextlib import ExitStack, closing
from typing import Any

import pytest

import worker
from commands.homefolder import HomeFolder
from gateways.twilio import TwilioGateway
from records.database import Database
from settings import Settings, SettingsError


@pytest.mark.parametrize(("given", "regions"), [("", None), ("DE,CH", frozenset({"DE", "CH"}))])
def test_the_gateway_knows_its_regions(
    home: HomeFolder,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    regions: frozenset[str] | None,
) -> None:
    """All regions unless the setting names some."""
    made: list[Any] = []

    class Heard(TwilioGateway):
        def __init__(self, *parts: Any, **named: Any) -> None:
            made.append(named["regions"])
            super().__init__(*parts, **named)

    monkeypatch.setattr(worker, "TwilioGateway", Heard)
    said = {
        "SMS_REGIONS": given,
        "SMS_GATEWAY": "twilio",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "0123456789abcdef" * 2,
        "TWILIO_FROM": "+4915100000000",
        "TWILIO_STATUS_CALLBACK": "https://keyfill.example/v1/sms/status",
    }
    for name, value in said.items():
        monkeypatch.setenv(f"KEYFILL_{name}", value)
    settings = Settings.for_role("ceremony", home=home.path)
    with closing(Database(settings.database)) as database, ExitStack() as stack:
        worker.ceremony_parts(settings, database, stack)
    assert made == [regions]


@pytest.mark.parametrize("given", ["de", "DE, CH", "DEU", "DE,"])
def test_what_is_no_list_of_regions_is_refused(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """A misspelt list must not be taken for "everywhere" or "nowhere"."""
    monkeypatch.setenv("KEYFILL_SMS_REGIONS", given)
    with pytest.raises(SettingsError, match="KEYFILL_SMS_REGIONS"):
        Settings.for_role("ceremony", home=home.path)
