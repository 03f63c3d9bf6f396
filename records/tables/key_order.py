"""Key orders as officers signed them."""

from sqlalchemy import BigInteger
from sqlmodel import Field

from records.tables.record import Record


class KeyOrderRow(Record, table=True):
    """One order, verbatim in `envelope`, and what came of it; never changed nor deleted (triggers).

    Every other column is only an index. `act` is what was ordered, `state` where the key stood by
    it, or `refused` the reason code; `recorded_at` is when the key worker published it.
    """

    __tablename__ = "key_orders"

    digest: str = Field(primary_key=True)
    request_id: str = Field(index=True)
    terminal_no: str
    act: str
    reason_code: str
    state: str | None = None
    refused: str | None = None
    envelope: str
    recorded_at: int = Field(sa_type=BigInteger)
