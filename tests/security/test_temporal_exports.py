"""A live Temporal and database writer who wants keys exported, or kept from the back office.

The key worker of the deployment has an export key; there is no back office to deliver to.
"""

import psec
import pytest

from ceremony.encoding import sha256_hex
from ceremony.keyexport import ExportProblem
from ceremony.stages import Stage
from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from records import keyexports
from settings import Settings
from tests.support.attacked import Bench
from tests.support.genuine import NOTHING, Ceremony
from tests.support.trespass import GIVEN_UP, Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "n4bQgYhMfWWaL-qgxVrQFaO_"


async def refusal(trespasser: Trespasser, request_id: str) -> str | None:
    """Why the key worker does not export a request's key; None if it does."""
    answer = await trespasser.call("export_key", {"request_id": request_id})
    assert (answer["refused"] is None) is (answer["block_digest"] is not None)
    return None if answer["refused"] is None else str(answer["refused"])


def stored(bench: Bench, request_id: str) -> tuple[str, str] | None:
    """State and block of a request's export, as the records have it."""
    with bench.ledger.records() as records:
        row: tuple[str, str] | None = records.execute(
            "SELECT state, block FROM key_exports WHERE request_id = ?", (request_id,)
        ).fetchone()
    return row


def say_active(bench: Bench, wanted: str, *others: str) -> None:
    """Have the records say that one key of a terminal is the active one, and others are not."""
    with bench.rows() as rows:
        for request_id, state in (*((one, "retired") for one in others), (wanted, "active")):
            rows.execute("UPDATE keys SET state = ? WHERE request_id = ?", (state, request_id))


def clear(bench: Bench, load: Ceremony, block: str) -> bytes:
    """What the back office finds in a block, with its own parser; the label must be the load's."""
    export_key = Settings.for_role("keys", home=bench.home.path).secret("export_key")
    header, key = psec.tr31.unwrap(export_key, block)
    assert header.blocks["LB"] == f"{load.request_id} {load.place.terminal_no}"
    return key


async def test_no_key_is_exported_that_is_not_active(bench: Bench, trespasser: Trespasser) -> None:
    """Activity export_key of every other key, each with the records edited to call it active.

    Of a request without a key, of one that is not there, and of a key that is released,
    unconfirmed or retired no block is made; the active one's is under the export key.
    """
    asked = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    for request_id in (asked.request_id, UNKNOWN, NOTHING, ""):
        assert await refusal(trespasser, request_id) == ExportProblem.KEY_NOT_ACTIVE
    assert GIVEN_UP in await trespasser.call("export_key", {"request_id": UNKNOWN, "force": True})
    place = await bench.place()
    old = await Ceremony.at(bench, Stage.LOADED, place)
    await trespasser.handle(place.terminal_no).result()
    new = await Ceremony.at(bench, Stage.AWAITING_RECEIPT, place)
    settle = {"request_id": new.request_id, "terminal_no": place.terminal_no, "receipt": None}
    for state in ("released", "unconfirmed"):
        if state == "unconfirmed":
            await trespasser.call("settle_key", settle)
        right = bench.backup()
        say_active(bench, new.request_id, old.request_id)
        assert new.account.keys[new.request_id][0] == state
        assert await refusal(trespasser, new.request_id) == ExportProblem.KEY_NOT_ACTIVE
        bench.restore(right)
    await new.to(Stage.LOADED)
    right = bench.backup()
    say_active(bench, old.request_id, new.request_id)
    assert await refusal(trespasser, old.request_id) == ExportProblem.KEY_NOT_ACTIVE
    bench.restore(right)
    for load in (asked, old, new):
        assert stored(bench, load.request_id) is None
    assert await refusal(trespasser, new.request_id) is None
    exported = stored(bench, new.request_id)
    assert exported is not None
    key = clear(bench, new, exported[1])
    assert key_check_value(KeyAlgorithm.AES_128, key) == new.kcv


async def test_planted_and_confirmed_exports_keep_a_key_back_and_no_more(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Rows of key_exports planted, marked as confirmed, exchanged; and deliveries elsewhere.

    How far it goes: the key worker leaves the planted row as it is, so that the back office lacks
    the key until an operator has it exported again. No block is made that anybody else opens.
    """
    one, other = [await Ceremony.at(bench, Stage.LOADED) for _ in range(2)]
    for load in (one, other):
        await trespasser.handle(load.place.terminal_no).result()
    planted = psec.tr31.wrap(bytes(32), "D0000K1AE00N0000", bytes(16))
    with bench.rows() as rows:
        for load, state, block in ((one, "pending", planted), (other, "confirmed", "")):
            rows.execute(
                "INSERT INTO key_exports (request_id, terminal_no, algorithm, block, block_digest,"
                " export_key_check, state, attempts, exported_at)"
                " VALUES (?, ?, 'AES-128', ?, ?, '0000000000', ?, 0, 1)",
                (load.request_id, load.place.terminal_no, block, sha256_hex(block.encode()), state),
            )
    for load, block in ((one, planted), (other, "")):
        answer = await trespasser.call("export_key", {"request_id": load.request_id})
        assert answer == {"block_digest": sha256_hex(block.encode()), "refused": None}
        row = stored(bench, load.request_id)
        assert row is not None
        assert row[1] == block
    page = await trespasser.call("due_exports", {"after": _before(other.request_id)})
    assert other.request_id not in [key["request_id"] for key in page["keys"]]
    # Where to is the worker's own setting: here nowhere, whatever the caller would like.
    elsewhere = {"request_id": one.request_id, "url": bench.api}
    for command in ({"request_id": one.request_id}, elsewhere):
        assert GIVEN_UP in await trespasser.call("deliver_export", command)
    with bench.database.write() as session:
        for load in (one, other):
            assert keyexports.forget(session, load.request_id)
    blocks = []
    for load in (one, other):
        assert await refusal(trespasser, load.request_id) is None
        row = stored(bench, load.request_id)
        assert row is not None
        assert key_check_value(KeyAlgorithm.AES_128, clear(bench, load, row[1])) == load.kcv
        blocks.append(row[1])
    # Exchanged, each says inside whose it is.
    with pytest.raises(AssertionError):
        clear(bench, other, blocks[0])


def _before(request_id: str) -> str:
    """What sorts just before a request id."""
    return request_id[:-1]
