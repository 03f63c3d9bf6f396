"""The same statement again gives the same answer, and nothing happens twice."""

from typing import Any

import pytest

from tests.support.acts import Act
from tests.support.apihouse import House


@pytest.mark.parametrize(
    "kind",
    ["request", "application", "decision", "confirmation", "receipt", "cancellation", "withdrawal"],
)
async def test_a_repeat_is_answered_alike_without_a_signal(house: House, kind: str) -> None:
    """Accepted statements are answered from their verdict, also long after they were fresh."""
    act = await Act.ready(house, kind)
    said = act.statement()
    first = await act.send(said)
    assert first.status_code in (200, 201)
    told = len(house.ceremonies.told)
    house.world.pass_time(600)
    again = await act.send(said)
    assert again.status_code == first.status_code
    assert without_qr(again.json()) == without_qr(first.json())
    assert len(house.ceremonies.told) == told


async def test_a_refused_statement_stays_refused(house: House) -> None:
    """A refused application sent again gets the same answer and uses up no second attempt."""
    act = await Act.ready(house, "application")
    assert act.session is not None
    said = act.statement()
    first = await act.load.send_application(said, act.session, code="000000")
    assert first.json()["attempts_left"] == 4
    again = await act.load.send_application(said, act.session)
    assert again.json() == first.json()


async def test_a_login_opens_one_session_only(house: House) -> None:
    """A login statement sent again opens nothing: the token is not stored."""
    act = await Act.ready(house, "login")
    said = act.statement()
    assert (await act.send(said)).status_code == 201
    again = await act.send(said)
    assert (again.status_code, again.json()["code"]) == (401, "replayed")


def without_qr(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer but for the QR code, which is the one of the moment."""
    return {name: value for name, value in answer.items() if name != "qr"}
