"""No key, number or person serves two roles of one terminal."""

from dataclasses import replace
from typing import Any

import pytest

from ceremony.eppcertificate import EntryError
from ceremony.reasons import Reason
from ceremony.registry import VerifiedCredential
from ceremony.standing import Standing, broken_dual_control, standing_of
from tests.support.identities import Administrator, passkey_signer
from tests.support.world import World

WORLD = World.make()
FIRST = WORLD.read_credential(WORLD.credential_entry(WORLD.first))
SECOND = WORLD.read_credential(WORLD.credential_entry(WORLD.second))
TERMINAL = WORLD.read_terminal(WORLD.terminal_entry())


def _second(who: Administrator | None = None, **fields: Any) -> VerifiedCredential:
    return WORLD.read_credential(WORLD.credential_entry(who or WORLD.second, **fields))


def _reason(first: VerifiedCredential, second: VerifiedCredential) -> Reason:
    with pytest.raises(EntryError) as refusal:
        standing_of(TERMINAL, first, second)
    return refusal.value.reason


def test_two_different_administrators_make_a_standing() -> None:
    """Different in person, number and credential: a standing, whose digest covers all three."""
    standing = standing_of(TERMINAL, FIRST, SECOND)
    assert isinstance(standing, Standing)
    assert broken_dual_control(FIRST, SECOND) is None
    scope = standing.code_scope("A" * 24)
    assert (scope.person, scope.number) == (WORLD.first.person, WORLD.first.number)
    assert scope.epp_fingerprint == WORLD.terminal.epp.fingerprint


def test_the_same_person_is_refused() -> None:
    """One person under one staff number is not two, whatever else differs."""
    assert _reason(FIRST, _second(staff_no=WORLD.first.staff_no)) is Reason.SAME_PERSON
    assert broken_dual_control(FIRST, _second(person=WORLD.first.person)) is Reason.SAME_PERSON


def test_the_same_number_is_refused() -> None:
    """One phone would receive the SMS of both."""
    assert _reason(FIRST, _second(number=WORLD.first.number)) is Reason.SAME_NUMBER


def test_the_same_credential_is_refused() -> None:
    """One key under two names is one key, also as JWK here and as passkey there."""
    same = replace(WORLD.second, signer=WORLD.first.signer)
    assert _reason(FIRST, _second(same)) is Reason.SAME_CREDENTIAL
    as_passkey = replace(WORLD.second, signer=passkey_signer("first"))
    assert as_passkey.kid == WORLD.first.kid
    assert _reason(FIRST, _second(as_passkey)) is Reason.SAME_CREDENTIAL


def test_one_passkey_with_two_keys_is_refused() -> None:
    """One credential id under two public keys is still one authenticator."""
    passkey = passkey_signer("first of a pair")
    other = replace(passkey_signer("second of a pair"), credential_id=passkey.credential_id)
    first = WORLD.read_credential(WORLD.credential_entry(replace(WORLD.first, signer=passkey)))
    assert _reason(first, _second(replace(WORLD.second, signer=other))) is Reason.SAME_CREDENTIAL


def test_the_device_key_is_no_administrators() -> None:
    """The terminal cannot approve itself."""
    as_device = replace(WORLD.second, signer=WORLD.terminal.device)
    assert _reason(FIRST, _second(as_device)) is Reason.SAME_CREDENTIAL
    first = WORLD.read_credential(
        WORLD.credential_entry(replace(WORLD.first, signer=WORLD.terminal.device))
    )
    assert _reason(first, SECOND) is Reason.SAME_CREDENTIAL


def test_entries_of_other_people_make_no_standing() -> None:
    """Exchanged or foreign administrators are not this terminal's."""
    third = WORLD.read_credential(WORLD.credential_entry(WORLD.third))
    for first, second in ((SECOND, FIRST), (FIRST, third), (third, SECOND), (FIRST, FIRST)):
        assert _reason(first, second) is Reason.REGISTRY_INCOMPLETE


@pytest.mark.parametrize("roles", [(), ("auditor",)])
def test_only_administrators_administer(roles: tuple[str, ...]) -> None:
    """An auditor reads; the role is signed by the officers."""
    assert _reason(FIRST, _second(roles=roles)) is Reason.NOT_ADMINISTRATOR
    auditor = WORLD.read_credential(WORLD.credential_entry(WORLD.first, roles=roles))
    assert _reason(auditor, SECOND) is Reason.NOT_ADMINISTRATOR
    both = _second(roles=("administrator", "auditor"))
    assert standing_of(TERMINAL, FIRST, both).second.entry.roles == ("administrator", "auditor")
