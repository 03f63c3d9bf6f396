"""The host's copies of the terminal master keys."""

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from ceremony.keylife import KeyState as KeyState  # noqa: PLC0414 - for callers
from records.tables.record import Record, enum_column

_ACTIVE = text("state = 'active'")


class KeyRow(Record, table=True):
    """The one key of one loading request, as a key block under the key-encrypting key.

    `host_block` is the wrapped block as the key manager made it, null once the key is destroyed;
    `release_record` the key worker's signed statement, `kcv` (6 hexadecimal digits) is filled only
    after a receipt; `order_digest` names the last of officers' orders that moved it. No foreign
    key to the loading request: the key worker may publish again into a restored database.
    """

    __tablename__ = "keys"
    __table_args__ = (
        Index(
            "uq_keys_active",
            "terminal_no",
            unique=True,
            sqlite_where=_ACTIVE,
            postgresql_where=_ACTIVE,
        ),
        Index(None, "terminal_no", "released_at"),
        Index(None, "state"),
    )

    request_id: str = Field(primary_key=True)
    terminal_no: str
    algorithm: str
    host_block: bytes | None
    state: KeyState = Field(sa_column=enum_column(KeyState, "state"))
    kcv: str | None = None
    release_record: str
    released_at: int = Field(sa_type=BigInteger)
    activated_at: int | None = Field(default=None, sa_type=BigInteger)
    retired_at: int | None = Field(default=None, sa_type=BigInteger)
    compromised_at: int | None = Field(default=None, sa_type=BigInteger)
    destroyed_at: int | None = Field(default=None, sa_type=BigInteger)
    order_digest: str | None = None
