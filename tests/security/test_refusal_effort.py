"""A stranger is refused with the same effort as an enrolled signer (bench/timing.py has times)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ceremony import verification
from ceremony.encoding import canonical_json
from ceremony.keys import PublicKey
from tests.support.apihouse import House
from tests.support.forging import parts_of, raw_jws
from tests.support.identities import jwk_signer


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house of one's own."""
    made = House.make(tmp_path)
    yield made
    await made.close()


@pytest.mark.parametrize("kind", ["request", "login"])
async def test_an_unknown_key_costs_as_many_checks_as_a_wrong_signature(
    house: House, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a terminal or administrator that nobody enrolled, as many signatures are checked."""
    checked: list[str] = []
    check = verification._verify_jws

    def counted(text: str, parsed: Any, key: PublicKey) -> None:
        checked.append(text)
        check(text, parsed, key)

    monkeypatch.setattr(verification, "_verify_jws", counted)
    genuine = house.request() if kind == "request" else house.world.login(house.world.first)
    path = "/v1/loading-requests" if kind == "request" else "/v1/sessions"
    header, payload = parts_of(genuine.text)
    stranger = jwk_signer("stranger")
    efforts = []
    for kid in (header["kid"], stranger.enrolled.public_key.kid):
        checked.clear()
        forged = raw_jws({**header, "kid": kid}, canonical_json(payload), stranger.key)
        response = await house.post(path, {"statement": forged})
        assert (response.status_code, response.json()["code"]) == (401, "not-authenticated")
        assert checked[-1] == forged
        efforts.append(len(checked))
    assert efforts[0] == efforts[1] > 1
