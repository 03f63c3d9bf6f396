"""A process that increments: `counting_program.py <url> <request_id> <times>`."""

import sys

from records import attempts, projection
from records.database import Database
from records.engines import Limits


def main(url: str, request_id: str, times: int) -> None:
    """Move a request's version and use an attempt, `times` times, one transaction each."""
    database = Database(url, limits=Limits(lock_ms=30_000))
    for _ in range(times):
        with database.write() as session:
            row = projection.find(session, request_id, for_update=True)
            assert row is not None
            projection.move(session, request_id, row.version)
            attempts.use(session, "shared", 1_000_000)
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
