"""Enrolments: a person adds their own key to the entry that an officer drafted for them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.authentication import BySignature
from api.parts import Parts, PartsDep
from api.problems import ApiProblem, Gone, NotFound, Refused, statement_problem
from api.refusals import Refusal, note_refused
from api.responses import APPROVAL_KEY, BODY, DATABASE, STATEMENT, problems
from api.wire import DIGEST_EXAMPLE, Received, Statement, UnixSeconds, statement_text
from ceremony.approvalkeys import ApprovalKeys
from ceremony.enrolment import (
    EnrolmentDraft,
    EnrolmentError,
    link_token_digest,
    open_draft,
)
from ceremony.eppcertificate import EntryError
from ceremony.reasons import Reason
from ceremony.registry import VerifiedCredential, read_enrolment, seal_envelope
from ceremony.statements import Kind
from records import audit, credentialentries, enrolments
from records.entryrows import pending_credential_row
from records.tables.audit_event import ActorKind

router = APIRouter(prefix="/v1/enrolments", tags=["enrolments"])

_ENTRY = {401: (Reason.WRONG_SIGNER, Reason.ENTRY_EXPIRED, Reason.SEQ_LOWERED)}
_LINK = {404: ("not-found",), 410: ("enrolment-link-expired",)}

LinkToken = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{43}$",
        repr=False,
        description="From the one-time link, after the `#`.",
        examples=["hG7fK2mN9pQ4rS6tU8vW0xY1zA3bC5dE7fG9hI2jK4k"],
    ),
]


class LinkBody(Received):
    """A one-time link."""

    token: LinkToken


class EnrolmentBody(LinkBody):
    """A one-time link, and the `credential-entry` statement that the new key itself signed."""

    statement: Statement


class Draft(BaseModel):
    """What the `credential-entry` must say, beside the new key, `iat` and `nonce`."""

    aud: Annotated[str, Field(examples=["keyfill.example"])]
    person: Annotated[str, Field(examples=["person-17"])]
    staff_no: Annotated[str, Field(examples=["A1001"])]
    name: Annotated[str, Field(examples=["Alex Sample"])]
    roles: list[Literal["administrator", "auditor"]]
    number: Annotated[str, Field(description="E.164.", examples=["+4915112345678"])]
    seq: int
    valid_until: UnixSeconds
    approval_keys: Annotated[
        ApprovalKeys,
        Field(description="What kind of key this person needs; no part of the entry."),
    ]
    server_time: UnixSeconds


class Enrolled(BaseModel):
    """A pending entry: it counts once two officers have signed the statement of this digest."""

    person: Annotated[str, Field(examples=["person-17"])]
    digest: Annotated[str, Field(examples=[DIGEST_EXAMPLE])]


@router.post(
    "/draft",
    summary="See what the entry must say",
    responses=problems(BODY, _LINK, DATABASE),
)
async def enrolment_draft(body: LinkBody, caller: BySignature, parts: PartsDep) -> Draft:
    """Give whoever holds the link the entry that an officer drafted; the link stays good."""
    try:
        draft, _ = await parts.database.run(_draft, parts, body.token, None)
    except ApiProblem as problem:
        await note_refused(parts, caller, Refusal(Kind.CREDENTIAL_ENTRY, problem.reason))
        raise
    return Draft(
        aud=parts.trust.audience,
        approval_keys=_demanded(parts, draft.roles),
        server_time=parts.now(),
        **draft.model_dump(),
    )


@router.post(
    "",
    status_code=201,
    summary="Enrol a credential",
    responses=problems(
        STATEMENT, _ENTRY, _LINK, {403: ("enrolment-refused",)}, APPROVAL_KEY, DATABASE
    ),
)
async def enrol(body: EnrolmentBody, caller: BySignature, parts: PartsDep) -> Enrolled:
    """Take a self-signed `credential-entry` for a passkey or a JWK, and use the link up.

    The entry must say of the person what the officer drafted. It stays inactive until two
    officers have signed it. An administrator's key that could sign no approval here is refused,
    and the link stays good.
    """
    text = statement_text(body.statement)
    try:
        verified = await parts.database.run(_verified, parts, text)
    except EntryError as error:
        await note_refused(parts, caller, Refusal(Kind.CREDENTIAL_ENTRY, error.reason))
        raise statement_problem(error.reason) from None
    try:
        await parts.database.run(_enrol, parts, body.token, verified)
    except ApiProblem as problem:
        await note_refused(parts, caller, Refusal(Kind.CREDENTIAL_ENTRY, problem.reason))
        raise
    parts.metrics.statements.labels(Kind.CREDENTIAL_ENTRY, "answered").inc()
    return Enrolled(person=verified.entry.person, digest=verified.digest)


def _verified(parts: Parts, text: str) -> VerifiedCredential:
    return read_enrolment(seal_envelope([text]), parts.trust, now=parts.now())


def _draft(parts: Parts, token: str, digest: str | None) -> tuple[EnrolmentDraft, bool]:
    """Open a link's draft; also say whether the link was used, by the entry of this digest."""
    with parts.database.read() as session:
        link = enrolments.find(session, _token_digest(token))
        known = None if digest is None else credentialentries.credential_entry(session, digest)
    if link is None:
        raise NotFound
    again = link.used_at is not None and known is not None and known.person == link.person
    if not again and (link.used_at is not None or link.expires_at <= parts.now()):
        raise Gone("enrolment-link-expired")
    try:
        return open_draft(token, link.sealed_draft), again
    except EnrolmentError:
        raise NotFound from None


def _enrol(parts: Parts, token: str, verified: VerifiedCredential) -> None:
    draft, again = _draft(parts, token, verified.digest)
    entry, now = verified.entry, parts.now()
    if not draft.agrees_with(entry):
        raise Refused("enrolment-refused", reason=Reason.WRONG_SIGNATORY)
    if again:
        return
    refusal = _demanded(parts, entry.roles).refusal(backup_eligible=verified.backup_eligible)
    if refusal is not None:
        raise Refused(refusal)
    with parts.database.write() as session:
        if enrolments.take(session, _token_digest(token), now) is None:
            raise Gone("enrolment-link-expired")
        credentialentries.put_credential_entry(session, pending_credential_row(verified, now=now))
        audit.write(
            session,
            "credential-enrolled",
            at=now,
            actor_kind=ActorKind.ADMINISTRATOR,
            actor=entry.staff_no,
            detail={"digest": verified.digest, "kid": verified.key.public_key.kid},
        )


def _demanded(parts: Parts, roles: Sequence[str]) -> ApprovalKeys:
    """What a person's key must be: only administrators sign approvals."""
    return parts.trust.passkeys.approvals if "administrator" in roles else ApprovalKeys.ANY


def _token_digest(token: str) -> str:
    try:
        return link_token_digest(token)
    except EnrolmentError:
        raise NotFound from None
