"""Who sees which page: the ways in and out, where they lead, and what auditors see of others."""

from urllib.parse import parse_qs, urlsplit

import pytest

from api.authentication import SECURE_COOKIE
from api.pages.visitors import own_path
from ceremony.registry import read_enrolment
from ceremony.sms import mask_number
from records import credentialentries, registrychanges
from records.entryrows import pending_credential_row
from tests.support.apihouse import House
from tests.support.changes import bring_in, with_new_phone
from tests.support.identities import Administrator, jwk_signer
from tests.support.markup import Markup
from tests.support.visits import post_form, visit


def pend(house: House, envelope: str) -> str:
    """Store an entry that waits for officers; gives its digest."""
    entry = read_enrolment(envelope, house.world.trust, now=house.world.now)
    with house.backstage.database.write() as session:
        credentialentries.put_credential_entry(
            session, pending_credential_row(entry, now=house.world.now)
        )
    return entry.digest


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil",
        "/a#x",
        "/" + "a" * 600,
        "/a\r\nSet-Cookie: x=y",
        None,
    ],
)
def test_a_foreign_place_is_not_gone_to(wanted: str | None) -> None:
    """`next` leads to paths of this site only."""
    assert own_path(wanted) == "/"


@pytest.mark.parametrize(
    "wanted",
    ["/", "/a", "/r/n4bQgYhMfWWaL-qgxVrQFaO_", "/requests?terminal_no=ATM-0001&stage=LOADED"],
)
def test_an_own_place_is_gone_to(wanted: str) -> None:
    """Paths of this site are kept as they are."""
    assert own_path(wanted) == wanted


async def test_a_page_for_people_leads_to_the_sign_in_page_and_back(house: House) -> None:
    """Without a session, or with one that has ended, the sign-in page knows where to return to."""
    response = await visit(house, "/o?x=1")
    there = urlsplit(response.headers["location"])
    assert (response.status_code, there.path) == (303, "/s")
    assert parse_qs(there.query) == {"next": ["/o?x=1"]}
    page = await visit(house, response.headers["location"])
    assert 'data-next="/o?x=1"' in page.text
    stale = await visit(house, "/o", cookie=f"{SECURE_COOKIE}=long-gone")
    assert stale.status_code == 303
    evil = await visit(house, "/s?next=//evil.example")
    assert 'data-next="/"' in evil.text


async def test_who_is_signed_in_is_led_on(house: House) -> None:
    """The sign-in page and the start lead somebody with a session to where they work."""
    signed_in = await visit(house, "/s?next=/a", house.world.first)
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/a")
    administrator = await visit(house, "/", house.world.first)
    auditor = await visit(house, "/", house.world.third)
    assert administrator.headers["location"] == "/r"
    assert auditor.headers["location"] == "/requests"


async def test_the_page_names_who_is_signed_in_as_text(house: House) -> None:
    """A name with markup in it is shown, never run."""
    world = house.world
    name = "<script>alert(1)</script>"
    digest = pend(house, world.credential_entry(world.first, name=name, seq=2))
    with house.backstage.database.write() as session:
        credentialentries.activate_credential(session, digest)
    response = await visit(house, "/a", world.first)
    assert "(A1001)" in response.text
    assert name not in response.text
    assert Markup(response.text).faults == []


async def test_signing_out_ends_the_session_and_its_cookie(house: House) -> None:
    """The form in the header ends the session, in the database and in the browser."""
    token = await house.sign_in(house.world.first)
    response = await post_form(house, "/sign-out", {}, Cookie=f"{SECURE_COOKIE}={token}")
    assert (response.status_code, response.headers["location"]) == (303, "/s")
    assert f'{SECURE_COOKIE}=""' in response.headers["set-cookie"]
    assert (await house.get("/v1/reviews", session=token)).status_code == 401


async def test_auditors_see_what_officers_sign(house: House) -> None:
    """Name, staff number, masked number, key and entry of a pending enrolment; never the number."""
    world = house.world
    ninth = Administrator("person-9", "A1009", "Nina Ninth", "+4915112345990", jwk_signer("ninth"))
    digest = pend(house, world.credential_entry(ninth, officers=1))
    response = await visit(house, "/o", world.third)
    assert response.status_code == 200
    assert "Nina Ninth" in response.text and "A1009" in response.text
    assert mask_number(ninth.number) in response.text and ninth.number not in response.text
    assert ninth.kid in response.text
    assert digest in response.text.replace(" ", "")
    assert "1 of 2 signatures" in response.text
    assert Markup(response.text).faults == []


async def test_auditors_see_what_officers_signed_and_what_waits(house: House) -> None:
    """With the time at which it takes effect, as soon as the key worker has said so.

    Whose entry it is goes on with the former one until then.
    """
    world = house.world
    world.cool_off(3_600)
    order = bring_in(house.backstage, with_new_phone(world.second))
    early = await visit(house, "/o", world.third)
    assert "when the key worker has seen it" in early.text
    with house.backstage.database.write() as session:
        registrychanges.note_time(session, order.digest, 1_900_000_000)
    response = await visit(house, "/o", world.third)
    assert response.status_code == 200
    assert order.name in response.text and "2030-03-17 17:46 UTC" in response.text
    assert "Signed, and waits" in response.text
    assert "+4915155555555" not in response.text
    assert Markup(response.text).faults == []
    # The former key signs in as before.
    assert (await visit(house, "/r", world.second)).status_code == 200


async def test_nobody_else_sees_what_officers_sign(house: House) -> None:
    """An administrator who is no auditor is refused, by a page."""
    response = await visit(house, "/o", house.world.first)
    assert response.status_code == 403
    assert "Only auditors may see this." in response.text
