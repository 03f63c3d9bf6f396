"""What officers sign: the enrolments that wait for them, in plain words.

Officers have keys and no session: they sign offline, with `keyfill officers`. This page shows the
same to an auditor, who may sit next to them; it signs nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.pages.rendering import render
from api.pages.visitors import SignedInVisitor
from api.parts import Parts, PartsDep
from api.problems import Refused
from ceremony.eppcertificate import EntryError
from ceremony.registry import officers_of, read_enrolment
from ceremony.sms import mask_number
from records import credentialentries, registrychanges

router = APIRouter(include_in_schema=False)

_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An enrolment as an officer has to see it.

    `digest` is in groups of four digits, as it is read aloud.
    """

    person: str
    staff_no: str
    name: str
    roles: tuple[str, ...]
    number: str
    passkey: bool
    kid: str
    digest: str
    signatures: int
    valid_until: str


@dataclass(frozen=True, slots=True)
class WaitingChange:
    """A change that officers signed and that waits; `effective_at` is when it takes effect.

    None until the key worker has said so.
    """

    subject: str
    name: str
    effective_at: str | None


@router.get("/o")
async def officers_page(
    request: Request, visitor: SignedInVisitor, parts: PartsDep
) -> HTMLResponse:
    """Show an auditor the entries that two officers have yet to sign, and what waits then."""
    if "auditor" not in visitor.roles:
        raise Refused("not-auditor")
    entries = await parts.database.run(_pending, parts)
    return render(
        request,
        "officers.html",
        signed_in=visitor,
        entries=entries,
        changes=await parts.database.run(_waiting, parts),
        threshold=parts.trust.officer_threshold,
    )


def _pending(parts: Parts) -> list[PendingEntry]:
    with parts.database.read() as session:
        rows = credentialentries.pending_credentials(session)
        envelopes = [row.envelope for row in rows]
    shown = (_shown(parts, envelope) for envelope in envelopes)
    return [one for one in shown if one is not None]


def _waiting(parts: Parts) -> list[WaitingChange]:
    with parts.database.read() as session:
        rows = registrychanges.cooling(session)
    return [
        WaitingChange(
            row.subject,
            row.name,
            None
            if row.effective_at is None
            else f"{datetime.fromtimestamp(row.effective_at, UTC):%Y-%m-%d %H:%M} UTC",
        )
        for row in rows
    ]


def _shown(parts: Parts, envelope: str) -> PendingEntry | None:
    try:
        verified = read_enrolment(envelope, parts.trust, now=parts.now())
        signatures = len(officers_of(envelope, parts.trust))
    except EntryError:
        # What does not verify is nothing that an officer can sign.
        return None
    entry, digest = verified.entry, verified.digest
    return PendingEntry(
        person=entry.person,
        staff_no=entry.staff_no,
        name=entry.name,
        roles=entry.roles,
        number=mask_number(entry.number),
        passkey=entry.credential_id is not None,
        kid=verified.key.public_key.kid,
        digest=" ".join(digest[n : n + _GROUP] for n in range(0, len(digest), _GROUP)),
        signatures=signatures,
        valid_until=datetime.fromtimestamp(entry.valid_until, UTC).date().isoformat(),
    )
