"""Strangers at the kiosk's door: other hosts' names, other pages' calls, and what pages may do."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from terminal.loadstate import LoadFile
from terminal.web.app import kiosk_app
from terminal.web.background import BackgroundLoad
from terminal.web.bell import Bell
from terminal.web.browserscreen import BrowserScreen
from terminal.web.server import PortTaken, listening
from tests.support.kioskbench import kiosk_bench
from tests.support.terminalbench import TerminalBench as Bench

HOST = "127.0.0.1:4321"
OWN = f"http://{HOST}"
BUTTONS = ("load", "approval", "cancel", "give-up", "again", "done", "language")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A terminal and its server."""
    with kiosk_bench(tmp_path_factory.mktemp("guard") / "terminal") as made:
        yield made


@pytest.fixture
def page(bench: Bench) -> Iterator[TestClient]:
    """The kiosk's application, called by anybody."""
    bell = Bell()
    load = BackgroundLoad(
        bench.terminal(),
        LoadFile(bench.folder, keeps_code=False),
        BrowserScreen(bell),
        bench.server.url,
    )
    with TestClient(kiosk_app(load, bell, host=HOST), OWN, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4321", "localhost:4321", "127.0.0.1", "127.0.0.1:4322"]
)
@pytest.mark.parametrize("path", ["/", "/updates", "/static/kiosk.css"])
def test_another_name_is_refused(page: TestClient, host: str, path: str) -> None:
    """A name that a stranger made point here (DNS rebinding) opens nothing."""
    answer = page.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "ATM-0001" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:4321"},
        {"Origin": "http://127.0.0.1:8480", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://127.0.0.1:4321"},
        {"Origin": OWN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": OWN, "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
@pytest.mark.parametrize("button", BUTTONS)
def test_another_page_presses_no_button(
    page: TestClient, bench: Bench, headers: dict[str, str], button: str
) -> None:
    """A call that does not name this very origin is refused, and nothing happens."""
    answer = page.post(f"/{button}", headers=headers, data={"language": "zh-CN"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert bench.server.posted == []


@pytest.mark.parametrize("button", BUTTONS[1:])
def test_its_own_page_presses_every_button(page: TestClient, button: str) -> None:
    """The same calls from the own page are answered by showing the page again."""
    for headers in ({"Origin": OWN}, {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}):
        answer = page.post(f"/{button}", headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            200,
        ),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
            403,
        ),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": OWN}, 200),
    ],
)
def test_nothing_is_put_into_another_page(
    page: TestClient, headers: dict[str, str], status: int
) -> None:
    """A link to the kiosk may be followed; a frame, a picture or a script's call gets nothing."""
    assert page.get("/", headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/", "/nothing", "/static/kiosk.js", "/static/x"])
def test_every_answer_is_under_a_strict_policy(page: TestClient, path: str) -> None:
    """No answer is stored, framed or embedded, and no page runs or styles anything inline."""
    for headers in ({}, {"Host": "evil.example"}):
        answer = page.get(path, headers=headers)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert " style=" not in answer.text


def test_pages_hold_nothing_inline() -> None:
    """No template has an inline script, style or handler."""
    for template in (Path(__file__).parents[2] / "terminal" / "templates").glob("*.html"):
        text = template.read_text()
        assert "style=" not in text, template
        assert "<style" not in text, template
        assert "<script>" not in text, template
        assert re.search(r"<[a-z][^>]*\son[a-z]+=", text) is None, template


def test_a_path_of_the_disk_is_no_static_file(page: TestClient) -> None:
    """Only the files of the folder are served, by their names."""
    for path in ("/static/../command.py", "/static/%2e%2e/command.py", "/static/..%2fcommand.py"):
        assert page.get(path).status_code == 404


def test_the_screen_is_on_loopback_only() -> None:
    """The socket is bound to 127.0.0.1, and a port that is taken is said to be."""
    first = listening(0)
    address, port = first.getsockname()
    with pytest.raises(PortTaken):
        listening(port)
    first.close()
    assert address == "127.0.0.1"


def test_nothing_else_is_served(page: TestClient) -> None:
    """There is no description, no metrics and no other method."""
    for path in ("/docs", "/openapi.json", "/metrics", "/load.json"):
        assert page.get(path).status_code == 404
    assert page.put("/", headers={"Origin": OWN}).status_code == 405
