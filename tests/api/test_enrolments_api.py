"""Enrolments: a one-time link takes one self-signed entry, which waits for two officers."""

from typing import Any

import pytest

from ceremony.enrolment import (
    EnrolmentDraft,
    EnrolmentError,
    link_token_digest,
    new_link_token,
    number_digest,
    open_draft,
    seal_draft,
)
from ceremony.registry import officers_of
from ceremony.statements import CredentialEntry, PublicJwk
from ceremony.verification import Verified
from records import credentialentries, enrolments
from records.tables.credential_entry import CredentialState
from records.tables.enrolment_link import EnrolmentLinkRow
from tests.support.apihouse import House, wire
from tests.support.identities import Signer, jwk_signer, passkey_signer

NUMBER = "+4915112345990"


def draft(house: House, **fields: Any) -> EnrolmentDraft:
    """What an officer drafts for a new colleague."""
    said = {
        "person": "person-9",
        "staff_no": "A1009",
        "name": "Administrator 9",
        "roles": ("administrator",),
        "number": NUMBER,
        "seq": 1,
        "valid_until": house.world.now + 1000,
    }
    return EnrolmentDraft(**{**said, **fields})


def link(house: House, about: EnrolmentDraft) -> str:
    """Make a link for a draft, good for ten minutes; gives its token."""
    token = new_link_token()
    with house.backstage.database.write() as session:
        enrolments.create(
            session,
            EnrolmentLinkRow(
                token_digest=link_token_digest(token),
                person=about.person,
                sealed_draft=seal_draft(token, about),
                expires_at=house.world.now + 600,
            ),
        )
    return token


def entry(house: House, about: EnrolmentDraft, signer: Signer, **fields: Any) -> Verified[Any]:
    """The entry of a draft, signed by the new key."""
    enrolled = signer.enrolled
    payload = {
        **house.world.common(),
        **about.model_dump(),
        "public_key": PublicJwk(**enrolled.public_key.jwk),
        "credential_id": enrolled.credential_id,
        **fields,
    }
    return house.world.signed(CredentialEntry(**payload), signer)


async def enrol(house: House, token: str, said: Verified[Any]) -> Any:
    """Send an entry with a link."""
    return await house.post("/v1/enrolments", {"token": token, "statement": wire(said)})


@pytest.mark.parametrize("form", ["passkey", "jwk"])
async def test_an_enrolled_key_is_pending(house: House, form: str) -> None:
    """The entry is stored as signed, pending: it signs nobody in until two officers signed it."""
    signer: Signer = passkey_signer("ninth") if form == "passkey" else jwk_signer("ninth")
    about = draft(house)
    said = entry(house, about, signer)
    response = await enrol(house, link(house, about), said)
    assert response.status_code == 201
    assert response.json() == {"person": "person-9", "digest": said.digest}
    with house.backstage.database.read() as session:
        row = credentialentries.credential_entry(session, said.digest)
    assert row is not None
    assert (row.state, row.kid) == (CredentialState.PENDING, said.kid)
    assert row.number_digest == number_digest(NUMBER)
    assert officers_of(row.envelope, house.world.trust) == frozenset()
    assert NUMBER not in row.model_dump_json(exclude={"envelope"})


async def test_a_link_serves_once(house: House) -> None:
    """The same entry again gives the same answer; another entry finds the link used up."""
    about = draft(house)
    token, said = link(house, about), entry(house, about, jwk_signer("ninth"))
    first = await enrol(house, token, said)
    again = await enrol(house, token, said)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await enrol(house, token, entry(house, about, jwk_signer("tenth")))
    assert (other.status_code, other.json()["code"]) == (410, "enrolment-link-expired")


async def test_an_expired_link_is_gone(house: House) -> None:
    """After its time a link serves nobody."""
    about = draft(house)
    token, said = link(house, about), entry(house, about, jwk_signer("ninth"))
    house.world.pass_time(600)
    assert (await enrol(house, token, said)).status_code == 410
    response = await house.post("/v1/enrolments/draft", {"token": token})
    assert response.status_code == 410


async def test_an_unknown_link_is_not_found(house: House) -> None:
    """A token that nobody made: 404."""
    said = entry(house, draft(house), jwk_signer("ninth"))
    assert (await enrol(house, new_link_token(), said)).status_code == 404
    response = await house.post("/v1/enrolments/draft", {"token": new_link_token()})
    assert response.status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"person": "person-1"},
        {"staff_no": "A1001"},
        {"name": "Somebody Else"},
        {"roles": ("administrator", "auditor")},
        {"number": "+4915112345991"},
        {"seq": 2},
    ],
)
async def test_an_entry_says_what_the_officer_drafted(house: House, fields: dict[str, Any]) -> None:
    """Whoever holds the link cannot make of it another person, number, role or `seq`."""
    about = draft(house)
    token = link(house, about)
    response = await enrol(house, token, entry(house, about, jwk_signer("ninth"), **fields))
    assert (response.status_code, response.json()["code"]) == (403, "enrolment-refused")
    good = await enrol(house, token, entry(house, about, jwk_signer("ninth")))
    assert good.status_code == 201


async def test_an_entry_that_its_key_did_not_sign_is_not_authenticated(house: House) -> None:
    """Somebody else's key cannot be enrolled: the entry is signed by the key in it."""
    about = draft(house)
    said = entry(house, about, jwk_signer("ninth"))
    forged = house.world.signed(said.payload, jwk_signer("tenth"))
    response = await enrol(house, link(house, about), forged)
    assert (response.status_code, response.json()["code"]) == (401, "wrong-signer")


async def test_the_draft_is_shown_to_the_links_holder(house: House) -> None:
    """Whoever holds the link sees what to sign, and the link stays good."""
    about = draft(house)
    token = link(house, about)
    response = await house.post("/v1/enrolments/draft", {"token": token})
    shown = response.json()
    assert shown.pop("aud") == house.world.trust.audience
    assert shown.pop("server_time") == house.world.now
    assert shown.pop("approval_keys") == "any"
    assert shown == {**about.model_dump(), "roles": ["administrator"]}
    assert (await enrol(house, token, entry(house, about, jwk_signer("ninth")))).is_success


def test_a_draft_opens_with_its_own_token_only(house: House) -> None:
    """The database alone opens no draft: the sealed bytes show no number."""
    token = new_link_token()
    about = draft(house)
    sealed = seal_draft(token, about)
    assert open_draft(token, sealed) == about
    assert NUMBER.encode() not in sealed
    for wrong in (new_link_token(), "", "A" * 42, "not base64url!"):
        with pytest.raises(EnrolmentError):
            open_draft(wrong, sealed)
    with pytest.raises(EnrolmentError):
        open_draft(token, sealed[:-1] + bytes([sealed[-1] ^ 1]))
