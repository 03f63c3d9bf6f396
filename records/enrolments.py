"""One-time enrolment links, known by their token's digest only."""

from sqlalchemy import update
from sqlmodel import Session, col

from records.tables.enrolment_link import EnrolmentLinkRow


def create(session: Session, row: EnrolmentLinkRow) -> None:
    """Store a new link.

    Raises:
        sqlalchemy.exc.IntegrityError: if the token digest is taken.
    """
    session.add(row)
    session.flush()


def find(session: Session, token_digest: str) -> EnrolmentLinkRow | None:
    """The link of this token, used or expired though it may be."""
    return session.get(EnrolmentLinkRow, token_digest)


def take(session: Session, token_digest: str, now: int) -> EnrolmentLinkRow | None:
    """Use up a link and return it; None if it is unknown, used or expired. One taker wins."""
    taken = session.exec(
        update(EnrolmentLinkRow)
        .where(
            col(EnrolmentLinkRow.token_digest) == token_digest,
            col(EnrolmentLinkRow.used_at).is_(None),
            col(EnrolmentLinkRow.expires_at) > now,
        )
        .values(used_at=now)
    )
    if taken.rowcount != 1:
        return None
    return session.get(EnrolmentLinkRow, token_digest, populate_existing=True)
