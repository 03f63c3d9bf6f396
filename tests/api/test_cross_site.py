"""Calls from other sites: with the cookie alone, only pages of this origin change anything."""

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from api.authentication import SECURE_COOKIE
from api.crosssite import SAFE_METHODS, check_same_origin
from api.problems import Refused
from tests.support.apihouse import House
from tests.support.approutes import routes_of, takes_session
from tests.support.identities import ORIGIN

EVIL = "https://evil.keyfill.test"
FROM_ELSEWHERE = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": ORIGIN + "/"},
    {"Sec-Fetch-Site": "same-origin", "Origin": EVIL},
    {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "same-site", "Origin": "null"},
]
FROM_HERE = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Origin": ORIGIN},
]


def changing(house: House) -> Iterator[tuple[str, str]]:
    """Every method and path that changes something and takes a session."""
    for route in routes_of(house.app):
        for method in sorted((route.methods or set()) - SAFE_METHODS):
            if takes_session(route):
                yield method, route.path.replace("{request_id}", "A" * 24)


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
async def test_from_elsewhere_the_cookie_changes_nothing(
    house: House, headers: dict[str, str]
) -> None:
    """Every state-changing call that takes a session refuses a cookie that another site sent."""
    cookie = {"Cookie": f"{SECURE_COOKIE}={await house.sign_in(house.world.first)}"}
    found = list(changing(house))
    assert len(found) >= 7
    for method, path in found:
        response = await house.client.request(method, path, json={}, headers={**cookie, **headers})
        assert (response.status_code, response.json()["code"]) == (403, "cross-site"), path


@pytest.mark.parametrize("headers", FROM_HERE)
async def test_from_a_page_of_ours_the_cookie_acts(house: House, headers: dict[str, str]) -> None:
    """Fetch Metadata, or Origin where it is missing, lets our own pages through."""
    cookie = {"Cookie": f"{SECURE_COOKIE}={await house.sign_in(house.world.first)}"}
    response = await house.client.request("DELETE", "/v1/sessions", headers={**cookie, **headers})
    assert response.status_code == 204


async def test_a_bearer_token_needs_no_origin(house: House) -> None:
    """A program that shows the token itself is no other site's victim."""
    token = await house.sign_in(house.world.first)
    response = await house.client.delete(
        "/v1/sessions",
        headers={"Authorization": f"Bearer {token}", "Sec-Fetch-Site": "cross-site"},
    )
    assert response.status_code == 204


async def test_reading_needs_no_origin(house: House) -> None:
    """What changes nothing may be asked for from anywhere; SameSite keeps the cookie at home."""
    cookie = {"Cookie": f"{SECURE_COOKIE}={await house.sign_in(house.world.first)}"}
    response = await house.client.get("/v1/reviews", headers={**cookie, "Origin": EVIL})
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/sign-out", "/language"])
async def test_forms_are_our_own(house: House, path: str) -> None:
    """Nobody else's form signs anyone out or changes the language, cookie or not."""
    for headers in FROM_ELSEWHERE:
        response = await house.client.post(
            path, data={"language": "en"}, headers={"Accept": "text/html", **headers}
        )
        assert response.status_code == 403
        assert "set-cookie" not in response.headers


_SITES = st.sampled_from([None, "same-origin", "same-site", "cross-site", "none", "x"])
_ORIGINS = st.sampled_from([None, "null", ORIGIN, EVIL, ORIGIN.upper(), ORIGIN + ":444"])


@given(_SITES, _ORIGINS, st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "post"]))
def test_only_our_own_pages_pass(site: str | None, origin: str | None, method: str) -> None:
    """Whatever the headers say together: it passes only if the browser vouches for this origin."""
    headers = [(b"sec-fetch-site", site), (b"origin", origin)]
    request = Request(
        {
            "type": "http",
            "method": method,
            "headers": [(name, text.encode()) for name, text in headers if text is not None],
        }
    )
    vouched = (site == "same-origin" and origin in (None, "null", ORIGIN)) or (
        site is None and origin == ORIGIN
    )
    if vouched:
        check_same_origin(request, ORIGIN)
    else:
        with pytest.raises(Refused):
            check_same_origin(request, ORIGIN)


async def test_every_route_is_looked_at(house: House) -> None:
    """The search for routes finds them all, and tells those apart that take a session."""
    found: list[APIRoute] = list(routes_of(house.app))
    assert {"/v1/sessions", "/v1/applications", "/sign-out"} <= {route.path for route in found}
