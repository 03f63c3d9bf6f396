"""The pages of reviewers and auditors: who sees them, their headers, and hostile text on them."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from api.authentication import SECURE_COOKIE
from api.pages.requesting import PAGE_ROWS
from api.parts import Parts
from api.temporalui import TemporalUi
from records import projection
from records.tables.loading_request import LoadingRequestRow
from tests.support.apihouse import House, wire
from tests.support.identities import Administrator

UNKNOWN = "A" * 24
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'
PAGES = ["/r", "/r/{id}", "/requests", "/requests/{id}"]


async def get(
    house: House, path: str, who: Administrator | None = None, *, language: str = "en"
) -> Any:
    """A page, as a browser asks for it."""
    headers = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": language}
    if who is not None:
        headers["Cookie"] = f"{SECURE_COOKIE}={await house.sign_in(who)}"
    house.client.cookies.clear()
    return await house.client.get(path, headers=headers)


@pytest.mark.parametrize("path", PAGES)
async def test_without_a_session_the_sign_in_page_comes_first(house: House, path: str) -> None:
    """Nobody in particular is led to the sign-in page, which leads back."""
    response = await get(house, path.format(id=UNKNOWN))
    assert response.status_code == 303
    location = response.headers["location"]
    assert location.startswith("/s?next=%2Fr")


@pytest.mark.parametrize("path", ["/requests", "/requests/{id}"])
async def test_only_auditors_see_the_requests(house: House, path: str) -> None:
    """An administrator without the auditor's role: 403, the same for any id."""
    load = await house.open()
    pages = [await get(house, path.format(id=one), house.world.first) for one in (load.id, UNKNOWN)]
    assert [one.status_code for one in pages] == [403, 403]
    assert "Only auditors may see this." in pages[0].text
    assert load.id not in pages[0].text.replace(f"/requests/{load.id}", "")


async def test_unknown_and_foreign_reviews_look_the_same(house: House) -> None:
    """The first administrator, an auditor and an unknown id: one 404 page."""
    load = await house.open()
    await load.apply()
    world = house.world
    texts = set()
    for who in (world.first, world.third):
        for request_id in (load.id, UNKNOWN, "no-id"):
            response = await get(house, f"/r/{request_id}", who)
            assert response.status_code == 404
            texts.add(response.text.replace(f"/r/{request_id}", "/r/…"))
    assert len(texts) == 1


async def test_an_unknown_request_is_the_404_page(house: House) -> None:
    """An auditor who asks for what never was."""
    for request_id in (UNKNOWN, "no-id"):
        response = await get(house, f"/requests/{request_id}", house.world.third)
        assert response.status_code == 404
        assert "Nothing here" in response.text


@pytest.mark.parametrize("path", PAGES)
async def test_the_pages_headers(house: House, path: str) -> None:
    """Nothing inline, nothing from elsewhere, no frame, nothing stored; and the same in Chinese."""
    load = await house.open()
    await load.apply()
    who = house.world.second if path.startswith("/r/") or path == "/r" else house.world.third
    for language in ("en", "zh-CN"):
        response = await get(house, path.format(id=load.id), who, language=language)
        assert response.status_code == 200, response.text
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert response.headers["cache-control"] == "no-store"
        assert f'<html lang="{language}">' in response.text
        scripts = re.findall(r"<script([^>]*)>", response.text)
        assert all("src=" in one or "application/json" in one for one in scripts)
        assert not re.search(r"\sstyle=|\son[a-z]+=", response.text)
        assert not re.search(r"""(?:src|href)="(?!/|#)""", response.text)


async def test_hostile_text_is_shown_and_never_run(house: House) -> None:
    """A branch, a model and a person's own words stand on the pages as text."""
    world = house.world
    envelope = world.terminal_entry(seq=2, branch=HOSTILE[:80], model=HOSTILE[:80])
    world.terminal_envelopes["ATM-0001"] = envelope
    house.backstage.register()
    load = await house.open()
    await load.apply()
    pages = [await get(house, "/r", world.second), await get(house, f"/r/{load.id}", world.second)]
    await load.decide(decision="reject", reason_code="suspicion", reason=HOSTILE)
    pages.append(await get(house, f"/r/{load.id}", world.second))
    pages.append(await get(house, f"/requests/{load.id}", world.third))
    pages.append(await get(house, "/requests", world.third))
    query = "terminal=%22%3E%3Cscript%3E&branch=%3Cscript%3E&from=%3Cscript%3E"
    pages.append(await get(house, f"/requests?{query}", world.third))
    for page in pages:
        assert page.status_code == 200
        assert "<script>" not in page.text
        assert "<img" not in page.text
    assert "&lt;img src=x onerror=alert(2)&gt;{{ 7 * 7 }}" in pages[2].text
    assert "&lt;img src=x onerror=alert(2)&gt;{{ 7 * 7 }}" in pages[3].text


