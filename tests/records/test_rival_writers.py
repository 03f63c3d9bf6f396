"""Two processes' worth of writers at once, each with connections of its own, on both databases."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from ceremony.stages import Stage
from records import (
    attempts,
    audit,
    coderequests,
    credentialentries,
    keystore,
    projection,
    submissions,
    terminalentries,
    verdicts,
)
from records.coderequests import CodeGranted
from records.database import Database
from records.engines import Limits
from records.projection import StaleVersion
from records.seq import StaleEntry
from records.tables.audit_event import ActorKind
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.key import KeyRow, KeyState
from records.tables.loading_request import LoadingRequestRow
from records.tables.submission import SubmissionRow
from records.tables.terminal_entry import TerminalEntryRow
from records.tables.verdict import VerdictRow
from records.turns import Turn, take_turn

T = TypeVar("T")
NOW = 1_800_000_000
RIVALS = 6


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[Database, Database]]:
    """The same database through two doors, as two processes have it."""
    doors = tuple(Database(database_url, limits=Limits(lock_ms=20_000)) for _ in range(2))
    yield doors[0], doors[1]
    for door in doors:
        door.close()


def race(
    two: tuple[Database, Database], act: Callable[[Session, int], T], *, rounds: int = 1
) -> list[T | Exception]:
    """Let six writers, three a door, act at the same moment; give what each got, or raised."""
    start = threading.Barrier(RIVALS)

    def run(n: int) -> list[T | Exception]:
        outcomes: list[T | Exception] = []
        for _ in range(rounds):
            start.wait(30)
            try:
                with two[n % 2].write() as session:
                    outcomes.append(act(session, n))
            except (IntegrityError, StaleVersion, StaleEntry) as error:
                outcomes.append(error)
        return outcomes

    with ThreadPoolExecutor(RIVALS) as pool:
        return [outcome for outcomes in pool.map(run, range(RIVALS)) for outcome in outcomes]


def test_one_verdict_and_all_read_it(
    two: tuple[Database, Database], verdict_row: Callable[..., VerdictRow]
) -> None:
    """The replay store: one of the rivals' verdicts is stored, and every rival gets that one."""

    def judge(session: Session, n: int) -> tuple[int, bool]:
        row, created = verdicts.add(session, verdict_row(version=n))
        return row.version, created

    got = race(two, judge)
    assert not [one for one in got if isinstance(one, Exception)]
    assert len({version for version, _ in got}) == 1  # type: ignore[misc]
    assert sorted(created for _, created in got) == [False] * 5 + [True]  # type: ignore[misc]


def test_the_first_submission_stays(
    two: tuple[Database, Database], submission_row: Callable[..., SubmissionRow]
) -> None:
    """Copies of one statement with different typed codes: one is stored, all read its code."""

    def receive(session: Session, n: int) -> str | None:
        return submissions.receive(session, submission_row(code_mac=f"mac {n}"))[0].code_mac

    assert len(set(race(two, receive))) == 1


def test_five_attempts_only(two: tuple[Database, Database]) -> None:
    """Of eighteen guesses at once five count, each as another; the rest find none left."""

    def guess(session: Session, _: int) -> int | None:
        return attempts.use(session, "person/r1", 5)

    got = race(two, guess, rounds=3)
    assert sorted(one for one in got if isinstance(one, int)) == [1, 2, 3, 4, 5]
    assert len(got) == 18


def test_a_version_moves_once(
    two: tuple[Database, Database], request_row: Callable[..., LoadingRequestRow]
) -> None:
    """Of movers from one version one succeeds; the others raise `StaleVersion`."""
    with two[0].write() as session:
        projection.open_request(session, request_row())

    def move(session: Session, _: int) -> int:
        return projection.move(session, "r1", 1, stage=Stage.AWAITING_REVIEW)

    got = race(two, move)
    assert [one for one in got if not isinstance(one, StaleVersion)] == [2]


def test_read_for_update_loses_no_move(
    two: tuple[Database, Database], request_row: Callable[..., LoadingRequestRow]
) -> None:
    """Who reads the row for update, then moves it, always succeeds: the others wait their turn."""
    with two[0].write() as session:
        projection.open_request(session, request_row())

    def move(session: Session, _: int) -> int:
        row = projection.find(session, "r1", for_update=True)
        assert row is not None
        return projection.move(session, "r1", row.version)

    assert sorted(race(two, move, rounds=3), key=str) == sorted(range(2, 20), key=str)


