"""The doctor's rules: what is well, what has to be mended, and that it says which."""

from datetime import UTC, datetime, timedelta

import pytest

from commands import checks
from commands.checks import Finding, Grade

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY = "00112233445566778899aabbccddeeff" * 2
OTHER = "ffeeddccbbaa99887766554433221100" * 2


@pytest.mark.parametrize(
    ("days", "grade"),
    [(-1, Grade.BAD), (0, Grade.BAD), (59, Grade.WARNING), (60, Grade.GOOD), (400, Grade.GOOD)],
)
def test_a_certificate_is_told_of_before_it_ends(days: int, grade: Grade) -> None:
    """Ended: mend it; within sixty days: a note; else well. The day is named."""
    finding = checks.certificate("KDH", NOW + timedelta(days=days), NOW.timestamp())
    assert finding.grade is grade
    assert f"{NOW + timedelta(days=days):%Y-%m-%d}" in finding.says


@pytest.mark.parametrize(
    ("ahead", "grade"),
    [(0, Grade.GOOD), (30, Grade.GOOD), (-30, Grade.GOOD), (31, Grade.BAD), (-31, Grade.BAD)],
)
def test_clocks_may_differ_by_half_a_minute(ahead: float, grade: Grade) -> None:
    """In either direction."""
    assert checks.clock("the database", ahead).grade is grade


@pytest.mark.parametrize(
    ("rings", "grade", "says"),
    [
        ({"api": None, "keys": None}, Grade.WARNING, "in clear"),
        ({"api": f"k1:{KEY}", "keys": None}, Grade.BAD, "keys too"),
        ({"api": f"k1:{KEY}", "keys": f"k1:{OTHER}"}, Grade.BAD, "same payload keys"),
        ({"api": f"k1:{KEY}", "keys": f"k1:{KEY} k0:{OTHER}"}, Grade.BAD, "same payload keys"),
        ({"api": f"k1:{KEY}", "keys": "k1:12"}, Grade.BAD, "64 hex digits"),
        (
            {"api": f"k1:{KEY} k2:{OTHER}", "keys": f"k2:{OTHER} k1:{KEY}"},
            Grade.WARNING,
            "k1, k2 seal",
        ),
        ({"api": f"k1:{KEY}", "keys": f"k1:{KEY} *:refused"}, Grade.GOOD, "seal with k1"),
    ],
)
def test_all_roles_hold_the_same_payload_keys(
    rings: dict[str, str | None], grade: Grade, says: str
) -> None:
    """A role without, with others or with unusable keys is named; a rotation is noted."""
    finding = checks.payload_keys(rings)
    assert finding.grade is grade
    assert says in finding.says
    assert KEY[:16] not in finding.says


@pytest.mark.parametrize(
    ("mode", "development", "grade"),
    [
        (0o100400, False, Grade.GOOD),
        (0o100600, True, Grade.GOOD),
        (0o100600, False, Grade.WARNING),
        (0o100620, True, Grade.BAD),
        (0o100602, False, Grade.BAD),
    ],
)
def test_only_its_owner_writes_the_trust_file(mode: int, development: bool, grade: Grade) -> None:
    """Whoever writes the trust file decides who officers are."""
    assert checks.trust_file_mode(mode, development=development).grade is grade


@pytest.mark.parametrize(
    ("finding", "grade"),
    [
        (checks.schema("0005", "0005"), Grade.GOOD),
        (checks.schema("0004", "0005"), Grade.BAD),
        (checks.schema(None, "0005"), Grade.BAD),
        (checks.retention(0.5), Grade.BAD),
        (checks.retention(30), Grade.GOOD),
        (checks.search_attributes([]), Grade.GOOD),
        (checks.search_attributes(["KeyfillStage"]), Grade.BAD),
        (checks.pollers("key", None, within=120), Grade.AWAY),
        (checks.pollers("key", 121, within=120), Grade.AWAY),
        (checks.pollers("key", 119, within=120), Grade.GOOD),
    ],
)
def test_each_rule_has_two_sides(finding: Finding, grade: Grade) -> None:
    """What is well is said to be, and what is not comes with a sentence that says what to do."""
    assert finding.grade is grade
    assert finding.says.endswith(".")


@pytest.mark.parametrize(
    ("regions", "development", "grade"),
    [
        (frozenset({"DE", "AT"}), False, Grade.GOOD),
        (None, True, Grade.GOOD),
        (None, False, Grade.WARNING),
    ],
)
def test_sms_to_any_country_are_noted(
    regions: frozenset[str] | None, development: bool, grade: Grade
) -> None:
    """Outside development it works, and what to set is named."""
    finding = checks.sms_regions(regions, development=development)
    assert finding.grade is grade
    assert (grade is Grade.WARNING) is ("KEYFILL_SMS_REGIONS" in finding.says)


@pytest.mark.parametrize(
    ("named", "grade"),
    [
        ("127.0.0.1", Grade.GOOD),
        ("172.31.80.1, 10.0.0.0/24", Grade.GOOD),
        ("*", Grade.BAD),
        ("172.31.80.1, ::/0", Grade.BAD),
        ("0.0.0.0/0", Grade.BAD),
    ],
)
def test_believing_everybodys_address_is_told(named: str, grade: Grade) -> None:
    """Or no limit of addresses holds: callers would name one of their own at each call."""
    assert checks.trusted_proxies(named).grade is grade
