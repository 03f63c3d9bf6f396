"""Keys that may not approve: told so at reception, refused by every worker, and at enrolment."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from activities.facts import FactFinder
from ceremony.approvalkeys import ApprovalKeys
from ceremony.enrolment import EnrolmentDraft, link_token_digest, new_link_token, seal_draft
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.statements import CredentialEntry, PublicJwk
from ceremony.trust import Trust
from ceremony.verification import StatementError
from records import credentialentries, enrolments, keystore, submissions
from records.standing import present
from records.tables.enrolment_link import EnrolmentLinkRow
from tests.support.acts import Act
from tests.support.apihouse import House, make_world, wire
from tests.support.authenticator import BACKED_UP, BACKUP_ELIGIBLE, Passkey
from tests.support.identities import Signer, jwk_signer, passkey_signer

BOUND = ApprovalKeys.DEVICE_BOUND_PASSKEYS


def in_a_cloud(label: str) -> Passkey:
    """A passkey that a cloud keeps."""
    passkey = passkey_signer(label)
    return replace(passkey, flags=passkey.flags | BACKUP_ELIGIBLE | BACKED_UP)


def to_a_cloud(house: House, who: str) -> None:
    """Let an administrator's authenticator say from now on that their passkey is in a cloud."""
    signer = getattr(house.world, who).signer
    signer.flags |= BACKUP_ELIGIBLE | BACKED_UP


