"""Indexes that give a search its pages in order: each filter's column, then time and id.

Revision ID: 0003
Revises: 0002

Literal on purpose: what was released must not change when the models do.
"""

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "loading_requests"
FILTERS = ("terminal_no", "stage", "first_staff_no", "second_staff_no", "branch")
ORDER = ("opened_at", "request_id")
FORMER = {
    "ix_loading_requests_branch": ("branch",),
    "ix_loading_requests_first_staff_no": ("first_staff_no",),
    "ix_loading_requests_second_staff_no": ("second_staff_no",),
    "ix_loading_requests_stage": ("stage",),
    "ix_loading_requests_terminal_no_opened_at": ("terminal_no", "opened_at"),
}


def upgrade() -> None:
    for name in FORMER:
        op.drop_index(name, TABLE)
    for column in FILTERS:
        op.create_index(_name(column), TABLE, [column, *ORDER])


def downgrade() -> None:
    for column in FILTERS:
        op.drop_index(_name(column), TABLE)
    for name, columns in FORMER.items():
        op.create_index(name, TABLE, list(columns))


def _name(column: str) -> str:
    return "_".join(("ix", TABLE, column, *ORDER))
