"""Spraying: how many different ones within an hour or a day are alarming."""

import pytest

from ceremony.spraying import (
    DAY,
    ENOUGH,
    HOUR,
    MANY,
    SPANS,
    UNDECIDED_SECONDS,
    Alarm,
    Conversion,
    Raised,
    many,
    unused,
)

FEW = Conversion(0, 0)


def test_the_figures_are_the_documented_ones() -> None:
    """Whoever watches goes by these names; whoever attacks stays below these figures."""
    assert {alarm.value: figures for alarm, figures in MANY.items()} == {
        "codes-many-persons": (5, 20),
        "codes-many-terminals": (5, 20),
        "logins-many-keys": (10, 40),
    }
    assert [alarm.value for alarm in (Alarm.SMS_CONVERSION, Alarm.SMS_CAPPED)] == [
        "sms-conversion",
        "sms-capped",
    ]
    assert SPANS == (HOUR, DAY) == (3_600, 86_400)
    assert (ENOUGH, UNDECIDED_SECONDS) == (100, 15 * 60)


@pytest.mark.parametrize("alarm", MANY)
def test_many_different_ones_are_alarming(alarm: Alarm) -> None:
    """At the figure of the hour, or of the day; one fewer is not, and the hour comes first."""
    hour, day = MANY[alarm]
    assert many(alarm, {HOUR: hour - 1, DAY: day - 1}) is None
    assert many(alarm, {HOUR: hour, DAY: hour}) == Raised(alarm, hour, HOUR)
    assert many(alarm, {HOUR: 0, DAY: day}) == Raised(alarm, day, DAY)
    assert hour < day < ENOUGH


@pytest.mark.parametrize(
    ("hour", "day", "raised"),
    [
        (FEW, FEW, None),
        (Conversion(19, 0), Conversion(19, 0), None),
        (Conversion(20, 0), Conversion(20, 0), (20, HOUR)),
        (Conversion(20, 5), Conversion(20, 5), (15, HOUR)),
        (Conversion(20, 6), Conversion(20, 6), None),
        (FEW, Conversion(49, 0), None),
        (FEW, Conversion(50, 25), (25, DAY)),
        (FEW, Conversion(50, 26), None),
        (Conversion(200, 190), Conversion(200, 190), None),
    ],
)
def test_codes_that_nobody_uses_are_alarming(
    hour: Conversion, day: Conversion, raised: tuple[int, int] | None
) -> None:
    """Three of four of 20 within an hour, every second of 50 within a day; a good day is not."""
    expected = None if raised is None else Raised(Alarm.SMS_CONVERSION, *raised)
    assert unused({HOUR: hour, DAY: day}) == expected
