"""Searching loading requests: pages both ways, and an index under each filter, no full scan."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from ceremony.stages import Stage
from records import projection
from records.database import Database
from records.projection import Filter
from records.tables.loading_request import LoadingRequestRow
from tests.support.databases import make_database

NOW = 1_800_000_000
Request = Callable[..., LoadingRequestRow]

FILTERS = {
    "nothing": Filter(),
    "terminal": Filter(terminal_no="T-1"),
    "stage": Filter(stages=[Stage.LOADED]),
    "stages": Filter(stages=[Stage.LOADED, Stage.FAILED, Stage.EXPIRED]),
    "administrator": Filter(staff_no="A1"),
    "branch": Filter(branch="B1"),
    "dates": Filter(opened_from=NOW, opened_until=NOW + 86_400),
    "administrator and stage": Filter(staff_no="A1", stages=[Stage.LOADED]),
    "branch and dates": Filter(branch="B1", opened_from=NOW),
    "everything": Filter("T-1", [Stage.LOADED], "A1", "B1", NOW, NOW + 86_400),
}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty database in a file, whichever the others are on: the plans are SQLite's."""
    folder = tmp_path / "planned"
    folder.mkdir()
    database = Database(make_database(folder, "sqlite"))
    yield database
    database.close()


def plans(database: Database, wanted: Filter, **cursor: str) -> list[str]:
    """What SQLite would do for each query of a search."""
    found: list[str] = []
    with database.read() as session:
        connection = session.connection()

        def explain(
            conn: object, cursor: object, statement: str, parameters: tuple[object, ...], *_: object
        ) -> None:
            if statement.startswith("SELECT loading_requests"):
                asked.append((statement, parameters))

        asked: list[tuple[str, tuple[object, ...]]] = []
        event.listen(connection, "before_cursor_execute", explain)
        projection.search(session, wanted, **cursor)  # type: ignore[arg-type]
        event.remove(connection, "before_cursor_execute", explain)
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found.append(" | ".join(str(row[3]) for row in rows))
    return found


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("cursor", [{}, {"after": f"{NOW}.r"}, {"before": f"{NOW}.r"}], ids=str)
def test_every_search_reads_an_index_in_order(
    sqlite: Database, name: str, cursor: dict[str, str]
) -> None:
    """No filter, page or direction scans the table or sorts what it found."""
    found = plans(sqlite, FILTERS[name], **cursor)
    assert found
    for plan in found:
        assert "USING INDEX ix_loading_requests_" in plan, plan
        assert "SCAN loading_requests USING INDEX" in plan or "SEARCH" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
        # Walking an index from its end is the order itself, and only where nothing is asked for.
        assert "SCAN" not in plan or (name == "nothing" and not cursor), plan


def test_the_plan_is_seen_to_be_bad_without_the_index(
    sqlite: Database, request_row: Request
) -> None:
    """The test above would notice: without its index a search by branch sorts or scans."""
    with sqlite.write() as session:
        projection.open_request(session, request_row("r"))
        session.connection().execute(
            text("DROP INDEX ix_loading_requests_branch_opened_at_request_id")
        )
    [plan] = plans(sqlite, FILTERS["branch"])
    assert "branch" not in plan


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 21])
@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(staff_no="A1"),
        Filter(stages=[Stage.LOADED, Stage.FAILED]),
        Filter(staff_no="A1", stages=[Stage.LOADED, Stage.FAILED]),
    ],
    ids=["all", "administrator", "stages", "both"],
)
def test_pages_lead_back_the_way_they_came(
    database: Database, request_row: Request, limit: int, wanted: Filter
) -> None:
    """Going on to the end and back by `previous` shows the same pages in reverse."""
    with database.write() as session:
        for n in range(20):
            projection.open_request(
                session,
                request_row(
                    f"r{n:02}",
                    opened_at=NOW + n // 3,
                    stage=list(Stage)[n % 2 + 4],
                    first_staff_no="A1" if n % 3 else "A2",
                    second_staff_no="A2" if n % 3 else "A1",
                ),
            )
    onwards: list[list[str]] = []
    with database.read() as session:
        page = projection.search(session, wanted, limit=limit)
        assert page.previous is None
        while True:
            onwards.append([row.request_id for row in page.rows])
            if page.next is None:
                break
            page = projection.search(session, wanted, after=page.next, limit=limit)
        back = [onwards[-1]]
        while page.previous is not None:
            page = projection.search(session, wanted, before=page.previous, limit=limit)
            back.append([row.request_id for row in page.rows])
            assert page.next is not None
    seen = [one for page_of in onwards for one in page_of]
    assert len(seen) == len(set(seen))
    if limit < len(seen):
        assert back == onwards[::-1]
    with database.read() as session:
        whole = projection.search(session, wanted, limit=200)
    assert seen == [row.request_id for row in whole.rows]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    terminal=st.sampled_from([None, "T-1", "T-2"]),
    stages=st.none() | st.sets(st.sampled_from(list(Stage)[:4])),
    staff_no=st.sampled_from([None, "A1", "A2", "A3"]),
    branch=st.sampled_from([None, "B1", "B2"]),
    since=st.none() | st.integers(NOW, NOW + 20),
    until=st.none() | st.integers(NOW, NOW + 20),
)
def test_a_search_finds_what_a_simple_look_finds(
    database: Database,
    request_row: Request,
    terminal: str | None,
    stages: set[Stage] | None,
    staff_no: str | None,
    branch: str | None,
    since: int | None,
    until: int | None,
) -> None:
    """Whatever is asked for together, the rows are those that match, newest first."""
    with database.write() as session:
        if not projection.search(session, Filter()).rows:
            for n in range(48):
                projection.open_request(
                    session,
                    request_row(
                        f"x{n:03}",
                        terminal_no=f"T-{n % 2 + 1}",
                        stage=list(Stage)[n % 5],
                        first_staff_no=f"A{n % 3 + 1}",
                        second_staff_no=f"A{(n + 1) % 3 + 1}",
                        branch=f"B{n % 4 + 1}",
                        opened_at=NOW + n % 20,
                    ),
                )
    with database.read() as session:
        every = projection.search(session, Filter(), limit=200).rows
        found = projection.search(
            session, Filter(terminal, stages, staff_no, branch, since, until), limit=200
        ).rows
    expected = [
        row.request_id
        for row in every
        if (terminal is None or row.terminal_no == terminal)
        and (stages is None or row.stage in stages)
        and (staff_no is None or staff_no in (row.first_staff_no, row.second_staff_no))
        and (branch is None or row.branch == branch)
        and (since is None or row.opened_at >= since)
        and (until is None or row.opened_at < until)
    ]
    assert [row.request_id for row in found] == expected
