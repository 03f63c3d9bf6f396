"""The life of a key: two more states, what is left of a destroyed key, and officers' orders.

Revision ID: 0004
Revises: 0003

Literal on purpose: what was released must not change when the models do.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

FORMER_STATES = ("released", "unconfirmed", "active", "retired")
STATES = (*FORMER_STATES, "destroyed", "compromised")
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
    "revocation",
)
KINDS = (*FORMER_KINDS, "key-order")
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
FORMER_KEY_COLUMNS = (
    "request_id",
    "terminal_no",
    "algorithm",
    "host_block",
    "state",
    "kcv",
    "release_record",
    "released_at",
    "activated_at",
    "retired_at",
)
ADDED = ("compromised_at", "destroyed_at")

# What no statement may do to these tables (on PostgreSQL, nor TRUNCATE).
PROTECTED = {
    "submissions": ("UPDATE",),
    "verdicts": ("UPDATE", "DELETE"),
    "key_orders": ("UPDATE", "DELETE"),
}


def upgrade() -> None:
    op.create_table(
        "key_orders",
        _text("digest"),
        _text("request_id"),
        _text("terminal_no"),
        _text("act"),
        _text("reason_code"),
        _text("state", nullable=True),
        _text("refused", nullable=True),
        _text("envelope"),
        _big("recorded_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_key_orders")),
    )
    op.create_index("ix_key_orders_request_id", "key_orders", ["request_id"])
    _protect("key_orders")
    _allow(KINDS)
    if _postgresql():
        for name in ADDED:
            op.add_column("keys", _big(name, nullable=True))
        op.add_column("keys", _text("order_digest", nullable=True))
        op.alter_column("keys", "host_block", existing_type=sa.LargeBinary(), nullable=True)
        _check_states(STATES)
    else:
        _rebuild_keys(STATES, former=False)


def downgrade() -> None:
    # The former release knows neither state; a key in one of them is not to be used either.
    op.execute(
        "UPDATE keys SET state = 'retired', retired_at = coalesce(retired_at, released_at) "
        "WHERE state IN ('destroyed', 'compromised')"
    )
    empty = "''::bytea" if _postgresql() else "x''"
    op.execute(f"UPDATE keys SET host_block = {empty} WHERE host_block IS NULL")  # noqa: S608
    if _postgresql():
        _check_states(FORMER_STATES)
        op.alter_column("keys", "host_block", existing_type=sa.LargeBinary(), nullable=False)
        for name in (*ADDED, "order_digest"):
            op.drop_column("keys", name)
    else:
        _rebuild_keys(FORMER_STATES, former=True)
    _allow(FORMER_KINDS)
    op.drop_table("key_orders")


def _check_states(states: Sequence[str]) -> None:
    name = op.f("ck_keys_state")
    op.drop_constraint(name, "keys", type_="check")
    op.create_check_constraint(name, "keys", sa.column("state", sa.String()).in_(states))


def _rebuild_keys(states: Sequence[str], *, former: bool) -> None:
    # SQLite cannot alter a CHECK. The tokens refer to the table by its name, and renaming it would
    # rename their reference: so the rows step aside, and the table is made again.
    columns = ", ".join(FORMER_KEY_COLUMNS)
    op.execute(f"CREATE TABLE held_keys AS SELECT {columns} FROM keys")  # noqa: S608
    op.drop_table("keys")
    added: list[sa.Column[Any]] = []
    if not former:
        added += [_big(name, nullable=True) for name in ADDED]
        added.append(_text("order_digest", nullable=True))
    op.create_table(
        "keys",
        _text("request_id"),
        _text("terminal_no"),
        _text("algorithm"),
        sa.Column("host_block", sa.LargeBinary(), nullable=not former),
        _enum("state", states),
        _text("kcv", nullable=True),
        _text("release_record"),
        _big("released_at"),
        _big("activated_at", nullable=True),
        _big("retired_at", nullable=True),
        *added,
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_keys")),
    )
    op.execute(f"INSERT INTO keys ({columns}) SELECT {columns} FROM held_keys")  # noqa: S608
    op.drop_table("held_keys")
    op.create_index("ix_keys_terminal_no_released_at", "keys", ["terminal_no", "released_at"])
    op.create_index(
        "uq_keys_active",
        "keys",
        ["terminal_no"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
    )


def _allow(kinds: Sequence[str]) -> None:
    """Let the tables of statements hold these kinds and no others."""
    if _postgresql():
        for table in ("submissions", "verdicts"):
            name = op.f(f"ck_{table}_kind")
            op.drop_constraint(name, table, type_="check")
            op.create_check_constraint(name, table, sa.column("kind", sa.String()).in_(kinds))
        return
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
    for statement in (*PROTECTED[table], *(["TRUNCATE"] if _postgresql() else [])):
        trigger = f"CREATE TRIGGER {table}_refuse_{statement.lower()} BEFORE {statement} ON {table}"
        if _postgresql():
            op.execute(f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION keyfill_refuse_change()")
        else:
            op.execute(
                f"{trigger} BEGIN SELECT RAISE(ABORT, '{table}: {statement} is refused'); END"
            )


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _int(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _enum(name: str, values: Sequence[str]) -> sa.Column[str]:
    enum = sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return sa.Column(name, enum, nullable=False)
