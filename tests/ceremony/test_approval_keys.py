"""Which keys may sign approvals: by setting, by kind of key, and by what the passkey says."""

from dataclasses import replace
from typing import Any

import pytest

from ceremony.approvalkeys import ApprovalKeys
from ceremony.reasons import Reason
from ceremony.release_rule import CHECKS, ReleaseRefused, confirmed, may_rewrap
from ceremony.statements import Kind
from ceremony.trust import Trust
from ceremony.verification import StatementError, Verified, verify
from tests.support.authenticator import (
    BACKED_UP,
    BACKUP_ELIGIBLE,
    USER_PRESENT,
    USER_VERIFIED,
    Passkey,
)
from tests.support.identities import AUDIENCE, Signer, jwk_signer, passkey_signer, signing_key
from tests.support.releasecase import ReleaseCase, refused
from tests.support.world import World

WITH_USER = USER_PRESENT | USER_VERIFIED
ELIGIBLE = WITH_USER | BACKUP_ELIGIBLE
IN_A_CLOUD = ELIGIBLE | BACKED_UP
ONLY_BACKED_UP = WITH_USER | BACKED_UP
ANY, PASSKEYS, BOUND = ApprovalKeys


def signer(label: str, flags: int | None) -> Signer:
    """A passkey with these flags, or a plain key for None."""
    return jwk_signer(label) if flags is None else replace(passkey_signer(label), flags=flags)


def world(first: int | None = WITH_USER, second: int | None = WITH_USER) -> World:
    """A deployment whose two administrators have such keys."""
    return World.make(first=signer("first", first), second=signer("second", second))


def trust(of: World, approvals: ApprovalKeys) -> Trust:
    """Its trust file, read where approvals need such keys."""
    return Trust.read(of.trust_file, approvals=approvals)


def statement(of: World, kind: Kind) -> Verified[Any]:
    """A statement of an administrator's, of this kind."""
    request = of.request()
    match kind:
        case Kind.APPLICATION:
            return of.application(request)
        case Kind.DECISION:
            return of.decision(of.application(request))
        case Kind.CANCELLATION:
            return of.cancellation(request, signer=of.first.signer)
    return of.login(of.first)


def told(said: Verified[Any], of: World, approvals: ApprovalKeys) -> Reason | None:
    """Why a verifier with this setting refuses it; None if it does not."""
    keys = [of.first.signer.enrolled, of.second.signer.enrolled]
    policy = trust(of, approvals).passkeys
    try:
        verify(said.text, type(said.payload), keys, audience=AUDIENCE, passkeys=policy)
    except StatementError as error:
        assert error.signed_by == said.kid
        return error.reason
    return None


@pytest.mark.parametrize("kind", [Kind.APPLICATION, Kind.DECISION])
@pytest.mark.parametrize(
    ("flags", "approvals", "reason"),
    [
        (None, ANY, None),
        (None, PASSKEYS, Reason.PASSKEY_REQUIRED),
        (None, BOUND, Reason.PASSKEY_REQUIRED),
        (WITH_USER, ANY, None),
        (WITH_USER, PASSKEYS, None),
        (WITH_USER, BOUND, None),
        (ELIGIBLE, ANY, None),
        (ELIGIBLE, PASSKEYS, None),
        (ELIGIBLE, BOUND, Reason.PASSKEY_NOT_DEVICE_BOUND),
        (IN_A_CLOUD, ANY, None),
        (IN_A_CLOUD, PASSKEYS, None),
        (IN_A_CLOUD, BOUND, Reason.PASSKEY_NOT_DEVICE_BOUND),
    ],
)
def test_an_approval_needs_the_key_that_the_setting_demands(
    kind: Kind, flags: int | None, approvals: ApprovalKeys, reason: Reason | None
) -> None:
    """That a passkey may be backed up counts, whether or not it was; the refusal names its key."""
    of = world(flags, flags)
    assert told(statement(of, kind), of, approvals) is reason


@pytest.mark.parametrize("kind", [Kind.CANCELLATION, Kind.LOGIN])
@pytest.mark.parametrize("flags", [None, IN_A_CLOUD])
def test_whoever_may_not_approve_may_read_and_call_off(kind: Kind, flags: int | None) -> None:
    """A login and a cancellation grant nothing: any enrolled key signs them."""
    of = world(flags)
    assert told(statement(of, kind), of, BOUND) is None


