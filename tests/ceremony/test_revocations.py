"""Revocations: one officer's word, about one subject, for this deployment, and nothing else."""

from typing import Any

import pytest
from pydantic import ValidationError

from ceremony.keys import SigningKey
from ceremony.reasons import Reason
from ceremony.revocations import Revocation, Subject, read_revocation
from ceremony.signing import sign
from ceremony.statements import Kind, RemovalOrderPayload, RevocationPayload
from ceremony.verification import StatementError
from tests.support.forging import raw_jws
from tests.support.identities import signing_key
from tests.support.world import World


@pytest.fixture
def world() -> World:
    """A deployment with three officers."""
    return World.make()


def revocation(world: World, signer: SigningKey | None = None, **fields: Any) -> str:
    """A revocation of the first administrator's entries up to 4, unless bent."""
    said = {
        **world.common(),
        "person": "person-1",
        "terminal_no": None,
        "seq": 4,
        "reason_code": "lost-phone",
        **fields,
    }
    return sign(RevocationPayload(**said), signer or world.officers[0])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_any_one_officer_revokes(world: World, n: int) -> None:
    """What takes away needs one officer, whichever it is."""
    text = revocation(world, world.officers[n])
    read = read_revocation(text, world.trust)
    assert read == Revocation(
        subject=Subject.PERSON,
        name="person-1",
        seq=4,
        reason_code="lost-phone",
        officer=world.officers[n].kid,
        digest=read.digest,
        text=text,
    )


def test_a_terminal_is_a_subject_too(world: World) -> None:
    """A terminal number names a terminal, also where a person has the same name."""
    text = revocation(world, person=None, terminal_no="ATM-0001")
    read = read_revocation(text, world.trust)
    assert (read.subject, read.name) == (Subject.TERMINAL, "ATM-0001")


@pytest.mark.parametrize("both", [(None, None), ("person-1", "ATM-0001")])
def test_a_revocation_is_about_exactly_one(
    world: World, both: tuple[str | None, str | None]
) -> None:
    """About nobody, or about two, it cannot be made; forged so, it is malformed."""
    person, terminal_no = both
    with pytest.raises(ValidationError):
        revocation(world, person=person, terminal_no=terminal_no)
    said = {**world.common(), "seq": 1, "reason_code": "left"}
    payload = {**said, "person": person, "terminal_no": terminal_no}
    officer = world.officers[0]
    header = {"alg": officer.alg, "kid": officer.kid, "typ": Kind.REVOCATION.typ}
    with pytest.raises(StatementError) as refused:
        read_revocation(raw_jws(header, payload, officer), world.trust)
    assert refused.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("seq", [-1, 2**53 + 1, 1.0, "1"])
def test_a_seq_is_a_whole_number_in_range(world: World, seq: object) -> None:
    """As in the entries that it takes away."""
    with pytest.raises(ValidationError):
        revocation(world, seq=seq)


def test_nobody_else_revokes(world: World) -> None:
    """Not the feed, not an administrator, not a stranger: whoever grants entries or uses them."""
    for signer in (world.feed, signing_key("first"), SigningKey.generate()):
        with pytest.raises(StatementError) as refused:
            read_revocation(revocation(world, signer), world.trust)
        assert refused.value.reason is Reason.UNKNOWN_KEY


def test_it_is_for_this_deployment_and_of_this_kind(world: World) -> None:
    """An officer's revocation elsewhere, or another statement of theirs, takes nothing away."""
    order = RemovalOrderPayload(**world.common(), most=3, expires_at=world.now + 60)
    for text, reason in (
        (revocation(world, aud="another deployment"), Reason.WRONG_AUDIENCE),
        (sign(order, world.officers[0]), Reason.WRONG_TYPE),
        ("nonsense", Reason.MALFORMED),
    ):
        with pytest.raises(StatementError) as refused:
            read_revocation(text, world.trust)
        assert refused.value.reason is reason


def test_an_altered_revocation_is_refused(world: World) -> None:
    """Another subject or `seq` under the same signature does not verify."""
    mine, other = revocation(world), revocation(world, seq=9)
    head, _, signature = mine.split(".")
    mixed = f"{head}.{other.split('.')[1]}.{signature}"
    with pytest.raises(StatementError) as refused:
        read_revocation(mixed, world.trust)
    assert refused.value.reason is Reason.BAD_SIGNATURE


def test_a_revocation_never_goes_stale(world: World) -> None:
    """It is for ever: years later it takes away what it took away."""
    text = revocation(world, iat=world.now - 10 * 365 * 86_400)
    assert read_revocation(text, world.trust).seq == 4
