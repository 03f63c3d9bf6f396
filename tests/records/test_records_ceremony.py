"""Submissions, verdicts, projection, attempts and code requests."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ceremony.stages import Stage
from records import attempts, coderequests, projection, submissions, verdicts
from records.coderequests import CodeGranted, CodesExhausted, CodeTooEarly
from records.database import Database
from records.projection import BadCursor, Filter, StaleVersion
from records.tables.loading_request import LoadingRequestRow
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow

NOW = 1_800_000_000
Request = Callable[..., LoadingRequestRow]


def test_the_first_copy_of_a_submission_wins(
    database: Database, submission_row: Callable[..., SubmissionRow]
) -> None:
    """A repeat with another typed code returns the first copy, unchanged."""
    with database.write() as session:
        assert submissions.receive(session, submission_row(code_mac="first"))[1]
        stored, created = submissions.receive(session, submission_row(code_mac="second"))
        assert (stored.code_mac, created) == ("first", False)
        submissions.receive(session, submission_row("later", received_at=NOW + 1))
    with database.read() as session:
        assert submissions.get(session, "unknown") is None
        received = submissions.of_request(session, "r1")
        assert [row.received_at for row in received] == [NOW, NOW + 1]


def test_a_statement_has_one_verdict(
    database: Database, verdict_row: Callable[..., VerdictRow]
) -> None:
    """The second verdict on a statement is the first one."""
    with database.write() as session:
        _, created = verdicts.add(session, verdict_row())
        assert created
        again, created = verdicts.add(session, verdict_row(accepted=False, reason="wrong-stage"))
        assert (again.accepted, again.reason, created) == (True, None, False)
    with database.read() as session:
        found = verdicts.find(session, verdict_row().digest)
        assert found is not None
        assert found.stage is Stage.AWAITING_REVIEW
        assert len(verdicts.of_request(session, "r1")) == 1
        assert verdicts.find(session, "unknown") is None


def test_a_request_is_opened_once(database: Database, request_row: Request) -> None:
    """Opening again returns the row as it is by now, not as it was first."""
    with database.write() as session:
        assert projection.open_request(session, request_row())[1]
        projection.move(session, "r1", 1, stage=Stage.AWAITING_REVIEW)
        row, created = projection.open_request(session, request_row())
        assert (row.stage, row.version, created) == (Stage.AWAITING_REVIEW, 2, False)


def test_a_move_needs_the_version(database: Database, request_row: Request) -> None:
    """A move from another version, or of an unknown request, raises and changes nothing."""
    with database.write() as session:
        projection.open_request(session, request_row())
        assert projection.move(session, "r1", 1, kcv="abcdef") == 2
        for request_id, version in (("r1", 1), ("r1", 3), ("r2", 1)):
            with pytest.raises(StaleVersion):
                projection.move(session, request_id, version, stage=Stage.FAILED)
    with database.read() as session:
        row = projection.find(session, "r1")
        assert row is not None
        assert (row.stage, row.version, row.kcv) == (
            Stage.AWAITING_APPLICATION,
            2,
            "abcdef",
        )


def test_an_unknown_stage_is_refused(database: Database, request_row: Request) -> None:
    """The database holds no stage that the design does not name."""
    with database.write() as session:
        projection.open_request(session, request_row())
    with pytest.raises(IntegrityError), database.write() as session:
        session.connection().execute(text("UPDATE loading_requests SET stage = 'DONE'"))


def test_the_open_request_of_a_terminal(database: Database, request_row: Request) -> None:
    """Only open stages count, and of several the newest."""
    with database.write() as session:
        projection.open_request(session, request_row("r1", stage=Stage.LOADED))
        assert projection.open_for_terminal(session, "T-1") is None
        projection.open_request(session, request_row("r2", opened_at=NOW + 1))
        projection.open_request(session, request_row("r3", opened_at=NOW + 2))
        projection.open_request(session, request_row("r4", terminal_no="T-2", opened_at=NOW + 3))
        found = projection.open_for_terminal(session, "T-1")
        assert found is not None
        assert found.request_id == "r3"


def test_reviews_are_the_second_persons_own(database: Database, request_row: Request) -> None:
    """A person sees what awaits them, the longest waiting first, and nothing else."""
    waiting = Stage.AWAITING_REVIEW
    with database.write() as session:
        projection.open_request(session, request_row("r1", stage=waiting, stage_since=NOW + 9))
        projection.open_request(session, request_row("r2", stage=waiting, stage_since=NOW))
        projection.open_request(session, request_row("r3", stage=waiting, second_person="p9"))
        projection.open_request(session, request_row("r4"))
        assert [row.request_id for row in projection.awaiting_review(session, "p2")] == [
            "r2",
            "r1",
        ]
        assert projection.awaiting_review(session, "p1") == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), {"a", "b", "c", "d"}),
        (Filter(terminal_no="T-2"), {"b"}),
        (Filter(stages={Stage.LOADED, Stage.FAILED}), {"c"}),
        (Filter(stages=()), set()),
        (Filter(staff_no="S-x"), {"a", "d"}),
        (Filter(branch="B9"), {"d"}),
        (Filter(opened_from=NOW + 1), {"b", "c", "d"}),
        (Filter(opened_until=NOW + 2), {"a", "b"}),
        (Filter(staff_no="S-x", branch="B9", opened_from=NOW), {"d"}),
    ],
)
def test_search_filters(
    database: Database, request_row: Request, wanted: Filter, expected: set[str]
) -> None:
    """Each filter narrows the result by itself and together with others."""
    with database.write() as session:
        for row in (
            request_row("a", first_staff_no="S-x", opened_at=NOW),
            request_row("b", terminal_no="T-2", opened_at=NOW + 1),
            request_row("c", stage=Stage.LOADED, opened_at=NOW + 2),
            request_row("d", second_staff_no="S-x", branch="B9", opened_at=NOW + 3),
        ):
            projection.open_request(session, row)
        page = projection.search(session, wanted)
        assert {row.request_id for row in page.rows} == expected
        assert page.next is None


@pytest.mark.parametrize("limit", [1, 3, 10, 29, 30, 31])
def test_pages_are_stable(database: Database, request_row: Request, limit: int) -> None:
    """While new requests are opened between pages, each old one comes exactly once, newest first.

    Several were opened in the same second, so the time alone would not cut pages apart.
    """
    with database.write() as session:
        for n in range(30):
            projection.open_request(session, request_row(f"r{n:02}", opened_at=NOW + n // 4))
    seen: list[str] = []
    cursor: str | None = None
    for turn in range(40):
        with database.write() as session:
            page = projection.search(session, Filter(), after=cursor, limit=limit)
            newcomer = request_row(f"new{turn:02}", opened_at=NOW + 1000 + turn)
            projection.open_request(session, newcomer)
        seen += [row.request_id for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"r{n:02}" for n in sorted(range(30), key=lambda n: (n // 4, n), reverse=True)]


@pytest.mark.parametrize(
    "cursor", ["", ".", "1", "1.", ".r", "-1.r", "x.r", "1" * 17 + ".r", "1.\x00", "²³.r"]
)
def test_a_foreign_cursor_is_refused(database: Database, cursor: str) -> None:
    """A cursor that was never given out raises the typed error, not one of the database."""
    with database.read() as session, pytest.raises(BadCursor):
        projection.search(session, Filter(), after=cursor)


def test_attempts_stop_at_the_limit(database: Database) -> None:
    """Attempts count up to the limit and not beyond; scopes do not share."""
    with database.write() as session:
        assert [attempts.use(session, "a", 3) for _ in range(5)] == [1, 2, 3, None, None]
        assert attempts.use(session, "b", 1) == 1
        assert [attempts.used(session, scope) for scope in ("a", "b", "c")] == [3, 1, 0]
        assert attempts.use(session, "a", 4) == 4
        with pytest.raises(ValueError, match="at least 1"):
            attempts.use(session, "a", 0)


def test_twenty_threads_never_exceed_the_limit(database: Database) -> None:
    """Twenty threads that race for five attempts get five, each a different one."""
    outcomes: list[int | None] = []
    start = threading.Barrier(20)

    def race() -> None:
        start.wait(10)
        for _ in range(3):
            with database.write() as session:
                outcomes.append(attempts.use(session, "race", 5))

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome for outcome in outcomes if outcome is not None) == [1, 2, 3, 4, 5]
    assert len(outcomes) == 60


def test_codes_are_numbered_and_spaced(database: Database) -> None:
    """Three codes at most, a minute apart; asking too early gives the current one again."""

    def ask(now: int) -> coderequests.Asked:
        with database.write() as session:
            return coderequests.ask(session, "r1", "p1", now=now, resend_after=60, limit=3)

    assert ask(NOW) == CodeGranted(1, NOW, NOW + 60)
    assert ask(NOW + 59) == CodeTooEarly(1, NOW, NOW + 60)
    assert ask(NOW + 60) == CodeGranted(2, NOW + 60, NOW + 120)
    assert ask(NOW + 500) == CodeGranted(3, NOW + 500, NOW + 560)
    assert ask(NOW + 501) == CodeTooEarly(3, NOW + 500, NOW + 560)
    assert ask(NOW + 560) == CodesExhausted(3, NOW + 500)
    with database.write() as session:
        other = coderequests.ask(session, "r1", "p2", now=NOW, resend_after=60, limit=3)
        assert other == CodeGranted(1, NOW, NOW + 60)
        latest = coderequests.latest(session, "r1", "p1")
        assert latest is not None
        assert latest.n == 3
        second = coderequests.get(session, "r1", "p1", 2)
        assert second is not None
        assert second.requested_at == NOW + 60
