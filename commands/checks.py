"""What `keyfill doctor` concludes from what it found: pure rules, one finding each.

A finding says what is so and, if that is not good, what to do about it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from ceremony.approvalkeys import ApprovalKeys
from engine.keyring import KeyRing, KeyRingError

SOON_DAYS: Final = 60
"""Certificates take weeks to be issued in a bank."""
SHORT_COOLING_OFF: Final = 3_600
MOST_SKEW_SECONDS: Final = 30
"""Statements of administrators count for five minutes; half a minute of error leaves enough."""
LEAST_RETENTION_DAYS: Final = 1
MOST_NAMED: Final = 5
"""Staff numbers in one finding; `keyfill administrators list` has them all."""

_DAY: Final = 86_400


class Grade(StrEnum):
    """How good a finding is. `away` is for what does not answer, and may by itself tomorrow."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `says` is a sentence and holds no secret."""

    check: str
    grade: Grade
    says: str


def good(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, Grade.GOOD, says)


def warning(check: str, says: str) -> Finding:
    """It works, and should not stay so."""
    return Finding(check, Grade.WARNING, says)


def bad(check: str, says: str) -> Finding:
    """It must be mended."""
    return Finding(check, Grade.BAD, says)


def away(check: str, says: str) -> Finding:
    """It does not answer."""
    return Finding(check, Grade.AWAY, says)


def payload_keys(rings: Mapping[str, str | None]) -> Finding:
    """Whether all roles seal alike; `rings` is each role's secret, None where there is none."""
    check = "payload keys"
    held = {role: text for role, text in rings.items() if text is not None}
    if not held:
        return warning(check, "There are none, so payloads are in clear, as in development only.")
    missing = sorted(rings.keys() - held.keys())
    if missing:
        return bad(check, f"Give keyfill_payload_keys to {_names(missing)} too.")
    read: dict[str, KeyRing] = {}
    for role, text in held.items():
        try:
            read[role] = KeyRing.read(text)
        except KeyRingError as error:
            return bad(check, f"{error} ({role})")
    first = next(iter(read))
    others = sorted(role for role in read if set(read[role].keys) != set(read[first].keys))
    if others:
        return bad(check, f"Give {_names(others)} the same payload keys as {first}.")
    sealing = {ring.sealing.key_id for ring in read.values()}
    if len(sealing) > 1:
        return warning(check, f"A rotation is under way: {_names(sorted(sealing))} seal.")
    return good(check, f"All roles seal with {sealing.pop()}.")