def test_one_active_key(two: tuple[Database, Database], key_row: Callable[..., KeyRow]) -> None:
    """Rivals who activate different keys of one terminal: one does, the database stops the rest."""
    with two[0].write() as session:
        for n in range(RIVALS):
            keystore.publish_key(session, key_row(f"r{n}"))

    def activate(session: Session, n: int) -> bool:
        released = (KeyState.RELEASED,)
        return keystore.set_state(session, f"r{n}", released, KeyState.ACTIVE, now=NOW)

    got = race(two, activate)
    assert [one for one in got if not isinstance(one, IntegrityError)] == [True]
    with two[1].read() as session:
        states = [row.state for row in keystore.keys_of_terminal(session, "T-1")]
    assert sorted(states) == [KeyState.ACTIVE] + [KeyState.RELEASED] * 5


def test_one_code_is_granted(two: tuple[Database, Database]) -> None:
    """Of those who ask for a first SMS code at once one is granted it; all are told number 1."""

    def ask(session: Session, _: int) -> coderequests.Asked:
        return coderequests.ask(session, "r1", "p1", now=NOW, resend_after=60, limit=3)

    got = race(two, ask)
    assert [isinstance(one, CodeGranted) for one in got].count(True) == 1
    assert {one.n for one in got if not isinstance(one, Exception)} == {1}


def test_one_entry_of_a_terminal_is_in_force(
    two: tuple[Database, Database], terminal_row: Callable[..., TerminalEntryRow]
) -> None:
    """Entries of rising seq stored at once: nobody fails but as stale, the highest is in force."""

    def put(session: Session, n: int) -> terminalentries.Put:
        return terminalentries.put_terminal_entry(session, terminal_row(seq=n + 1))

    got = race(two, put)
    assert not [one for one in got if isinstance(one, IntegrityError)]
    with two[0].read() as session:
        current = terminalentries.current_terminal(session, "T-1")
        stored = terminalentries.terminal_history(session, "T-1")
    assert current is not None
    assert current.seq == max(row.seq for row in stored) == RIVALS


def test_one_credential_of_a_person_is_active(
    two: tuple[Database, Database], credential_row: Callable[..., CredentialEntryRow]
) -> None:
    """Entries activated at once follow one another: the highest seq ends active, alone."""
    rows = [credential_row(seq=n) for n in range(RIVALS)]
    digests = [row.digest for row in rows]
    with two[0].write() as session:
        for row in rows:
            credentialentries.put_credential_entry(session, row)

    def activate(session: Session, n: int) -> bool:
        return credentialentries.activate_credential(session, digests[n])

    got = race(two, activate)
    assert not [one for one in got if isinstance(one, IntegrityError)]
    with two[0].read() as session:
        current = credentialentries.current_credential(session, "p1")
        states = [row.state for row in credentialentries.credential_history(session, "p1")]
    assert current is not None
    assert current.seq == RIVALS - 1
    assert states.count(CredentialState.ACTIVE) == 1


def test_events_of_a_request_are_committed_in_their_order(
    two: tuple[Database, Database],
) -> None:
    """Whoever follows a request's events by id misses none, whichever writer is the slower."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with two[0].write() as session:
            audit.write(session, "first", at=NOW, actor_kind=ActorKind.SYSTEM, request_id="r1")
            begun.set()
            go_on.wait(10)

    def quick() -> None:
        with two[1].write() as session:
            audit.write(session, "second", at=NOW, actor_kind=ActorKind.SYSTEM, request_id="r1")

    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(slow)]
        assert begun.wait(10)
        writing.append(pool.submit(quick))
        with pytest.raises(TimeoutError):
            writing[1].result(0.3)
        with two[1].read() as session:
            assert audit.next_of_request(session, "r1", 0) is None
        go_on.set()
        for one in writing:
            one.result(20)
    with two[1].read() as session:
        assert [event.event for event in audit.of_request(session, "r1")] == ["first", "second"]


def test_turns_follow_one_another(two: tuple[Database, Database]) -> None:
    """Within a turn a writer reads what the one before wrote, though there was no row to lock."""

    def number(session: Session, n: int) -> int:
        take_turn(session, Turn.REQUEST, "r1")
        take_turn(session, Turn.REQUEST, "r1")
        count = len(audit.of_request(session, "r1"))
        audit.write(session, f"event-{count}", at=n, actor_kind=ActorKind.SYSTEM, request_id="r1")
        return count

    assert sorted(race(two, number, rounds=2), key=str) == sorted(range(12), key=str)
