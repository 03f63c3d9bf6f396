"""Each active key is exported once, and no longer when it is active no longer."""

import json

import psec
import pytest
from sqlalchemy import update
from sqlmodel import col
from temporalio.exceptions import ApplicationError

from ceremony.keyexport import ExportAnswer, ExportProblem, ExportState, ExportUnavailable
from ceremony.keylife import KeyAct
from ceremony.messages import DueKey, ExportCommand, ExportDelivery
from keymanagement.journalrows import KeyState as JournalState
from records import audit, keyexports, keystore
from records.tables.key import KeyRow, KeyState
from tests.support.exports import EXPORT_KEY, ONE, TWO, Exports, due, events, office_of
from tests.support.journals import ordered

CONFIRMED = ExportDelivery(state=ExportState.CONFIRMED)


def test_an_export_is_published_once_and_told(exports: Exports) -> None:
    """By the key worker, with the block's digest and the export key's check value in the trail."""
    exports.export(ONE)
    exports.export(ONE)
    row = exports.row(ONE)
    assert (row.state, row.attempts, row.terminal_no) == (ExportState.PENDING, 0, "ATM-0001")
    header, _ = psec.tr31.unwrap(EXPORT_KEY, row.block)
    assert header.blocks["KP"] == f"01{row.export_key_check}"
    assert events(exports) == [("key-exported", "key-worker", None)]
    with exports.stage.database.read() as session:
        (told,) = audit.of_request(session, ONE)
    assert json.loads(told.detail) == {
        "block": row.block_digest,
        "export_key": row.export_key_check,
    }


def test_only_active_keys_are_due_page_by_page(exports: Exports) -> None:
    """By request id; what was wrapped is marked, and a key that retired is due no longer."""
    exports.activate(TWO, "ATM-0002")
    assert due(exports) == (
        DueKey(request_id=ONE, wrapped=False),
        DueKey(request_id=TWO, wrapped=False),
    )
    exports.export(TWO)
    assert due(exports, ONE) == (DueKey(request_id=TWO, wrapped=True),)
    exports.activate("C" * 24, "ATM-0002")
    assert due(exports, ONE) == (DueKey(request_id="C" * 24, wrapped=False),)
    assert exports.deliver(TWO) == ExportDelivery(state=None)
    assert office_of(exports).got == []


def test_a_retired_keys_export_is_withdrawn(exports: Exports) -> None:
    """Its block goes, the trail says that it may have come through, and no late answer counts."""
    office_of(exports).fails.append(ExportUnavailable("timeout"))
    exports.export(ONE)
    sent = exports.row(ONE)
    with pytest.raises(ApplicationError):
        exports.deliver(ONE)
    exports.activate(TWO)
    with exports.stage.database.read() as session:
        assert keyexports.find(session, ONE) is None
        assert keyexports.counts(session) == {}
        told = audit.of_request(session, ONE)[-1]
    assert (told.event, told.actor_kind.value) == ("key-export-withdrawn", "key-worker")
    assert json.loads(told.detail) == {"block": sent.block_digest, "state": "sent"}
    late = ExportAnswer(ONE, sent.block_digest, exports.kcvs[ONE])
    assert exports.deliveries.take_answer(late) == ExportDelivery(state=None)


def test_a_key_that_officers_settled_is_due_after_its_receipt(exports: Exports) -> None:
    """Before, no answer of the back office could be judged: there is no KCV on record."""
    exports.release(TWO, "ATM-0002")
    exports.settle_by_officers(TWO, "ATM-0002")
    assert due(exports) == (DueKey(request_id=ONE, wrapped=False),)
    outcome = exports.exporting.export_key(ExportCommand(request_id=TWO))
    assert outcome.refused is ExportProblem.KEY_NOT_ACTIVE
    exports.prove(TWO)
    assert due(exports, ONE) == (DueKey(request_id=TWO, wrapped=False),)
    exports.export(TWO)
    assert exports.deliver(TWO) == CONFIRMED


def test_a_block_published_beside_an_order_is_withdrawn(exports: Exports) -> None:
    """By the key worker, when the journal says that its key is active no more."""
    exports.export(ONE)
    order = ordered(KeyAct.REVOKE, request_id=ONE)
    exports.stage.journal.begin_order(order)
    exports.stage.journal.finish_order(order.digest, 1)
    outcome = exports.exporting.export_key(ExportCommand(request_id=ONE))
    assert outcome.refused is ExportProblem.KEY_NOT_ACTIVE
    with exports.stage.database.read() as session:
        assert keyexports.find(session, ONE) is None


def test_an_edited_row_has_no_key_exported(exports: Exports) -> None:
    """Whoever marks a key active in the database is not believed by the key worker."""
    stage = exports.stage
    exports.activate(TWO)
    assert stage.journal.key_of(ONE) is not None
    with stage.database.write() as session:
        session.exec(update(KeyRow).values(state=KeyState.RETIRED))
        session.exec(
            update(KeyRow).where(col(KeyRow.request_id) == ONE).values(state=KeyState.ACTIVE)
        )
    assert due(exports) == (DueKey(request_id=ONE, wrapped=False),)
    held = stage.journal.key_of(ONE)
    assert held is not None
    assert held.state is JournalState.RETIRED
    outcome = exports.exporting.export_key(ExportCommand(request_id=ONE))
    assert outcome.refused is ExportProblem.KEY_NOT_ACTIVE
    assert exports.exporting.export_key(ExportCommand(request_id="Z" * 24)).refused is not None


def test_a_destroyed_keys_block_is_erased(exports: Exports) -> None:
    """The digest stays; there is no copy left to send."""
    exports.export(ONE)
    with exports.stage.database.write() as session:
        keystore.withdraw(session, ONE, erase=True)
        assert not keyexports.erase(session, ONE)
    assert (exports.row(ONE).block, len(exports.row(ONE).block_digest)) == ("", 64)


def test_states_are_counted(exports: Exports) -> None:
    """For the operator's overview."""
    exports.activate(TWO, "ATM-0002")
    exports.export(ONE)
    exports.export(TWO)
    exports.deliver(TWO)
    with exports.stage.database.read() as session:
        assert keyexports.counts(session) == {ExportState.PENDING: 1, ExportState.CONFIRMED: 1}
        open_ones = keyexports.page(session, keyexports.OPEN, after="", limit=10)
    assert [one.request_id for one in open_ones] == [ONE]
