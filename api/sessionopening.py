"""Opening a session: the row, sealed, and its event, in the transaction of the sign-in."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from api.parts import Parts
from api.tokens import SESSION_SECONDS, session_digest
from records import audit, sessions
from records.tables.audit_event import ActorKind
from records.tables.session import SessionRow, SessionSource


@dataclass(frozen=True, slots=True)
class Holder:
    """Who signed in, and how; `person` and `kid` of the credential entry, if it rests on one."""

    source: SessionSource
    staff_no: str
    name: str
    roles: tuple[str, ...]
    person: str | None = None
    kid: str | None = None


def open_session(
    session: Session,
    parts: Parts,
    holder: Holder,
    token: str,
    *,
    now: int,
    detail: Mapping[str, Any],
) -> int:
    """Store a session and tell the audit trail; gives when it expires. `now` is Unix seconds."""
    sessions.purge_expired(session, now)
    row = SessionRow(
        token_digest=session_digest(token),
        source=holder.source,
        person=holder.person,
        kid=holder.kid,
        staff_no=holder.staff_no,
        name=holder.name,
        roles=json.dumps(holder.roles),
        created_at=now,
        expires_at=now + SESSION_SECONDS,
        seal="",
    )
    row.seal = parts.session_seal.seal(row)
    sessions.create(session, row)
    audit.write(
        session,
        "session-opened",
        at=now,
        actor_kind=actor_kind_of(holder.roles),
        actor=holder.staff_no,
        detail={**detail, "by": holder.source.value, "roles": list(holder.roles)},
    )
    return row.expires_at


def actor_kind_of(roles: Collection[str]) -> ActorKind:
    """As whom the audit trail names someone: by the role that may do most to a load."""
    for kind in (ActorKind.ADMINISTRATOR, ActorKind.AUDITOR, ActorKind.OPERATOR):
        if kind.value in roles:
            return kind
    return ActorKind.ADMINISTRATOR
