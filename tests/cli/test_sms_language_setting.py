"""`KEYFILL_SMS_LANGUAGE`: the language of a deployment's SMS reaches the ceremony worker."""

from contextlib import ExitStack, closing
from typing import Any

import pytest

import worker
from activities.sms import SmsSender
from ceremony.smstexts import SmsLanguage
from commands.homefolder import HomeFolder
from records.database import Database
from settings import Settings, SettingsError


@pytest.mark.parametrize(("given", "language"), [(None, "en"), ("en", "en"), ("zh-CN", "zh-CN")])
def test_the_sender_speaks_the_deployments_language(
    home: HomeFolder, monkeypatch: pytest.MonkeyPatch, given: str | None, language: SmsLanguage
) -> None:
    """English unless the setting says otherwise."""
    made: list[Any] = []

    class Heard(SmsSender):
        def __init__(self, *parts: Any, **named: Any) -> None:
            made.append(named.get("language"))
            super().__init__(*parts, **named)

    monkeypatch.setattr(worker, "SmsSender", Heard)
    if given is not None:
        monkeypatch.setenv("KEYFILL_SMS_LANGUAGE", given)
    settings = Settings.for_role("ceremony", home=home.path)
    with closing(Database(settings.database)) as database, ExitStack() as stack:
        worker.ceremony_parts(settings, database, stack)
    assert made == [language]


def test_another_language_is_refused(home: HomeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language without texts is a wrong setting, told at the start."""
    monkeypatch.setenv("KEYFILL_SMS_LANGUAGE", "de")
    with pytest.raises(SettingsError, match="KEYFILL_SMS_LANGUAGE"):
        Settings.for_role("ceremony", home=home.path)
