"""Rates that processes share, what SMS caps count, and alarms.

Revision ID: 0008
Revises: 0007

Literal on purpose: what was released must not change when the models do.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

FORMER_STATUSES = ("intent", "sent", "ambiguous", "failed", "delivered", "undelivered")
STATUSES = (*FORMER_STATUSES, "capped")
ALARMS = (
    "codes-many-persons",
    "codes-many-terminals",
    "logins-many-keys",
    "sms-conversion",
    "sms-capped",
)
FORMER_COLUMNS = (
    "step",
    "request_id",
    "purpose",
    "to_masked",
    "status",
    "provider_sid",
    "error",
    "created_at",
    "updated_at",
)
COUNTED = ("terminal_no", "person")
# Every message before was about a loading request, and all but the review's to its first.
_TERMINAL: Final = (
    "coalesce((SELECT terminal_no FROM loading_requests r WHERE r.request_id = m.request_id), '')"
)
_PERSON: Final = (
    "coalesce((SELECT CASE m.purpose WHEN 'review' THEN second_person ELSE first_person END "
    "FROM loading_requests r WHERE r.request_id = m.request_id), '')"
)


def upgrade() -> None:
    op.create_table(
        "rates",
        _text("subject"),
        _big("busy_until"),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_rates")),
    )
    op.create_index("ix_rates_busy_until", "rates", ["busy_until"])
    op.create_table(
        "alarms",
        _text("slot"),
        _enum("alarm", ALARMS),
        _big("raised_at"),
        _int("seen"),
        _int("within"),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_alarms")),
    )
    op.create_index("ix_alarms_raised_at", "alarms", ["raised_at"])
    op.create_table(
        "alarm_signs",
        _text("mark"),
        _enum("alarm", ALARMS),
        _text("subject"),
        _big("seen_at"),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_alarm_signs")),
    )
    op.create_index("ix_alarm_signs_alarm_seen_at", "alarm_signs", ["alarm", "seen_at"])
    if _postgresql():
        for name, found in zip(COUNTED, (_TERMINAL, _PERSON), strict=True):
            op.add_column("sms_messages", _text(name, nullable=True))
            op.execute(f"UPDATE sms_messages AS m SET {name} = {found}")  # noqa: S608
            op.alter_column("sms_messages", name, existing_type=sa.String(), nullable=False)
        _check_statuses(STATUSES)
    else:
        former = ", ".join(FORMER_COLUMNS)
        _rebuild_messages(
            STATUSES,
            [_text(name) for name in COUNTED],
            f"INSERT INTO sms_messages ({former}, {', '.join(COUNTED)}) "  # noqa: S608
            f"SELECT {former}, {_TERMINAL}, {_PERSON} FROM former_sms_messages AS m",
        )
    for name in COUNTED:
        op.create_index(f"ix_sms_messages_{name}_created_at", "sms_messages", [name, "created_at"])


def downgrade() -> None:
    # The former release has no word for it; it was not sent.
    op.execute("UPDATE sms_messages SET status = 'failed' WHERE status = 'capped'")
    for name in COUNTED:
        op.drop_index(f"ix_sms_messages_{name}_created_at", "sms_messages")
    if _postgresql():
        _check_statuses(FORMER_STATUSES)
        for name in COUNTED:
            op.drop_column("sms_messages", name)
    else:
        former = ", ".join(FORMER_COLUMNS)
        _rebuild_messages(
            FORMER_STATUSES,
            [],
            f"INSERT INTO sms_messages ({former}) "  # noqa: S608
            f"SELECT {former} FROM former_sms_messages",
        )
    for table in ("alarm_signs", "alarms", "rates"):
        op.drop_table(table)


def _check_statuses(statuses: Sequence[str]) -> None:
    name = op.f("ck_sms_messages_status")
    op.drop_constraint(name, "sms_messages", type_="check")
    op.create_check_constraint(name, "sms_messages", sa.column("status", sa.String()).in_(statuses))


def _rebuild_messages(
    statuses: Sequence[str], counted: Sequence[sa.Column[str]], move: str
) -> None:
    # SQLite cannot alter a CHECK: the table is made again.
    op.rename_table("sms_messages", "former_sms_messages")
    op.create_table(
        "sms_messages",
        _text("step"),
        _text("request_id"),
        *counted,
        _text("purpose"),
        _text("to_masked"),
        _enum("status", statuses),
        _text("provider_sid", nullable=True),
        _text("error", nullable=True),
        _big("created_at"),
        _big("updated_at"),
        sa.PrimaryKeyConstraint("step", name=op.f("pk_sms_messages")),
        sa.UniqueConstraint("provider_sid", name=op.f("uq_sms_messages_provider_sid")),
    )
    op.execute(move)
    op.drop_table("former_sms_messages")
    op.create_index("ix_sms_messages_request_id", "sms_messages", ["request_id"])
    op.create_index("ix_sms_messages_created_at", "sms_messages", ["created_at"])


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _int(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _enum(name: str, values: Sequence[str]) -> sa.Column[str]:
    enum = sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return sa.Column(name, enum, nullable=False)
