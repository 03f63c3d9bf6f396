"""The first schema: registry, ceremony, keys, messages, sessions, audit trail.

Revision ID: 0001
Revises:

Literal on purpose: what was released must not change when the models do.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

ACTOR_KINDS = (
    "terminal",
    "administrator",
    "auditor",
    "officer",
    "back-office",
    "key-worker",
    "system",
)
CREDENTIAL_STATES = (
    "pending",
    "active",
    "superseded",
    "revoked",
)
KEY_STATES = (
    "released",
    "unconfirmed",
    "active",
    "retired",
)
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
SMS_STATUSES = (
    "intent",
    "sent",
    "ambiguous",
    "failed",
    "delivered",
    "undelivered",
)
KINDS = (
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

TABLES = (
    "terminal_entries",
    "credential_entries",
    "enrolment_links",
    "sync_runs",
    "submissions",
    "verdicts",
    "loading_requests",
    "attempts",
    "code_requests",
    "keys",
    "tokens",
    "sms_messages",
    "sms_outbox",
    "sessions",
    "audit_events",
)

# What no statement may do to these tables (on PostgreSQL, nor TRUNCATE).
PROTECTED = {
    "audit_events": ("UPDATE", "DELETE"),
    "verdicts": ("UPDATE", "DELETE"),
    "submissions": ("UPDATE",),
}


def upgrade() -> None:
    _registry()
    _ceremony()
    _keys()
    _messages()
    _people()
    if op.get_bind().dialect.name == "postgresql":
        _protect_on_postgresql()
    else:
        _protect_on_sqlite()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keyfill_refuse_change()")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _int(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, number, primary_key=True, autoincrement=True)


def _enum(name: str, values: Sequence[str]) -> sa.Column[str]:
    enum = sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return sa.Column(name, enum, nullable=False)


def _partial(name: str, table: str, columns: Sequence[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=True, sqlite_where=condition, postgresql_where=condition
    )


def _registry() -> None:
    op.create_table(
        "terminal_entries",
        _text("digest"),
        _text("terminal_no"),
        _big("seq"),
        _text("envelope"),
        _text("model"),
        _text("branch"),
        _text("epp_fingerprint"),
        _text("epp_key_fingerprint"),
        _text("device_kid"),
        _text("first_person"),
        _text("second_person"),
        _big("valid_until"),
        sa.Column("current", sa.Boolean(), nullable=False),
        _big("recorded_at"),
        _big("withdrawn_at", nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_terminal_entries")),
        sa.UniqueConstraint("terminal_no", "seq", name=op.f("uq_terminal_entries_terminal_no_seq")),
    )
    op.create_index("ix_terminal_entries_device_kid", "terminal_entries", ["device_kid"])
    op.create_index(
        "ix_terminal_entries_epp_key_fingerprint", "terminal_entries", ["epp_key_fingerprint"]
    )
    _partial("uq_terminal_entries_current", "terminal_entries", ["terminal_no"], "current")
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
        _enum("state", CREDENTIAL_STATES),
        _text("roles"),
        _big("recorded_at"),
        _big("revoked_at", nullable=True),
        _big("sign_count"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_credential_entries")),
    )
    op.create_index("ix_credential_entries_number_digest", "credential_entries", ["number_digest"])
    op.create_index("ix_credential_entries_person_seq", "credential_entries", ["person", "seq"])
    op.create_index("ix_credential_entries_state", "credential_entries", ["state"])
    _partial(
        "uq_credential_entries_active_credential_id",
        "credential_entries",
        ["credential_id"],
        "state = 'active'",
    )
    _partial("uq_credential_entries_active_kid", "credential_entries", ["kid"], "state = 'active'")
    _partial(
        "uq_credential_entries_active_person", "credential_entries", ["person"], "state = 'active'"
    )
    _partial(
        "uq_credential_entries_active_staff_no",
        "credential_entries",
        ["staff_no"],
        "state = 'active'",
    )
    op.create_table(
        "enrolment_links",
        _text("token_digest"),
        _text("person"),
        sa.Column("sealed_draft", sa.LargeBinary(), nullable=False),
        _big("expires_at"),
        _big("used_at", nullable=True),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_enrolment_links")),
    )
    op.create_index("ix_enrolment_links_person", "enrolment_links", ["person"])
    op.create_table(
        "sync_runs",
        _text("run_id"),
        _big("started_at"),
        _big("finished_at", nullable=True),
        _int("added"),
        _int("changed"),
        _int("removed"),
        _int("unchanged"),
        _text("refused_json"),
        _text("note", nullable=True),
        _text("tag", nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_sync_runs")),
    )
    op.create_index("ix_sync_runs_started_at", "sync_runs", ["started_at"])


def _ceremony() -> None:
    op.create_table(
        "submissions",
        _text("digest"),
        _enum("kind", KINDS),
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
    op.create_index("ix_submissions_request_id", "submissions", ["request_id"])
    op.create_table(
        "verdicts",
        _text("digest"),
        _text("request_id"),
        _enum("kind", KINDS),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        _text("reason", nullable=True),
        _enum("stage", STAGES),
        _int("version"),
        _int("attempts_left", nullable=True),
        _text("state_json"),
        _big("decided_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_verdicts")),
    )
    op.create_index("ix_verdicts_request_id_version", "verdicts", ["request_id", "version"])
    # A search merges rows by this column: its order must be that of the bytes.
    ordered = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.create_table(
        "loading_requests",
        sa.Column("request_id", ordered, nullable=False),
        _text("terminal_no"),
        _text("workflow_id"),
        _enum("stage", STAGES),
        _text("reason", nullable=True),
        _int("version"),
        _text("model"),
        _text("branch"),
        _text("epp_fingerprint"),
        _text("registry_digest"),
        _text("first_person"),
        _text("second_person"),
        _text("first_staff_no"),
        _text("second_staff_no"),
        _big("opened_at"),
        _big("stage_since"),
        _text("request_digest"),
        _text("application_digest", nullable=True),
        _text("qr_digest", nullable=True),
        _text("decision_digest", nullable=True),
        _text("confirmation_digest", nullable=True),
        _text("receipt_digest", nullable=True),
        _text("token_digest", nullable=True),
        _text("kcv", nullable=True),
        sa.CheckConstraint("version >= 0", name=op.f("ck_loading_requests_version")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_loading_requests")),
    )
    op.create_index("ix_loading_requests_branch", "loading_requests", ["branch"])
    op.create_index("ix_loading_requests_first_staff_no", "loading_requests", ["first_staff_no"])
    op.create_index(
        "ix_loading_requests_opened_at_request_id", "loading_requests", ["opened_at", "request_id"]
    )
    op.create_index(
        "ix_loading_requests_second_person_stage", "loading_requests", ["second_person", "stage"]
    )
    op.create_index("ix_loading_requests_second_staff_no", "loading_requests", ["second_staff_no"])
    op.create_index("ix_loading_requests_stage", "loading_requests", ["stage"])
    op.create_index(
        "ix_loading_requests_terminal_no_opened_at",
        "loading_requests",
        ["terminal_no", "opened_at"],
    )
    op.create_table(
        "attempts",
        _text("scope"),
        _int("used"),
        sa.CheckConstraint("used >= 0", name=op.f("ck_attempts_used")),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_attempts")),
    )
    op.create_table(
        "code_requests",
        _text("request_id"),
        _text("person"),
        _int("n"),
        _big("requested_at"),
        sa.CheckConstraint("n >= 1", name=op.f("ck_code_requests_n")),
        sa.PrimaryKeyConstraint("request_id", "person", "n", name=op.f("pk_code_requests")),
    )


def _keys() -> None:
    op.create_table(
        "keys",
        _text("request_id"),
        _text("terminal_no"),
        _text("algorithm"),
        sa.Column("host_block", sa.LargeBinary(), nullable=False),
        _enum("state", KEY_STATES),
        _text("kcv", nullable=True),
        _text("release_record"),
        _big("released_at"),
        _big("activated_at", nullable=True),
        _big("retired_at", nullable=True),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_keys")),
    )
    op.create_index("ix_keys_terminal_no_released_at", "keys", ["terminal_no", "released_at"])
    _partial("uq_keys_active", "keys", ["terminal_no"], "state = 'active'")
    op.create_table(
        "tokens",
        _text("confirmation_digest"),
        _text("request_id"),
        _int("ordinal"),
        _text("format"),
        _text("key_algorithm"),
        _text("value"),
        _text("token_digest"),
        _big("issued_at"),
        sa.CheckConstraint("ordinal >= 1", name=op.f("ck_tokens_ordinal")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["keys.request_id"], name=op.f("fk_tokens_request_id_keys")
        ),
        sa.PrimaryKeyConstraint("confirmation_digest", name=op.f("pk_tokens")),
        sa.UniqueConstraint("request_id", "ordinal", name=op.f("uq_tokens_request_id_ordinal")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_tokens_token_digest")),
    )


def _messages() -> None:
    op.create_table(
        "sms_messages",
        _text("step"),
        _text("request_id"),
        _text("purpose"),
        _text("to_masked"),
        _enum("status", SMS_STATUSES),
        _text("provider_sid", nullable=True),
        _text("error", nullable=True),
        _big("created_at"),
        _big("updated_at"),
        sa.PrimaryKeyConstraint("step", name=op.f("pk_sms_messages")),
        sa.UniqueConstraint("provider_sid", name=op.f("uq_sms_messages_provider_sid")),
    )
    op.create_index("ix_sms_messages_request_id", "sms_messages", ["request_id"])
    op.create_table(
        "sms_outbox",
        _number("id"),
        _text("step"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _big("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_outbox")),
        sa.UniqueConstraint("step", name=op.f("uq_sms_outbox_step")),
        sqlite_autoincrement=True,
    )


def _people() -> None:
    op.create_table(
        "sessions",
        _text("token_digest"),
        _text("person"),
        _text("kid"),
        _text("roles"),
        _big("created_at"),
        _big("expires_at"),
        _big("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_person", "sessions", ["person"])
    op.create_table(
        "audit_events",
        _number("id"),
        _big("at"),
        _text("request_id", nullable=True),
        _text("terminal_no", nullable=True),
        _enum("actor_kind", ACTOR_KINDS),
        _text("actor", nullable=True),
        _text("event"),
        _text("reason", nullable=True),
        _text("detail"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_events_request_id_id", "audit_events", ["request_id", "id"])
    op.create_index("ix_audit_events_terminal_no_id", "audit_events", ["terminal_no", "id"])


def _protect_on_sqlite() -> None:
    for table, statements in PROTECTED.items():
        for statement in statements:
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{statement.lower()} BEFORE {statement} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table}: {statement} is refused'); END"
            )


def _protect_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION keyfill_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '%: % is refused', TG_TABLE_NAME, TG_OP "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table, statements in PROTECTED.items():
        for statement in (*statements, "TRUNCATE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{statement.lower()} BEFORE {statement} ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION keyfill_refuse_change()"
            )
