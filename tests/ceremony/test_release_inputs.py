"""The release rule proves entries, codes and QR codes again: one of them wrong, and no key."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ceremony.codes import CodeBook, EdgeSeal
from ceremony.qr import QrSeal
from ceremony.reasons import Reason
from ceremony.release_rule import Entries, ReleaseSecrets, Statements
from ceremony.trust import Trust
from tests.support.deployment import EDGE_KEY, QR_KEY, SMS_SECRET
from tests.support.identities import AUDIENCE, jwk_signer, trust_text
from tests.support.releasecase import ReleaseCase, refused
from tests.support.world import SAMPLE_DIGEST, World

OTHER_KEY = bytes(64)
START = World.make().now


def _spoil_terminal(**fields: Any) -> Callable[[ReleaseCase], None]:
    def spoil(case: ReleaseCase) -> None:
        case.enrol(terminal=case.world.terminal_entry(**fields))

    return spoil


def _spoil_person(role: str, **fields: Any) -> Callable[[ReleaseCase], None]:
    def spoil(case: ReleaseCase) -> None:
        person = getattr(case.world, role)
        case.enrol(**{role: case.world.credential_entry(person, **fields)})

    return spoil


def _swap(case: ReleaseCase) -> None:
    case.entries = Entries(case.entries.terminal, case.entries.second, case.entries.first)


def _third(case: ReleaseCase) -> None:
    case.enrol(second=case.world.credential_envelopes[case.world.third.person])


def _other_terminal(case: ReleaseCase) -> None:
    case.enrol(terminal=case.world.terminal_envelopes[case.world.other.terminal_no])


def _same_person(case: ReleaseCase) -> None:
    case.enrol(terminal=case.world.terminal_entry(second="person-1"), second=case.entries.first)


def _forged_terminal(case: ReleaseCase) -> None:
    case.enrol(terminal=case.world.terminal_entry(signers=[case.world.officers[0]]))


def _foreign_officers(case: ReleaseCase) -> None:
    world = case.world
    own = world.officers
    world.officers = tuple(jwk_signer(f"no officer {n}").key for n in range(3))
    case.enrol(first=world.credential_entry(world.first))
    world.officers = own


def _raised_seq(case: ReleaseCase) -> None:
    case.trust = Trust.read(trust_text(case.world.feed, case.world.officers, lowest_seq=2))


def _same_key(case: ReleaseCase) -> None:
    world = case.world
    double = replace(world.second, signer=world.first.signer)
    case.enrol(second=world.credential_entry(double))


def _device_key(case: ReleaseCase) -> None:
    world = case.world
    double = replace(world.second, signer=world.terminal.device)
    case.enrol(second=world.credential_entry(double))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_spoil_terminal(valid_until=START), Reason.ENTRY_EXPIRED),
        (_spoil_person("first", valid_until=START), Reason.ENTRY_EXPIRED),
        (_spoil_person("second", valid_until=START), Reason.ENTRY_EXPIRED),
        (_raised_seq, Reason.SEQ_LOWERED),
        (_spoil_person("first", officers=1), Reason.OFFICERS_MISSING),
        (_spoil_person("second", officers=1), Reason.OFFICERS_MISSING),
        (_spoil_person("second", officers=0), Reason.OFFICERS_MISSING),
        (_foreign_officers, Reason.OFFICERS_MISSING),
        (_spoil_person("first", own=False), Reason.WRONG_SIGNER),
        (_forged_terminal, Reason.WRONG_SIGNER),
        (_swap, Reason.REGISTRY_INCOMPLETE),
        (_third, Reason.REGISTRY_INCOMPLETE),
        (_same_person, Reason.SAME_PERSON),
        (_spoil_person("second", staff_no="A1001"), Reason.SAME_PERSON),
        (_spoil_person("second", number=World.make().first.number), Reason.SAME_NUMBER),
        (_same_key, Reason.SAME_CREDENTIAL),
        (_device_key, Reason.SAME_CREDENTIAL),
        (_spoil_person("first", roles=("auditor",)), Reason.NOT_ADMINISTRATOR),
        (_spoil_person("second", roles=()), Reason.NOT_ADMINISTRATOR),
        (_other_terminal, Reason.UNKNOWN_KEY),
        (_spoil_terminal(branch="Moved"), Reason.REGISTRY_CHANGED),
        (_spoil_person("first", name="Renamed"), Reason.REGISTRY_CHANGED),
        (_spoil_person("second", seq=2), Reason.REGISTRY_CHANGED),
        (lambda case: case.enrol(terminal=""), Reason.MALFORMED),
        (lambda case: case.enrol(first='{"statements":[]}'), Reason.UNSIGNED),
    ],
)
def test_one_entry_spoilt_isrefused(spoil: Callable[[ReleaseCase], None], reason: Reason) -> None:
    """Expired, superseded, under-signed, swapped, changed or too close entries: refused."""
    case = ReleaseCase()
    spoil(case)
    assert refused(case) is reason


def _sms(n: int, *, right: bool = True, code_n: int | None = None) -> Callable[[ReleaseCase], None]:
    def spoil(case: ReleaseCase) -> None:
        code = case.world.sms_code(case.request, code_n or n) if right else "000000"
        case.give(sms_code=case.typed("sms", n, code))

    return spoil


def _sms_of_another_statement(case: ReleaseCase) -> None:
    code = case.world.sms_code(case.request)
    case.give(sms_code=case.typed("sms", 1, code, case.decision.digest))


def _renumbered(case: ReleaseCase) -> None:
    case.give(sms_code=replace(case.statements.sms_code, n=2))


def _out_of_range(case: ReleaseCase) -> None:
    case.give(sms_code=case.typed("sms", 4, "123456"))


def _approval(code: str | None, digest: str | None = None) -> Callable[[ReleaseCase], None]:
    def spoil(case: ReleaseCase) -> None:
        right = case.world.approval_code(case.request)
        case.give(approval_code=case.typed("approval", 0, code or right, digest))

    return spoil


def _sms_for_approval(case: ReleaseCase) -> None:
    case.give(approval_code=case.statements.sms_code)


def _secrets(**changes: Any) -> Callable[[ReleaseCase], None]:
    def spoil(case: ReleaseCase) -> None:
        case.secrets = replace(case.secrets, **changes)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_sms(1, right=False), Reason.SMS_CODE_WRONG),
        (_sms(2, code_n=1), Reason.SMS_CODE_WRONG),
        (_out_of_range, Reason.SMS_CODE_WRONG),
        (_renumbered, Reason.SMS_CODE_WRONG),
        (_sms_of_another_statement, Reason.SMS_CODE_WRONG),
        (_approval("0000x"), Reason.APPROVAL_CODE_WRONG),
        (_approval(None, SAMPLE_DIGEST), Reason.APPROVAL_CODE_WRONG),
        (_sms_for_approval, Reason.APPROVAL_CODE_WRONG),
        (lambda case: case.give(qr_n=1), Reason.QR_REFUSED),
        (lambda case: case.give(qr_n=-1), Reason.QR_REFUSED),
        (lambda case: case.give(qr_expires_at=START), Reason.QR_REFUSED),
        (lambda case: case.give(qr_expires_at=2**70), Reason.QR_REFUSED),
        (_secrets(codes=CodeBook(bytes(32))), Reason.SMS_CODE_WRONG),
        (_secrets(edge=EdgeSeal(bytes(32))), Reason.SMS_CODE_WRONG),
        (_secrets(qr=QrSeal(OTHER_KEY, AUDIENCE)), Reason.QR_REFUSED),
        (_secrets(qr=QrSeal(QR_KEY, "elsewhere")), Reason.QR_REFUSED),
    ],
)
def test_codes_and_qr_codes_are_proved_again(
    spoil: Callable[[ReleaseCase], None], reason: Reason
) -> None:
    """Codes are recomputed under the key worker's own secrets; a MAC fits one statement only."""
    case = ReleaseCase()
    spoil(case)
    assert refused(case) is reason


def test_a_later_sms_code_is_as_good() -> None:
    """A code sent again (2, 3) authorises like the first."""
    for n in (2, 3):
        case = ReleaseCase()
        _sms(n)(case)
        assert case.ask().application.digest == case.application.digest


def test_every_field_of_the_case_was_broken_once() -> None:
    """A new input of the rule needs a test that breaks it."""
    assert set(Statements.__dataclass_fields__) == {
        "request",
        "application",
        "decision",
        "confirmation",
        "qr_n",
        "qr_expires_at",
        "sms_code",
        "approval_code",
    }
    assert set(Entries.__dataclass_fields__) == {"terminal", "first", "second"}
    assert set(ReleaseSecrets.__dataclass_fields__) == {"codes", "edge", "qr"}
    assert len({SMS_SECRET, EDGE_KEY, QR_KEY}) == 3
