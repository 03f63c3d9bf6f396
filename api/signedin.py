"""Who holds a session: an enrolled person as their entry says now, or one without a credential.

A session's row is believed only under the API's own seal; what it rests on is verified anew.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from sqlmodel import Session

from api.roles import ROLE_NAMES, SEES_OPERATIONS, RoleName
from api.sessionseal import SessionForged, SessionSeal, roles_of
from ceremony.trust import Trust
from records import sessions
from records.standing import verified_credential
from records.tables.session import SessionRow, SessionSource

WITHOUT_CREDENTIAL: Final = "without credential: "
"""What begins the `person` of one who has none; no person's name in the registry has a space."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who holds a session, as their credential entry says now.

    Without a credential (an auditor or operator by OpenID Connect) there is no key id and no
    telephone number, and `person` is a name that nobody in the registry can have.
    """

    person: str
    staff_no: str
    name: str
    roles: tuple[RoleName, ...]
    kid: str | None
    number: str = field(repr=False)
    session_digest: str = field(repr=False)

    @property
    def counted(self) -> str:
        """Whom rate limits count: the credential, or whoever has none by their name."""
        return self.kid or self.person


def session_holder(
    session: Session, trust: Trust, seal: SessionSeal, digest: str, now: int
) -> SignedIn | None:
    """Who holds the session of this token digest.

    None if it ended, if its row is not the API's own, or if the credential that it rests on is not
    the one in force.
    """
    row = sessions.find_valid(session, digest, now)
    if row is None:
        return None
    try:
        seal.check(row)
    except SessionForged:
        return None
    if row.person is None:
        return SignedIn(
            person=f"{WITHOUT_CREDENTIAL}{row.staff_no}",
            staff_no=row.staff_no,
            name=row.name,
            roles=_ordered(roles_of(row) & SEES_OPERATIONS),
            kid=None,
            number="",
            session_digest=digest,
        )
    credential = verified_credential(session, trust, row.person, now=now)
    if credential is None or credential.key.public_key.kid != row.kid:
        return None
    entry = credential.entry
    return SignedIn(
        person=entry.person,
        staff_no=entry.staff_no,
        name=entry.name,
        roles=_roles_now(row, entry.roles),
        kid=row.kid,
        number=entry.number,
        session_digest=digest,
    )


def _roles_now(row: SessionRow, enrolled: Collection[str]) -> tuple[RoleName, ...]:
    """The entry's roles; by OpenID Connect the groups', the administrator's if the entry has it."""
    if row.source is SessionSource.CREDENTIAL:
        return _ordered(enrolled)
    granted = roles_of(row)
    return _ordered(granted & SEES_OPERATIONS | granted & {"administrator"} & {*enrolled})


def _ordered(roles: Collection[str]) -> tuple[RoleName, ...]:
    return tuple(one for one in ROLE_NAMES if one in roles)
