"""Claims about phone numbers, statuses and errors: nothing secret is shown, nothing goes back."""

import itertools

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType

from ceremony.reasons import Reason
from ceremony.sms import (
    NumberRefused,
    SmsAmbiguous,
    SmsError,
    SmsRefused,
    SmsStatus,
    SmsUnavailable,
    later_status,
    mask_number,
    region_of,
    valid_number,
)


@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("+4915112345678", "+4915112345678"),
        ("+49 1511 2345678", "+4915112345678"),
        ("+1 (202) 555-0123", "+12025550123"),
        ("+86 138 0013 8000", "+8613800138000"),
        ("+43 (0)664 1234567", "+436641234567"),
        ("+4915112345678\n", "+4915112345678"),
    ],
)
def test_numbers_are_normalised(text: str, e164: str) -> None:
    """International notations become E.164, and E.164 stays itself."""
    assert valid_number(text) == e164
    assert valid_number(e164) == e164


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "015112345678",
        "4915112345678",
        "004915112345678",
        "+49",
        "+4915",
        "+999123456789",
        "+49900123456",
        "+4915112345678;ext=5",
        "+49" + "1" * 60,
        "+٤٩١٥١١٢٣٤٥٦٧٨",
        "tel:+4915112345678",
        "+18005550199",
        # Numbers of their countries' plans, but not of E.164: 16 digits, and 6.
        "+4939141777631706",
        "+431110",
    ],
)
def test_other_texts_are_refused_unseen(text: str) -> None:
    """What is no enrollable number is refused with its reason code, and is not repeated."""
    with pytest.raises(NumberRefused) as caught:
        valid_number(text)
    assert caught.value.reason is Reason.NUMBER_REFUSED
    assert str(caught.value) == "number-refused"


@given(st.text(max_size=50))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    """No input makes the check raise anything but its own error, and what passes is stable."""
    try:
        number = valid_number(text)
    except NumberRefused:
        return
    assert valid_number(number) == number


@pytest.mark.parametrize(
    "kind",
    [
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PAGER,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
        PhoneNumberType.PERSONAL_NUMBER,
    ],
)
def test_nobodys_own_phone_is_refused(kind: int) -> None:
    """In every country that has such numbers: a code sent there reaches nobody, or anybody."""
    examples = [
        example
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        if (example := phonenumbers.example_number_for_type(region, kind)) is not None
        and phonenumbers.number_type(example) == kind
    ]
    assert examples
    for example in examples[:20]:
        with pytest.raises(NumberRefused):
            valid_number(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))


def test_a_number_has_at_most_forty_characters() -> None:
    """As people write it, blanks included; the limit is on what the parser is given."""
    assert valid_number("+49 1511 2345678" + " " * 24) == "+4915112345678"
    with pytest.raises(NumberRefused):
        valid_number("+49 1511 2345678" + " " * 25)


def test_masking_keeps_country_and_two_digits() -> None:
    """A masked number shows its country code and its last two digits, in its own length."""
    assert mask_number("+4915112345678") == "+49•••••••••78"
    assert mask_number("+12025550123") == "+1••••••••23"
    assert mask_number("+4") == "••"
    assert mask_number("+49123") == "+49•23"
    assert mask_number("+4912") == "•••••"
    assert mask_number("secret") == "••••••"


def test_region_of_a_number() -> None:
    """The region is the number's own, and None where it has none."""
    assert region_of("+4915112345678") == "DE"
    assert region_of("+12025550123") == "US"
    assert region_of("nonsense") is None


def test_errors_carry_codes_only() -> None:
    """A code that could be a number or a text is not kept."""
    assert str(SmsRefused("21211")) == "21211"
    assert str(SmsUnavailable()) == "unavailable"
    assert str(SmsAmbiguous()) == "ambiguous"
    for hostile in ("+4915112345678", "4915112345678", "Keyfill SMS code 123456", "", "x" * 41):
        error: SmsError = SmsRefused(hostile)
        assert error.code == "unknown"
        assert error.args == ("unknown",)


@given(st.lists(st.sampled_from(SmsStatus), max_size=6))
def test_status_only_moves_forward(reports: list[SmsStatus]) -> None:
    """Replayed or late reports never change a final status, nor bring back an earlier one."""
    status, seen = SmsStatus.INTENT, [SmsStatus.INTENT]
    for report in reports:
        status = later_status(status, report)
        if status is not seen[-1]:
            assert status not in seen
            seen.append(status)
    final = {SmsStatus.DELIVERED, SmsStatus.UNDELIVERED, SmsStatus.FAILED}
    for first, second in itertools.product(final, SmsStatus):
        assert later_status(first, second) is first


def test_a_status_follows_another_in_one_order() -> None:
    """An intent, then nobody knows, then sent, then one of three ends: each replaces the former."""
    order = [SmsStatus.INTENT, SmsStatus.AMBIGUOUS, SmsStatus.SENT]
    for end in (SmsStatus.FAILED, SmsStatus.UNDELIVERED, SmsStatus.DELIVERED):
        for before, after in itertools.combinations([*order, end], 2):
            assert later_status(before, after) is after
            assert later_status(after, before) is after