def certificate(name: str, ends: datetime, now: float) -> Finding:
    """How long a certificate lasts; `now` is Unix time in seconds."""
    check = f"certificate: {name}"
    left = int((ends.timestamp() - now) // _DAY)
    day = f"{ends.astimezone(UTC):%Y-%m-%d}"
    if ends.timestamp() <= now:
        return bad(check, f"Replace it: it ended on {day}.")
    if left < SOON_DAYS:
        return warning(check, f"Replace it within {left} days: it ends on {day}.")
    return good(check, f"It lasts until {day}.")


def cooling_off(seconds: int, *, development: bool) -> Finding:
    """Whether a change of an administrator can be noticed before it grants anything."""
    check = "cooling-off time"
    hours = f"Changes of administrators wait {seconds / 3_600:g} h."
    if seconds >= SHORT_COOLING_OFF:
        return good(check, hours)
    if development:
        return good(check, f"{hours} This is development.")
    return warning(check, f"{hours} Give the trust file cooling_off_seconds of 86400.")


def approval_keys(demanded: ApprovalKeys, *, development: bool) -> Finding:
    """Whether only keys that cannot be copied off a device may sign approvals."""
    check = "approval keys"
    match demanded:
        case ApprovalKeys.DEVICE_BOUND_PASSKEYS:
            return good(check, "Only passkeys that stay on one device may approve.")
        case ApprovalKeys.PASSKEYS:
            says = "Passkeys may approve that a cloud keeps copies of."
        case _:
            says = "Keys may approve that lie in a file or in a cloud."
    if development:
        return good(check, f"{says} This is development.")
    return warning(check, f"{says} Set KEYFILL_APPROVAL_KEYS to device-bound-passkeys.")


def sms_regions(regions: Collection[str] | None, *, development: bool) -> Finding:
    """Whether SMS go only where one's people are; `regions` as ISO 3166-1, None for anywhere."""
    check = "SMS regions"
    if regions:
        return good(check, f"SMS go to {_names(sorted(regions))} only.")
    says = "SMS go to any country."
    if development:
        return good(check, f"{says} This is development.")
    return warning(check, f"{says} Set KEYFILL_SMS_REGIONS to those of your people, as DE,AT.")


def trusted_proxies(named: str) -> Finding:
    """Whose word counts on where a call comes from; `named` as uvicorn reads it, by commas."""
    check = "trusted proxies"
    if any(one.strip() == "*" or one.strip().endswith("/0") for one in named.split(",")):
        return bad(
            check, "Set FORWARDED_ALLOW_IPS to your proxy: callers choose their address now."
        )
    return good(check, f"Only {named} is believed on where a call comes from.")


def approvers(unfit: Sequence[str]) -> Finding:
    """Whether every administrator has a key that may approve; `unfit` are staff numbers."""
    check = "administrators' keys"
    if not unfit:
        return good(check, "All of them may approve.")
    more = len(unfit) - MOST_NAMED
    named = _names([*unfit[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])
    return warning(check, f"They approve nothing with the keys they have: link {named} anew.")


def clock(other: str, ahead_seconds: float) -> Finding:
    """Whether this machine's clock agrees with another; positive if the other is ahead."""
    check = f"clock: {other}"
    if abs(ahead_seconds) <= MOST_SKEW_SECONDS:
        return good(check, f"They differ by {abs(ahead_seconds):.0f} s at most.")
    return bad(check, f"Set the clocks: that of {other} differs by {ahead_seconds:+.0f} s.")


def trust_file_mode(mode: int, *, development: bool) -> Finding:
    """Whether nobody but its owner may write the trust file; `mode` as `os.stat` gives it."""
    check = "trust file: who may write"
    if mode & 0o022:
        return bad(check, "Take the right to write it from its group and from others.")
    if mode & 0o200 and not development:
        return warning(check, "Make it read-only, for its owner too.")
    return good(check, "Nobody but its owner may write it.")


def schema(current: str | None, head: str | None) -> Finding:
    """Whether the database has the schema of this release."""
    check = "database: schema"
    if current == head:
        return good(check, f"It is at {head}.")
    if current is None:
        return bad(check, "Run `keyfill db upgrade`: the database is empty.")
    return bad(check, f"Run `keyfill db upgrade` of this release: it is at {current}, not {head}.")


def retention(days: float) -> Finding:
    """Whether Temporal keeps closed workflows long enough for auditors to read them."""
    check = "Temporal: retention"
    if days < LEAST_RETENTION_DAYS:
        return bad(check, "Have the namespace keep closed workflows for a day at least.")
    return good(check, f"Closed workflows are kept for {days:.0f} days.")


def search_attributes(missing: Collection[str]) -> Finding:
    """Whether auditors can search by ours."""
    check = "Temporal: search attributes"
    if missing:
        named = _names(sorted(missing))
        return bad(check, f"Run `keyfill prepare-temporal`: the namespace lacks {named}.")
    return good(check, "All are registered.")


def pollers(who: str, seen_seconds_ago: float | None, *, within: float) -> Finding:
    """Whether a worker asks for work; None if none was ever seen."""
    check = f"worker: {who}"
    if seen_seconds_ago is None or seen_seconds_ago > within:
        return away(check, f"Start it: no {who} worker asks for work.")
    return good(check, "It asks for work.")


def _names(several: Collection[str]) -> str:
    return ", ".join(several)
