"""What must be true after a load, by the key worker's own journal: one key each, and no other."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from sqlmodel import select

from bench.loadact import Played
from bench.loadsystem import System
from ceremony.stages import Stage
from keymanagement.journal import Journal
from records.tables.key import KeyRow, KeyState
from records.tables.loading_request import LoadingRequestRow
from settings import Settings


def wrong(system: System, played: Sequence[Played]) -> list[str]:
    """Everything that is not as it must be, a line each; none if all is well.

    Raises:
        JournalCorrupt: if a row of the journal is not as the key worker wrote it.
    """
    found = [f"{one.part.terminal_no}: {_ending(one)}" for one in played if not one.loaded]
    loaded = {one.request_id: one for one in played if one.loaded}
    settings = Settings.unchecked("keys", home=system.home.path)
    with Journal(system.home.journal, settings.secret("kek")) as journal:
        journal.verify()
        known = {one: journal.kcv_of(one) for one in loaded if one and journal.key_of(one)}
    with closing(sqlite3.connect(system.home.journal)) as file:
        sql = "SELECT r.request_id, r.terminal_no, k.state FROM releases r LEFT JOIN keys k USING"
        held = list(file.execute(f"{sql} (request_id)"))
        tokens = dict(file.execute("SELECT request_id, count(*) FROM tokens GROUP BY 1"))
    found += [f"{request} has {n} tokens" for request, n in tokens.items() if n != 1]
    found += _of_journal(held, loaded)
    found += _of_records(system, loaded, known)
    return found


def _ending(one: Played) -> str:
    return one.problem or f"ended {one.ending}"


def _of_journal(
    held: Sequence[tuple[str, str, str | None]], loaded: dict[str | None, Played]
) -> list[str]:
    found: list[str] = []
    requests = [request for request, _, _ in held]
    if len(requests) != len(set(requests)):
        found.append("a request has two keys in the journal")
    for request, terminal_no, state in held:
        one = loaded.get(request)
        if one is None:
            found.append(f"{terminal_no}: the journal has a key of a load that did not end LOADED")
        elif state != "active":
            found.append(f"{terminal_no}: its key is {state} in the journal")
    found += [
        f"{one.part.terminal_no}: LOADED without a key in the journal"
        for request, one in loaded.items()
        if request not in requests
    ]
    return found


def _of_records(
    system: System, loaded: dict[str | None, Played], known: dict[str, str]
) -> list[str]:
    with system.database.read() as session:
        shown = {one.request_id: one for one in session.exec(select(LoadingRequestRow))}
        keys = {one.request_id: one for one in session.exec(select(KeyRow))}
    found = [f"the records show {one} keys" for one in [len(keys)] if one != len(loaded)]
    for request, one in loaded.items():
        row, key = shown.get(request or ""), keys.get(request or "")
        kcv = one.ending.kcv if one.ending else None
        right = (
            row is not None
            and key is not None
            and row.stage is Stage.LOADED
            and key.state is KeyState.ACTIVE
            and kcv == row.kcv == key.kcv == known.get(request or "")
        )
        if not right:
            found.append(f"{one.part.terminal_no}: projection, keys, journal and EPP differ")
    found += [
        f"{row.terminal_no}: the projection shows {row.stage}, which nobody saw end"
        for row in shown.values()
        if row.request_id not in loaded and row.stage is Stage.LOADED
    ]
    return found
