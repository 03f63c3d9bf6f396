"""How the time of a search grows with the number of loading requests on record.

    python -m bench.requests_search --rows 1000 100000 --tries 200

Each line is a search as the requests page makes it: its best time at each number of rows, for a
first page of 50 and for one half-way down, and the last time as a multiple of the first. A search
that reads an index in order costs the same at any number; one that scans or sorts costs a hundred
times as much for a hundred times the rows.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from ceremony.stages import Stage
from records import migration, projection
from records.database import Database
from records.projection import Filter
from records.tables.loading_request import LoadingRequestRow

OPENED: Final = 1_800_000_000
APART_SECONDS: Final = 60
TERMINALS: Final = 10
PEOPLE: Final = 6
BRANCHES: Final = 5
"""Few, so that pages are full at any number of rows: a page of fewer rows is quicker to read."""
DIGEST: Final = "5a" * 32
STAGES: Final = (*[Stage.LOADED] * 5, Stage.REJECTED, Stage.EXPIRED, Stage.FAILED)

SEARCHES: Final = {
    "everything": Filter(),
    "one terminal": Filter(terminal_no="ATM-0007"),
    "a common stage": Filter(stages=[Stage.LOADED]),
    "a rare stage": Filter(stages=[Stage.FAILED]),
    "an administrator": Filter(staff_no="A003"),
    "a branch": Filter(branch="Branch 2"),
    "a branch's failures": Filter(branch="Branch 2", stages=[Stage.FAILED]),
    "a day": Filter(opened_from=OPENED + 3600, opened_until=OPENED + 90_000),
}


def main(arguments: Sequence[str]) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="The time of a search.")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--tries", type=int, default=200)
    chosen = parser.parse_args(arguments)
    times = [measured(rows, chosen.tries) for rows in chosen.rows]
    _say(f"{'ms':32}" + "".join(f"{rows:>10}" for rows in chosen.rows) + "     ratio")
    for name in times[0]:
        row = [one[name] for one in times]
        _say(f"{name:32}" + "".join(f"{one:10.2f}" for one in row) + f"{row[-1] / row[0]:10.2f}")
    return 0


def measured(rows: int, tries: int) -> dict[str, float]:
    """The milliseconds of each search in a database of so many rows, at their best."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'keyfill.db'}"
        migration.upgrade(url)
        with closing(Database(url)) as database:
            _fill(database, rows)
            times: dict[str, float] = {}
            for name, wanted in SEARCHES.items():
                times[name] = _best(database, wanted, None, tries)
                times[f"{name}, further down"] = _best(database, wanted, rows // 2, tries)
            return times


def _best(database: Database, wanted: Filter, down: int | None, tries: int) -> float:
    after = None if down is None else f"{OPENED + down * APART_SECONDS}.~"
    times: list[float] = []
    for _ in range(tries):
        began = time.perf_counter()
        with database.read() as session:
            projection.search(session, wanted, after=after)
        times.append(1000 * (time.perf_counter() - began))
    # What else the machine does only ever adds to a time.
    return min(times)


def _fill(database: Database, rows: int) -> None:
    chance = random.Random(rows)
    with database.write() as session:
        for n in range(rows):
            terminal = chance.randrange(TERMINALS)
            session.add(
                LoadingRequestRow(
                    request_id=f"{chance.getrandbits(96):024x}",
                    terminal_no=f"ATM-{terminal:04}",
                    workflow_id=f"loading-request/ATM-{terminal:04}",
                    stage=chance.choice(STAGES),
                    version=5,
                    model="Sample 280",
                    branch=f"Branch {terminal % BRANCHES}",
                    epp_fingerprint=DIGEST,
                    registry_digest=DIGEST,
                    first_person=f"person-{terminal % PEOPLE}",
                    second_person=f"person-{(terminal + 1) % PEOPLE}",
                    first_staff_no=f"A{terminal % PEOPLE:03}",
                    second_staff_no=f"A{(terminal + 1) % PEOPLE:03}",
                    opened_at=OPENED + n * APART_SECONDS,
                    stage_since=OPENED + n * APART_SECONDS,
                    request_digest=DIGEST,
                )
            )
            if n % 5000 == 0:
                session.flush()
                session.expunge_all()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
