"""Signed revocations: a table of their own, and their kind of statement.

Revision ID: 0002
Revises: 0001

Literal on purpose: what was released must not change when the models do.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

FORMER_KINDS = (
    "request",
    "application",
    "decision",
    "confirmation",
    "receipt",
    "cancellation",
    "login",
    "terminal-entry",
    "credential-entry",
    "release-record",
    "removal-order",
)
KINDS = (*FORMER_KINDS, "revocation")
STAGES = (
    "AWAITING_APPLICATION",
    "AWAITING_REVIEW",
    "AWAITING_CONFIRMATION",
    "AWAITING_RECEIPT",
    "LOADED",
    "REJECTED",
    "EXPIRED",
    "CANCELLED",
    "FAILED",
    "UNCONFIRMED",
)

# What no statement may do to these tables (on PostgreSQL, nor TRUNCATE).
PROTECTED = {
    "submissions": ("UPDATE",),
    "verdicts": ("UPDATE", "DELETE"),
    "revocations": ("UPDATE", "DELETE"),
}


def upgrade() -> None:
    op.create_table(
        "revocations",
        _text("digest"),
        _text("subject"),
        _text("name"),
        _big("seq"),
        _text("reason_code"),
        _text("officer"),
        _text("statement"),
        _big("recorded_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_revocations")),
    )
    op.create_index("ix_revocations_subject_name", "revocations", ["subject", "name"])
    _allow(KINDS)
    _protect("revocations")


def downgrade() -> None:
    _allow(FORMER_KINDS)
    op.drop_table("revocations")


def _allow(kinds: Sequence[str]) -> None:
    """Let the tables of statements hold these kinds and no others."""
    if op.get_bind().dialect.name == "postgresql":
        for table in ("submissions", "verdicts"):
            name = op.f(f"ck_{table}_kind")
            op.drop_constraint(name, table, type_="check")
            op.create_check_constraint(name, table, sa.column("kind", sa.String()).in_(kinds))
        return
    # SQLite cannot alter a CHECK: the table is made again, and its triggers with it.
    op.rename_table("submissions", "former_submissions")
    _create_submissions(kinds)
    _move("submissions")
    op.create_index("ix_submissions_request_id", "submissions", ["request_id"])
    op.rename_table("verdicts", "former_verdicts")
    _create_verdicts(kinds)
    _move("verdicts")
    op.create_index("ix_verdicts_request_id_version", "verdicts", ["request_id", "version"])
    _protect("submissions")
    _protect("verdicts")


def _create_submissions(kinds: Sequence[str]) -> None:
    op.create_table(
        "submissions",
        _text("digest"),
        _enum("kind", kinds),
        _text("request_id"),
        _text("terminal_no"),
        _text("signer_kid"),
        _text("person", nullable=True),
        _text("statement"),
        _int("code_n", nullable=True),
        _text("code_mac", nullable=True),
        _big("qr_n", nullable=True),
        _big("qr_expires_at", nullable=True),
        _text("qr_request_id", nullable=True),
        _text("qr_terminal_no", nullable=True),
        _big("received_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_submissions")),
    )


def _create_verdicts(kinds: Sequence[str]) -> None:
    op.create_table(
        "verdicts",
        _text("digest"),
        _text("request_id"),
        _enum("kind", kinds),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        _text("reason", nullable=True),
        _enum("stage", STAGES),
        _int("version"),
        _int("attempts_left", nullable=True),
        _text("state_json"),
        _big("decided_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_verdicts")),
    )


def _move(table: str) -> None:
    # Both tables have the same columns in the same order.
    op.execute(f"INSERT INTO {table} SELECT * FROM former_{table}")  # noqa: S608
    op.drop_table(f"former_{table}")


def _protect(table: str) -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in (*PROTECTED[table], *(["TRUNCATE"] if postgresql else [])):
        trigger = f"CREATE TRIGGER {table}_refuse_{statement.lower()} BEFORE {statement} ON {table}"
        if postgresql:
            op.execute(f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION keyfill_refuse_change()")
        else:
            op.execute(
                f"{trigger} BEGIN SELECT RAISE(ABORT, '{table}: {statement} is refused'); END"
            )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _int(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _enum(name: str, values: Sequence[str]) -> sa.Column[str]:
    enum = sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return sa.Column(name, enum, nullable=False)