@pytest_asyncio.fixture
async def strict(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose API takes approvals by device-bound passkeys only; both people have them."""
    world = make_world(first=passkey_signer("first"), second=passkey_signer("second"))
    made = House.make(tmp_path, world=world, approvals=BOUND)
    yield made
    await made.close()


async def told(act: Act, statement: Any = None) -> tuple[int, str]:
    """Send an act's statement; give the status and the code."""
    response = await act.send(statement or act.statement())
    return response.status_code, response.json().get("code")


@pytest.mark.parametrize("kind", ["application", "decision"])
async def test_an_approval_by_a_passkey_of_a_cloud_is_refused_at_reception(
    strict: House, kind: str
) -> None:
    """403 with the reason to its signer; nothing is stored, no attempt used, the trail has the key.

    The honest passkey goes on with the same request.
    """
    act = await Act.ready(strict, kind)
    before = strict.backstage.row(act.load.id).version
    said = act.statement(signer=in_a_cloud("first" if kind == "application" else "second"))
    assert await told(act, said) == (403, "passkey-not-device-bound")
    with strict.backstage.database.read() as session:
        assert submissions.get(session, said.digest) is None
    assert strict.backstage.row(act.load.id).version == before
    event = strict.events("statement-refused")[-1]
    assert event.reason == Reason.PASSKEY_NOT_DEVICE_BOUND
    assert said.kid in event.detail
    honest = await act.send(act.statement())
    assert honest.status_code == 200
    assert honest.json().get("attempts_left", 5) == 5


async def test_a_copy_in_other_words_is_refused_at_reception(tmp_path: Path) -> None:
    """Of a passkey that was enrolled as one of a cloud: that an assertion denies it is no help."""
    house = House.make(tmp_path, world=make_world(first=in_a_cloud("first")), approvals=BOUND)
    act = await Act.ready(house, "application")
    said = act.statement(signer=replace(passkey_signer("first"), count=100))
    assert await told(act, said) == (403, "passkey-not-device-bound")
    await house.close()


async def test_an_approval_by_a_plain_key_is_refused_at_reception(tmp_path: Path) -> None:
    """Where passkeys are demanded an enrolled plain key signs in, and applies for nothing."""
    house = House.make(tmp_path, approvals=ApprovalKeys.PASSKEYS)
    act = await Act.ready(house, "application")
    assert await told(act) == (403, "passkey-required")
    assert house.backstage.row(act.load.id).stage is Stage.AWAITING_APPLICATION
    withdrawn = Act("withdrawal", act.load, act.session)
    assert (await withdrawn.send(withdrawn.statement())).status_code == 200
    await house.close()


async def test_whoever_may_not_approve_signs_in_and_cancels(strict: House) -> None:
    """A passkey of a cloud opens a session and withdraws: neither grants anything."""
    act = await Act.ready(strict, "withdrawal")
    to_a_cloud(strict, "first")
    await strict.sign_in(strict.world.first)
    assert (await act.send(act.statement())).status_code == 200
    assert strict.backstage.row(act.load.id).stage is Stage.CANCELLED


async def test_the_ceremony_worker_refuses_what_the_api_let_pass(tmp_path: Path) -> None:
    """It verifies the stored application again, by its own setting."""
    house = House.make(tmp_path, world=make_world(first=in_a_cloud("first")))
    load = await house.open()
    application = await load.apply()
    world, now = house.world, house.world.now
    finder = FactFinder(Trust.read(world.trust_file, approvals=BOUND), world.codes, world.edge)
    with house.backstage.database.read() as session:
        row = submissions.get(session, application.digest)
        registered = present(session, finder.trust, world.terminal.terminal_no, now=now)
    assert row is not None
    with pytest.raises(StatementError, match=Reason.PASSKEY_NOT_DEVICE_BOUND):
        finder.prove(row, registered)
    await house.close()


@pytest.mark.parametrize("who", ["first", "second"])
async def test_the_key_worker_refuses_what_everybody_else_accepted(
    tmp_path: Path, who: str
) -> None:
    """API and ceremony worker take any key; the key worker has its own setting: no key."""
    world = make_world(**{"first": passkey_signer("first"), who: in_a_cloud(who)})
    lax = House.make(tmp_path, world=world)
    lax.backstage.key_approvals = BOUND
    load = await lax.open()
    await load.approve()
    assert load.application is not None
    confirmation = world.confirmation(load.application)
    response = await load.send_confirmation(confirmation)
    assert (response.status_code, response.json()["code"]) == (403, "passkey-not-device-bound")
    row = lax.backstage.row(load.id)
    assert (row.stage, row.reason) == (Stage.FAILED, Reason.PASSKEY_NOT_DEVICE_BOUND)
    with lax.backstage.database.read() as session:
        assert keystore.tokens_of(session, load.id) == []
    await lax.close()


def link(house: House, *roles: Literal["administrator", "auditor"]) -> tuple[str, EnrolmentDraft]:
    """A link for a new colleague with these roles: its token, and the draft."""
    draft = EnrolmentDraft(
        person="person-9",
        staff_no="A1009",
        name="Administrator 9",
        roles=roles,
        number="+4915112345990",
        seq=1,
        valid_until=house.world.now + 1000,
    )
    token = new_link_token()
    with house.backstage.database.write() as session:
        enrolments.create(
            session,
            EnrolmentLinkRow(
                token_digest=link_token_digest(token),
                person=draft.person,
                sealed_draft=seal_draft(token, draft),
                expires_at=house.world.now + 600,
            ),
        )
    return token, draft


async def enrol(house: House, token: str, draft: EnrolmentDraft, by: Signer) -> tuple[int, str]:
    """Send a draft's entry, signed by the new key; give the status and the code, if any."""
    entry = CredentialEntry(
        **house.world.common(),
        **draft.model_dump(),
        public_key=PublicJwk(**by.enrolled.public_key.jwk),
        credential_id=by.enrolled.credential_id,
    )
    statement = wire(house.world.signed(entry, by))
    response = await house.post("/v1/enrolments", {"token": token, "statement": statement})
    return response.status_code, response.json().get("code", "")


async def test_an_administrators_key_that_could_not_approve_is_not_enrolled(strict: House) -> None:
    """Refused with the reason, and nothing pending; the link serves for a passkey that may."""
    token, draft = link(strict, "administrator", "auditor")
    shown = await strict.post("/v1/enrolments/draft", {"token": token})
    assert shown.json()["approval_keys"] == BOUND
    refused = await enrol(strict, token, draft, in_a_cloud("ninth"))
    assert refused == (403, "passkey-not-device-bound")
    assert await enrol(strict, token, draft, jwk_signer("ninth")) == (403, "passkey-required")
    with strict.backstage.database.read() as session:
        assert list(credentialentries.pending_credentials(session)) == []
    assert (await enrol(strict, token, draft, passkey_signer("ninth")))[0] == 201


async def test_an_auditor_may_have_any_passkey(strict: House) -> None:
    """Who approves nothing is asked for nothing."""
    token, draft = link(strict, "auditor")
    shown = await strict.post("/v1/enrolments/draft", {"token": token})
    assert shown.json()["approval_keys"] == ApprovalKeys.ANY
    assert (await enrol(strict, token, draft, in_a_cloud("ninth")))[0] == 201
