"""`KEYFILL_SMS_CAP_…`: a deployment's caps on SMS reach the ceremony worker's sender."""

from contextlib import ExitStack, closing
from typing import Any

import pytest

import worker
from activities.sms import SmsSender
from ceremony.smscaps import DEFAULT_CAPS, SmsCaps
from commands.homefolder import HomeFolder
from records.database import Database
from settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("given", "caps"),
    [
        ({}, DEFAULT_CAPS),
        (
            {"PERSON": "1/2", "TERMINAL": "3/4", "ALL": "5/6"},
            SmsCaps(
                person_hour=1,
                person_day=2,
                terminal_hour=3,
                terminal_day=4,
                all_hour=5,
                all_day=6,
            ),
        ),
    ],
)
def test_the_sender_has_the_deployments_caps(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], caps: SmsCaps
) -> None:
    """The defaults unless the settings say otherwise."""
    made: list[Any] = []

    class Heard(SmsSender):
        def __init__(self, *parts: Any, **named: Any) -> None:
            made.append(named["caps"])
            super().__init__(*parts, **named)

    monkeypatch.setattr(worker, "SmsSender", Heard)
    for name, value in given.items():
        monkeypatch.setenv(f"KEYFILL_SMS_CAP_{name}", value)
    settings = Settings.for_role("ceremony", home=home.path)
    with closing(Database(settings.database)) as database, ExitStack() as stack:
        worker.ceremony_parts(settings, database, stack)
    assert made == [caps]


@pytest.mark.parametrize("given", ["", "30", "0/100", "30/0", "30 / 100", "-1/5", "off"])
def test_what_is_no_cap_is_refused(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """There is no deployment without caps, and none with a cap that was meant otherwise."""
    monkeypatch.setenv("KEYFILL_SMS_CAP_PERSON", given)
    with pytest.raises(SettingsError, match="SMS_CAP_PERSON"):
        Settings.for_role("ceremony", home=home.path)
