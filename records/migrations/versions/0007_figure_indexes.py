"""Indexes for the figures that every scrape of the metrics reads.

Revision ID: 0007
Revises: 0006

Literal on purpose: what was released must not change when the models do.
"""

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_index("ix_keys_state", "keys", ["state"])
    op.create_index("ix_sms_messages_created_at", "sms_messages", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_sms_messages_created_at", "sms_messages")
    op.drop_index("ix_keys_state", "keys")
