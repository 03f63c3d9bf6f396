"""What a load costs: processor seconds and memory of each process, rows and bytes, history."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import text
from temporalio.client import Client

from ceremony.names import loading_request_id
from records.database import Database

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_HELD: Final = "VmHWM:"


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds since a process began, its children included, and its peak memory (MiB)."""

    seconds: float
    peak: float


def costs(roots: Mapping[str, int]) -> dict[str, Cost]:
    """What processes cost so far, by name; the last is this one, the driver, by itself."""
    parents = _parents()
    found = {name: _cost(pid, parents) for name, pid in roots.items()}
    return {**found, "driver": Cost(time.process_time(), _peak(os.getpid()))}


def spent(before: Mapping[str, Cost], after: Mapping[str, Cost]) -> dict[str, Cost]:
    """What was spent between two looks; the peak is that of the later one."""
    return {
        name: Cost(after[name].seconds - cost.seconds, after[name].peak)
        for name, cost in before.items()
    }


@dataclass(frozen=True, slots=True)
class Rows:
    """How full a database is: rows by table, and bytes in all."""

    tables: Mapping[str, int]
    size: int


def rows(database: Database) -> Rows:
    """Count a database's rows and bytes."""
    size = "SELECT pg_database_size(current_database())"
    if database.sqlite_path is not None:
        size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with database.read() as session:
        connection = session.connection()
        counts = {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()  # noqa: S608
            for name in database.metadata.tables
        }
        return Rows(counts, connection.execute(text(size)).scalar_one())


@dataclass(frozen=True, slots=True)
class Histories:
    """The largest history of some workflows: its events and bytes, as Temporal counts them."""

    events: int
    size: int


async def histories(client: Client, terminals: Sequence[str]) -> Histories:
    """Look up the histories of terminals' last loading requests."""
    events = size = 0
    for one in terminals:
        described = await client.get_workflow_handle(loading_request_id(one)).describe()
        told = described.raw_description.workflow_execution_info
        events, size = max(events, told.history_length), max(size, told.history_size_bytes)
    return Histories(events, size)


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found[int(entry.name)] = int(fields[1])
    return found


def _cost(root: int, parents: Mapping[int, int]) -> Cost:
    family = [root]
    for one in family:
        family += [pid for pid, parent in parents.items() if parent == one]
    ticks = 0
    for pid in family:
        # utime, stime, and those of children that have ended (proc(5), fields 14 to 17)
        if fields := _stat(pid):
            ticks += sum(int(value) for value in fields[11:15])
    return Cost(ticks / _TICKS, max(_peak(pid) for pid in family))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; none of a process that has ended."""
    try:
        return (_PROC / f"{pid}" / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _peak(pid: int) -> float:
    try:
        lines = (_PROC / f"{pid}" / "status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(_HELD))
