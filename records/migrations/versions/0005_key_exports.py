"""Exports of keys to the ATM back office.

Revision ID: 0005
Revises: 0004

Literal on purpose: what was released must not change when the models do.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

STATES = ("pending", "sent", "confirmed", "refused")


def upgrade() -> None:
    op.create_table(
        "key_exports",
        _text("request_id"),
        _text("terminal_no"),
        _text("algorithm"),
        _text("block"),
        _text("block_digest"),
        _text("export_key_check"),
        sa.Column(
            "state",
            sa.Enum(*STATES, name="state", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        _text("reason", nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("exported_at"),
        _time("sent_at", nullable=True),
        _time("answered_at", nullable=True),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_key_exports_attempts")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_key_exports")),
    )
    op.create_index("ix_key_exports_state_request_id", "key_exports", ["state", "request_id"])


def downgrade() -> None:
    op.drop_table("key_exports")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