async def test_the_review_page_has_a_face_for_each_stage(house: House) -> None:
    """What the second administrator reads fits where the request stands."""
    second = house.world.second
    load = await house.open()
    assert "Nobody has applied yet" in (await get(house, f"/r/{load.id}", second)).text
    await load.apply()
    asked = (await get(house, f"/r/{load.id}", second)).text
    assert "Load a new key into ATM-0001?" in asked and 'id="approve"' in asked
    cancellation = house.world.cancellation(load.request)
    await house.post(f"{load.path}/cancellation", {"statement": wire(cancellation)})
    ended = (await get(house, f"/r/{load.id}", second)).text
    assert "The request was cancelled" in ended and 'id="approve"' not in ended


async def test_a_timeline_tells_every_statement_verdict_and_reason(house: House) -> None:
    """Accepted and refused statements, with their verdicts and reasons in words and codes."""
    load = await house.open()
    await load.approve()
    assert load.application is not None
    confirmation = house.world.confirmation(load.application)
    assert (await load.send_confirmation(confirmation, code="0000")).status_code == 403
    text = (await get(house, f"/requests/{load.id}", house.world.third)).text
    for said in (
        "The terminal asked for a key",
        "The first administrator applied",
        "The second administrator decided",
        "The terminal's confirmation was refused",
        "The approval code is wrong",
        "approval-code-wrong",
        "Verdict: accepted.",
        "Verdict: refused.",
        load.request.digest,
        load.application.digest,
        confirmation.digest,
    ):
        assert said in text, said
    assert house.world.first.number not in text
    chinese = (await get(house, f"/requests/{load.id}", house.world.third, language="zh-CN")).text
    assert "审批码错误" in chinese and "第二管理员已作出决定" in chinese


async def test_the_workflow_is_linked_where_the_ui_is_known(house: House) -> None:
    """The link finds exactly this request's workflow; without a configured UI there is none."""
    load = await house.open()
    page = await get(house, f"/requests/{load.id}", house.world.third)
    assert "Temporal UI" not in page.text
    ui = TemporalUi("https://temporal.example/", "key loading")
    parts: Parts = house.app.state.parts
    house.app.state.parts = Parts(**{**vars(parts), "temporal_ui": ui})
    page = await get(house, f"/requests/{load.id}", house.world.third)
    assert (
        'href="https://temporal.example/namespaces/key%20loading/workflows?query='
        f'KeyfillRequest%3D%22{load.id}%22" target="_blank" rel="noopener noreferrer"'
    ) in page.text


@pytest.mark.parametrize(
    "query", ["stage=SOMEWHERE", "from=tomorrow", "after=x", "until=9999-99-99"]
)
async def test_a_search_that_cannot_be_read_says_so(house: House, query: str) -> None:
    """Nothing is found and nothing breaks; the form keeps what was typed."""
    response = await get(house, f"/requests?{query}", house.world.third)
    assert response.status_code == 200
    assert "This search cannot be read." in response.text


async def test_the_search_finds_and_pages(house: House) -> None:
    """Each filter narrows, pages lead on and back, and links keep the search."""
    first = await house.open()
    await first.apply()
    row: LoadingRequestRow | None
    with house.backstage.database.read() as session:
        row = projection.find(session, first.id)
    assert row is not None
    with house.backstage.database.write() as session:
        for n in range(PAGE_ROWS + 5):
            values = row.model_dump() | {
                "request_id": f"{n:024}",
                "terminal_no": "ATM-0009",
                "branch": "Far & away",
                "opened_at": row.opened_at - 86_400 - n,
            }
            projection.open_request(session, LoadingRequestRow(**values))

    async def found(query: str) -> tuple[list[str], str]:
        page = await get(house, f"/requests{query}", house.world.third)
        assert page.status_code == 200
        return re.findall(r'class="target" href="/requests/([^"]+)"', page.text), page.text

    day = house.world.now - house.world.now % 86_400
    assert (await found("?terminal=atm-0001"))[0] == [first.id]
    assert (await found("?stage=AWAITING_REVIEW&terminal=ATM-0001"))[0] == [first.id]
    assert (await found("?stage=LOADED"))[0] == []
    assert (await found("?administrator=A1001&terminal=ATM-0001"))[0] == [first.id]
    assert (await found("?administrator=A9999"))[0] == []
    assert len((await found("?branch=Far+%26+away"))[0]) == PAGE_ROWS
    today = datetime.fromtimestamp(day, UTC).date().isoformat()
    assert (await found(f"?from={today}"))[0] == [first.id]
    assert (await found(f"?from={today}&until={today}"))[0] == [first.id]
    page, text = await found("?branch=Far+%26+away")
    assert 'rel="prev"' not in text
    [onwards] = re.findall(r'rel="next" href="/requests([^"]+)"', text)
    rest, text = await found(onwards.replace("&amp;", "&"))
    assert len(rest) == 5 and not set(rest) & set(page)
    assert 'rel="next"' not in text
    [back] = re.findall(r'rel="prev" href="/requests([^"]+)"', text)
    assert (await found(back.replace("&amp;", "&")))[0] == page
