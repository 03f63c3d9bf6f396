"""Sign-in by OpenID Connect: sealed sessions without a credential, spent states, operators.

Revision ID: 0006
Revises: 0005

Literal on purpose: what was released must not change when the models do.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

FORMER_ACTOR_KINDS = (
    "terminal",
    "administrator",
    "auditor",
    "officer",
    "back-office",
    "key-worker",
    "system",
)
ACTOR_KINDS = (
    "terminal",
    "administrator",
    "auditor",
    "operator",
    "officer",
    "back-office",
    "key-worker",
    "system",
)
SOURCES = ("credential", "openid-connect")


def upgrade() -> None:
    # A session without a seal is none any more: people sign in again.
    op.drop_table("sessions")
    _create_sessions(
        _enum("source", SOURCES),
        _text("person", nullable=True),
        _text("kid", nullable=True),
        _text("staff_no"),
        _text("name"),
        _text("roles"),
        _big("created_at"),
        _big("expires_at"),
        _big("ended_at", nullable=True),
        _text("seal"),
    )
    op.create_table(
        "spent_states",
        _text("state_digest"),
        _big("expires_at"),
        sa.PrimaryKeyConstraint("state_digest", name=op.f("pk_spent_states")),
    )
    op.create_index("ix_spent_states_expires_at", "spent_states", ["expires_at"])
    _allow(ACTOR_KINDS)


def downgrade() -> None:
    _allow(FORMER_ACTOR_KINDS, operators_as="system")
    op.drop_table("spent_states")
    op.drop_table("sessions")
    _create_sessions(
        _text("person"),
        _text("kid"),
        _text("roles"),
        _big("created_at"),
        _big("expires_at"),
        _big("ended_at", nullable=True),
    )


def _create_sessions(*columns: sa.Column[str] | sa.Column[int]) -> None:
    op.create_table(
        "sessions",
        _text("token_digest"),
        *columns,
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_person", "sessions", ["person"])


def _allow(kinds: Sequence[str], *, operators_as: str | None = None) -> None:
    """Let audit events have these kinds of actors; the former release knows no operators."""
    if _postgresql():
        name = op.f("ck_audit_events_actor_kind")
        op.drop_constraint(name, "audit_events", type_="check")
        if operators_as is not None:
            op.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
            op.execute(
                f"UPDATE audit_events SET actor_kind = '{operators_as}' "  # noqa: S608
                "WHERE actor_kind = 'operator'"
            )
            op.execute("ALTER TABLE audit_events ENABLE TRIGGER USER")
        op.create_check_constraint(
            name, "audit_events", sa.column("actor_kind", sa.String()).in_(kinds)
        )
        return
    # SQLite cannot alter a CHECK: the table is made again, and its triggers.
    op.rename_table("audit_events", "former_audit_events")
    _create_audit_events(kinds)
    kind = "actor_kind" if operators_as is None else _without_operators(operators_as)
    op.execute(
        "INSERT INTO audit_events SELECT id, at, request_id, terminal_no, "  # noqa: S608
        f"{kind}, actor, event, reason, detail FROM former_audit_events"
    )
    op.drop_table("former_audit_events")
    op.create_index("ix_audit_events_request_id_id", "audit_events", ["request_id", "id"])
    op.create_index("ix_audit_events_terminal_no_id", "audit_events", ["terminal_no", "id"])
    for statement in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_refuse_{statement.lower()} "
            f"BEFORE {statement} ON audit_events "
            f"BEGIN SELECT RAISE(ABORT, 'audit_events: {statement} is refused'); END"
        )


def _create_audit_events(kinds: Sequence[str]) -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "audit_events",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        _big("at"),
        _text("request_id", nullable=True),
        _text("terminal_no", nullable=True),
        _enum("actor_kind", kinds),
        _text("actor", nullable=True),
        _text("event"),
        _text("reason", nullable=True),
        _text("detail"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        sqlite_autoincrement=True,
    )


def _without_operators(kind: str) -> str:
    return f"CASE actor_kind WHEN 'operator' THEN '{kind}' ELSE actor_kind END"


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _enum(name: str, values: Sequence[str]) -> sa.Column[str]:
    enum = sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return sa.Column(name, enum, nullable=False)
