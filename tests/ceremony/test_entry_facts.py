"""What is derived from a verified entry, and the names that settings and auditors go by."""

import pytest

from ceremony.approvalkeys import ApprovalKeys
from ceremony.encoding import canonical_json, sha256_hex
from ceremony.registry import (
    MAX_STATEMENTS,
    read_credential_entry,
    read_terminal_entry,
    subject_name,
)
from ceremony.smscaps import Cap
from tests.support.world import World

WORLD = World.make()


@pytest.mark.parametrize(("officers", "may"), [(0, False), (1, False), (2, True), (3, True)])
def test_as_many_officers_as_enrol_give_a_terminal_to_others(officers: int, may: bool) -> None:
    """The feed's signature alone does not, nor does one officer's more."""
    signers = (WORLD.feed, *WORLD.officers[:officers])
    envelope = WORLD.terminal_entry(signers=signers)
    read = read_terminal_entry(envelope, WORLD.trust, now=WORLD.now)
    assert (len(read.officers), read.may_reassign) == (officers, may)


def test_an_assignment_is_both_administrators_in_order() -> None:
    """Exchanged they are another assignment: who scans and who reviews is not the same."""
    read = read_terminal_entry(WORLD.terminal_entry(), WORLD.trust, now=WORLD.now)
    both = [WORLD.terminal.first, WORLD.terminal.second]
    assert read.assignment_digest == sha256_hex(canonical_json(both))


def test_an_entry_is_about_its_terminal_or_its_person() -> None:
    """A note of one must not pass for the other's."""
    terminal = read_terminal_entry(WORLD.terminal_entry(), WORLD.trust, now=WORLD.now)
    credential = WORLD.credential_envelopes[WORLD.first.person]
    person = read_credential_entry(credential, WORLD.trust, now=WORLD.now)
    assert subject_name(terminal) == WORLD.terminal.terminal_no
    assert subject_name(person) == WORLD.first.person


def test_settings_and_the_audit_trail_keep_their_words() -> None:
    """A value in somebody's settings, a cap in a stored event: another word is another thing."""
    assert [one.value for one in ApprovalKeys] == ["any", "passkeys", "device-bound-passkeys"]
    assert {one.value for one in Cap} == {
        f"{whose}-{span}" for whose in ("person", "terminal", "all") for span in ("hour", "day")
    }
    assert MAX_STATEMENTS == 8