@pytest.mark.parametrize("approvals", ApprovalKeys)
@pytest.mark.parametrize("kind", [Kind.APPLICATION, Kind.DECISION, Kind.CANCELLATION, Kind.LOGIN])
def test_backed_up_and_never_eligible_is_malformed(kind: Kind, approvals: ApprovalKeys) -> None:
    """WebAuthn Level 3, section 6.1.3: BS without BE cannot be; no setting accepts it."""
    good = world()
    said = statement(good, kind)
    by = good.second if kind is Kind.DECISION else good.first
    assert isinstance(by.signer, Passkey)
    text = replace(by.signer, flags=ONLY_BACKED_UP).sign(said.payload)
    with pytest.raises(StatementError) as refusal:
        verify(
            text,
            type(said.payload),
            [by.signer.enrolled],
            audience=AUDIENCE,
            passkeys=trust(good, approvals).passkeys,
        )
    assert refusal.value.reason is Reason.PASSKEY_REFUSED


def test_the_key_is_named_only_once_its_signature_holds() -> None:
    """A stranger's assertion under the same credential id learns nothing of the setting."""
    of = world(IN_A_CLOUD)
    said = statement(of, Kind.APPLICATION)
    assert isinstance(of.first.signer, Passkey)
    stranger = replace(of.first.signer, key=signing_key("stranger"))
    text = stranger.sign(said.payload)
    with pytest.raises(StatementError) as refusal:
        verify(
            text,
            type(said.payload),
            [of.first.signer.enrolled],
            audience=AUDIENCE,
            passkeys=trust(of, BOUND).passkeys,
        )
    assert (refusal.value.reason, refusal.value.signed_by) == (Reason.PASSKEY_REFUSED, None)


def test_a_verifier_that_was_told_nothing_accepts_no_approval() -> None:
    """Without a policy there is no knowing what is demanded: no approval counts."""
    of = world(None)
    said = statement(of, Kind.APPLICATION)
    with pytest.raises(StatementError, match=Reason.PASSKEY_REQUIRED):
        verify(said.text, type(said.payload), [of.first.signer.enrolled], audience=AUDIENCE)


def test_a_trust_file_cannot_weaken_the_setting() -> None:
    """It is the process's setting and no member of the file; a file alone demands nothing."""
    of = world()
    assert Trust.read(of.trust_file).passkeys.approvals is ANY
    assert trust(of, BOUND).passkeys.approvals is BOUND
    assert "approval" not in trust(of, BOUND).model_dump_json()


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (IN_A_CLOUD, WITH_USER, Reason.PASSKEY_NOT_DEVICE_BOUND),
        (WITH_USER, IN_A_CLOUD, Reason.PASSKEY_NOT_DEVICE_BOUND),
        (WITH_USER, ELIGIBLE, Reason.PASSKEY_NOT_DEVICE_BOUND),
        (None, WITH_USER, Reason.PASSKEY_REQUIRED),
        (WITH_USER, None, Reason.PASSKEY_REQUIRED),
    ],
)
def test_the_release_rule_demands_it_by_itself(
    first: int | None, second: int | None, reason: Reason
) -> None:
    """Application and decision, each by its own assertion; all else is right, and no key is made.

    A key that was released is not wrapped again for such approvals either.
    """
    case = ReleaseCase.of(world(first, second))
    assert case.ask().checks == CHECKS
    case.trust = trust(case.world, BOUND)
    assert refused(case) is reason
    with pytest.raises(ReleaseRefused, match=reason):
        may_rewrap(case.statements, case.entries, case.trust, case.secrets, now=case.now)


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_copy_of_a_passkey_cannot_say_that_it_stays_on_its_device(which: str) -> None:
    """Whoever has the copy writes the flags: what the passkey said at its enrolment counts on."""
    case = ReleaseCase.of(world(**{which: ELIGIBLE}))
    said = case.application if which == "first" else case.decision
    signer = getattr(case.world, which).signer
    case.give(**{said.kind.value: replace(signer, flags=WITH_USER).sign(said.payload)})
    assert case.ask().checks == CHECKS
    case.trust = trust(case.world, BOUND)
    assert refused(case) is Reason.PASSKEY_NOT_DEVICE_BOUND


@pytest.mark.parametrize("approvals", [PASSKEYS, BOUND])
def test_a_release_record_names_what_was_demanded(approvals: ApprovalKeys) -> None:
    """Auditors see under which setting of the key worker a key was released."""
    case = ReleaseCase.of(world())
    case.trust = trust(case.world, approvals)
    assert case.ask().checks == (*CHECKS, approvals.value)
    proved = may_rewrap(case.statements, case.entries, case.trust, case.secrets, now=case.now)
    grant = confirmed(proved, case.statements.approval_code, case.secrets)
    assert grant.checks[-1] == approvals.value
