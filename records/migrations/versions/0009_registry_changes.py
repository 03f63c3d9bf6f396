"""Changes of administrators that wait: a table of them, and a state of credential entries.

Revision ID: 0009
Revises: 0008

Literal on purpose: what was released must not change when the models do.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None

FORMER_CREDENTIAL_STATES = ("pending", "active", "superseded", "revoked")
CREDENTIAL_STATES = ("pending", "cooling", "active", "superseded", "revoked")
CHANGE_STATES = ("cooling", "effective", "withdrawn", "superseded", "refused")
ONE_ACTIVE = ("credential_id", "kid", "person", "staff_no")


def upgrade() -> None:
    op.create_table(
        "registry_changes",
        _text("digest"),
        _text("subject"),
        _text("name"),
        _big("seq"),
        _enum("state", CHANGE_STATES),
        _big("begun_at"),
        _big("effective_at", nullable=True),
        _big("ended_at", nullable=True),
        _text("reason", nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_registry_changes")),
    )
    op.create_index("ix_registry_changes_state_begun_at", "registry_changes", ["state", "begun_at"])
    op.create_index("ix_registry_changes_subject_name", "registry_changes", ["subject", "name"])
    _allow(CREDENTIAL_STATES)


def downgrade() -> None:
    # The former release knows no waiting: what waits goes back to the officers, and a terminal's
    # entry that never took effect is not to be shown to the key worker as one that did.
    op.execute("UPDATE credential_entries SET state = 'pending' WHERE state = 'cooling'")
    op.execute(
        "DELETE FROM terminal_entries WHERE NOT current AND digest IN "
        "(SELECT digest FROM registry_changes WHERE state <> 'effective')"
    )
    _allow(FORMER_CREDENTIAL_STATES)
    op.drop_table("registry_changes")


def _allow(states: Sequence[str]) -> None:
    """Let credential entries be in these states and no others."""
    if op.get_bind().dialect.name == "postgresql":
        name = op.f("ck_credential_entries_state")
        op.drop_constraint(name, "credential_entries", type_="check")
        op.create_check_constraint(
            name, "credential_entries", sa.column("state", sa.String()).in_(states)
        )
        return
    # SQLite cannot alter a CHECK: the rows step aside, and the table is made again.
    op.execute("CREATE TABLE held_credentials AS SELECT * FROM credential_entries")
    op.drop_table("credential_entries")
    op.create_table(
        "credential_entries",
        _text("digest"),
        _text("person"),
        _text("staff_no"),
        _text("name"),
        _big("seq"),
        _text("kid"),
        _text("credential_id", nullable=True),
        _text("number_digest"),
        _text("envelope"),
        _big("valid_until"),
        _enum("state", states),
        _text("roles"),
        _big("recorded_at"),
        _big("revoked_at", nullable=True),
        _big("sign_count"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_credential_entries")),
    )
    op.execute("INSERT INTO credential_entries SELECT * FROM held_credentials")
    op.drop_table("held_credentials")
    op.create_index("ix_credential_entries_number_digest", "credential_entries", ["number_digest"])
    op.create_index("ix_credential_entries_person_seq", "credential_entries", ["person", "seq"])
    op.create_index("ix_credential_entries_state", "credential_entries", ["state"])
    for column in ONE_ACTIVE:
        op.create_index(
            f"uq_credential_entries_active_{column}",
            "credential_entries",
            [column],
            unique=True,
            sqlite_where=sa.text("state = 'active'"),
        )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _enum(name: str, values: Sequence[str]) -> sa.Column[str]:
    enum = sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return sa.Column(name, enum, nullable=False)
