"""Caps on SMS: the most of one class in an hour and in a day."""

from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.smscaps import DEFAULT_CAPS, Cap, Sent, SmsCaps, met

NONE = Sent(0, 0)
SENT = st.builds(Sent, st.integers(0, 50), st.integers(0, 200))
CAPS = st.builds(SmsCaps, *[st.integers(1, 60)] * 6)


@pytest.mark.parametrize(
    ("cap", "person", "terminal", "everyone"),
    [
        (Cap.PERSON_HOUR, Sent(30, 30), NONE, NONE),
        (Cap.PERSON_DAY, Sent(0, 100), NONE, NONE),
        (Cap.TERMINAL_HOUR, NONE, Sent(12, 12), NONE),
        (Cap.TERMINAL_DAY, NONE, Sent(0, 40), NONE),
        (Cap.ALL_HOUR, NONE, NONE, Sent(1000, 1000)),
        (Cap.ALL_DAY, NONE, NONE, Sent(0, 5000)),
    ],
)
def test_each_cap_is_met_at_its_figure_and_not_one_before(
    cap: Cap, person: Sent, terminal: Sent, everyone: Sent
) -> None:
    """The message after the last one of a cap is not sent; the last one is."""
    counts = {"person": person, "terminal": terminal, "everyone": everyone}
    assert met(DEFAULT_CAPS, **counts) is cap
    fewer = {name: Sent(max(0, s.hour - 1), max(0, s.day - 1)) for name, s in counts.items()}
    assert met(DEFAULT_CAPS, **fewer) is None


@given(caps=CAPS, person=SENT, terminal=SENT, everyone=SENT)
def test_what_may_be_sent_exceeds_no_cap(
    caps: SmsCaps, person: Sent, terminal: Sent, everyone: Sent
) -> None:
    """One more than what passes is within all six; and what does not pass meets at least one."""
    sent = (*astuple(person), *astuple(terminal), *astuple(everyone))
    within = all(one + 1 <= most for one, most in zip(sent, astuple(caps), strict=True))
    assert (met(caps, person=person, terminal=terminal, everyone=everyone) is None) is within


def test_caps_are_read_as_they_are_set() -> None:
    """`30/100` is 30 an hour and 100 a day."""
    read = SmsCaps.read(person="30/100", terminal="12/40", everyone="1000/5000")
    assert read == DEFAULT_CAPS
    assert replace(read, person_hour=1) == SmsCaps.read(
        person="1/100", terminal="12/40", everyone="1000/5000"
    )


@pytest.mark.parametrize("bad", ["", "30", "0/100", "30/0", "a/b", "30/100/1", "-1/5"])
def test_what_is_no_cap_is_refused(bad: str) -> None:
    """A deployment without a cap is not made by mistake."""
    with pytest.raises(ValueError, match=r"cap|invalid literal"):
        SmsCaps.read(person=bad, terminal="12/40", everyone="1000/5000")
