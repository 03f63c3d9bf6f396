"""The back office gets each active key, however often it has to be told, and confirms it."""

import json
from dataclasses import asdict, dataclass, field

import httpx
import psec
import pytest
from sqlalchemy import update
from sqlmodel import col
from temporalio.exceptions import ApplicationError

from activities.key_exports import message_of
from ceremony.keyexport import (
    ExportAnswer,
    ExportMessage,
    ExportProblem,
    ExportRefused,
    ExportState,
    ExportUnavailable,
)
from ceremony.keylife import KeyAct
from ceremony.messages import DueKey, ExportCommand, ExportDelivery, ExportPage
from gateways.keyexport import HttpKeyExport
from keymanagement.journalrows import KeyState as JournalState
from records import audit, keyexports, keystore
from records.tables.key import KeyRow, KeyState
from records.tables.key_export import KeyExportRow
from tests.support.backstage import Backstage
from tests.support.exportoffice import ExportOffice, OfficeAnswer
from tests.support.exports import EXPORT_KEY, Exports
from tests.support.journals import ordered

ONE, TWO = "A" * 24, "B" * 24
CONFIRMED = ExportDelivery(state=ExportState.CONFIRMED)


@dataclass
class MemoryOffice:
    """A back office that confirms with these KCVs, after what `fails` has it raise."""

    kcvs: dict[str, str]
    fails: list[Exception] = field(default_factory=list)
    bent: dict[str, str] = field(default_factory=dict)
    got: list[ExportMessage] = field(default_factory=list)

    def deliver(self, message: ExportMessage) -> ExportAnswer:
        """See `activities.key_exports.BackOffice`."""
        self.got.append(message)
        if self.fails:
            raise self.fails.pop(0)
        said = {
            "request_id": message.request_id,
            "key_block_digest": message.key_block_digest,
            "kcv": self.kcvs[message.request_id],
        }
        return ExportAnswer(**{**said, **self.bent})


@pytest.fixture
def exports(stage: Backstage) -> Exports:
    """A stage with one active key, and a back office that confirms."""
    made = Exports(stage)
    made.activate(ONE)
    made.office = MemoryOffice(made.kcvs)
    return made


def office_of(exports: Exports) -> MemoryOffice:
    """The back office in memory."""
    assert isinstance(exports.office, MemoryOffice)
    return exports.office


def events(exports: Exports, request_id: str = ONE) -> list[tuple[str, str, str | None]]:
    """What the audit trail says: event, who, why."""
    with exports.stage.database.read() as session:
        told = audit.of_request(session, request_id)
    return [(one.event, one.actor_kind.value, one.reason) for one in told]


def due(exports: Exports, after: str = "") -> tuple[DueKey, ...]:
    """What is due."""
    return exports.deliveries.due_exports(ExportPage(after=after)).keys


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


def test_a_delivery_is_confirmed_by_digest_and_kcv(exports: Exports) -> None:
    """The message holds block and binding and no KCV; the confirmed block is erased."""
    exports.export(ONE)
    block = exports.row(ONE).block
    assert exports.deliver(ONE) == CONFIRMED
    (got,) = office_of(exports).got
    assert (got.request_id, got.terminal_no, got.key_block) == (ONE, "ATM-0001", block)
    assert exports.kcvs[ONE] not in repr(got).replace(block, "").replace(got.key_block_digest, "")
    row = exports.row(ONE)
    assert (row.state, row.attempts, row.block) == (ExportState.CONFIRMED, 1, "")
    assert row.block_digest == got.key_block_digest
    assert events(exports)[1:] == [("key-export-confirmed", "back-office", None)]


def test_a_confirmed_export_is_not_sent_again(exports: Exports) -> None:
    """A delivery repeated after its answer, by a retry or by anybody, sends nothing."""
    exports.export(ONE)
    assert exports.deliver(ONE) == exports.deliver(ONE) == CONFIRMED
    assert len(office_of(exports).got) == 1
    assert due(exports) == ()


@pytest.mark.parametrize(
    ("bent", "problem"),
    [
        ({"key_block_digest": "00" * 32}, ExportProblem.WRONG_DIGEST),
        ({"kcv": "ffffff"}, ExportProblem.WRONG_KCV),
        ({"request_id": TWO}, ExportProblem.WRONG_REQUEST),
    ],
    ids=["digest", "kcv", "request"],
)
def test_an_answer_that_names_something_else_is_no_confirmation(
    exports: Exports, bent: dict[str, str], problem: ExportProblem
) -> None:
    """The back office stored something else: that is refused, told, and left to people."""
    exports.export(ONE)
    office_of(exports).bent = bent
    assert exports.deliver(ONE) == ExportDelivery(state=ExportState.REFUSED, reason=problem)
    assert events(exports)[1:] == [("key-export-refused", "back-office", problem)]
    assert exports.deliver(ONE).state is ExportState.REFUSED
    assert len(office_of(exports).got) == 1
    assert due(exports) == ()


def test_a_refusal_for_good_is_kept(exports: Exports) -> None:
    """With the back office's code."""
    exports.export(ONE)
    office_of(exports).fails.append(ExportRefused("http-409"))
    assert exports.deliver(ONE) == ExportDelivery(state=ExportState.REFUSED, reason="http-409")


def test_an_office_that_is_away_is_asked_again_with_the_same_bytes(exports: Exports) -> None:
    """Nothing is settled; attempts are counted; the key stays due."""
    exports.export(ONE)
    office_of(exports).fails += [ExportUnavailable("timeout"), ExportUnavailable("http-500")]
    for attempt in (1, 2):
        with pytest.raises(ApplicationError, match="back office") as caught:
            exports.deliver(ONE)
        assert not caught.value.non_retryable
        assert (exports.row(ONE).state, exports.row(ONE).attempts) == (ExportState.SENT, attempt)
        assert due(exports) == (DueKey(request_id=ONE, wrapped=True),)
    assert exports.deliver(ONE) == CONFIRMED
    assert len({one.key_block for one in office_of(exports).got}) == 1
    assert exports.row(ONE).attempts == 3


def test_an_answer_that_got_lost_is_given_again(stage: Backstage) -> None:
    """Over HTTP: the office stored the key and its answer never came; the retry is confirmed."""
    office = ExportOffice(export_key=EXPORT_KEY)
    with httpx.Client() as client:
        gateway = HttpKeyExport(f"{office.origin}/keys", "token", client, timeout=1.5)
        exports = Exports(stage, gateway)
        kcv = exports.activate(ONE)
        exports.export(ONE)
        office.answers += [OfficeAnswer(b"", 500), OfficeAnswer(b"{}", wait=5.0)]
        for _ in range(2):
            with pytest.raises(ApplicationError):
                exports.deliver(ONE)
        assert exports.deliver(ONE) == CONFIRMED
        (stored,) = office.stored.values()
        assert stored[0] == exports.row(ONE).block_digest
        assert (
            office.judge(office.asked[0].body).body
            == json.dumps({"request_id": ONE, "key_block_digest": stored[0], "kcv": kcv}).encode()
        )
        # A block made anew under the same idempotency key is a conflict, and is not taken.
        with stage.database.write() as session:
            assert keyexports.forget(session, ONE)
        exports.export(ONE)
        assert exports.deliver(ONE).reason == "http-409"
    office.close()


def test_an_older_keys_late_arrival_replaces_no_newer_key(stage: Backstage) -> None:
    """Sent before its key retired and still on its way: by `exported_at` the office knows that."""
    office = ExportOffice(export_key=EXPORT_KEY)
    with httpx.Client() as client:
        exports = Exports(stage, HttpKeyExport(office.origin, "token", client, timeout=2))
        exports.activate(TWO)
        exports.export(TWO)
        on_its_way = asdict(message_of(exports.row(TWO)))
        later = exports.row(TWO).exported_at + 1
        stage.clock = lambda: later
        exports.activate(ONE)
        exports.export(ONE)
        assert exports.deliver(ONE) == CONFIRMED
    office.close()
    assert office.judge(on_its_way).status == 409
    assert set(office.stored) == {ONE}


def test_an_answer_to_a_former_block_settles_no_newer_one(exports: Exports) -> None:
    """Exported anew while the back office was still at work on the first: that is sent next."""

    class Slow(MemoryOffice):
        def deliver(self, message: ExportMessage) -> ExportAnswer:
            if not self.got:
                with exports.stage.database.write() as session:
                    keyexports.forget(session, ONE)
                exports.export(ONE)
            return super().deliver(message)

    exports.office = Slow(exports.kcvs)
    exports.export(ONE)
    first = exports.row(ONE).block_digest
    assert exports.deliver(ONE).state is ExportState.PENDING
    assert exports.row(ONE).block_digest != first
    assert exports.deliver(ONE) == CONFIRMED


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


def test_a_key_that_retires_during_its_delivery_is_not_confirmed(exports: Exports) -> None:
    """The answer finds no export any more; the newer key is exported by itself."""

    class Slow(MemoryOffice):
        def deliver(self, message: ExportMessage) -> ExportAnswer:
            if not self.got:
                exports.activate(TWO)
            return super().deliver(message)

    exports.office = Slow(exports.kcvs)
    exports.export(ONE)
    assert exports.deliver(ONE) == ExportDelivery(state=None)
    assert due(exports) == (DueKey(request_id=TWO, wrapped=False),)


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


@pytest.mark.parametrize("kcv", ["", "08793e"])
def test_without_a_check_value_on_record_nothing_is_confirmed(exports: Exports, kcv: str) -> None:
    """Neither an empty answer nor any other; and nothing is sent."""
    exports.export(ONE)
    with exports.stage.database.write() as session:
        session.exec(update(KeyRow).values(kcv=None))
    assert exports.deliver(ONE) == ExportDelivery(state=ExportState.PENDING)
    assert office_of(exports).got == []
    answer = ExportAnswer(ONE, exports.row(ONE).block_digest, kcv)
    refused = ExportDelivery(state=ExportState.REFUSED, reason=ExportProblem.WRONG_KCV)
    assert exports.deliveries.take_answer(answer) == refused


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


def test_a_planted_block_is_not_confirmed(stage: Backstage) -> None:
    """A row of an attacker's keeps the key from being exported, and never passes for it."""
    office = ExportOffice(export_key=EXPORT_KEY)
    with httpx.Client() as client:
        exports = Exports(stage, HttpKeyExport(office.origin, "token", client, timeout=2))
        exports.activate(ONE)
        exports.export(ONE)
        with stage.database.write() as session:
            session.exec(
                update(KeyExportRow).values(
                    block=psec.tr31.wrap(bytes(32), "D0000K1AE00N0000", bytes(16))
                )
            )
        assert exports.deliver(ONE) == ExportDelivery(state=ExportState.REFUSED, reason="http-400")
    office.close()
    assert office.stored == {}


def test_a_destroyed_keys_block_is_erased(exports: Exports) -> None:
    """The digest stays; there is no copy left to send."""
    exports.export(ONE)
    with exports.stage.database.write() as session:
        keystore.withdraw(session, ONE, erase=True)
        assert not keyexports.erase(session, ONE)
    assert (exports.row(ONE).block, len(exports.row(ONE).block_digest)) == ("", 64)


def test_without_a_back_office_nothing_is_delivered(exports: Exports) -> None:
    """And Temporal is told not to try again."""
    exports.export(ONE)
    exports.office = None
    with pytest.raises(ApplicationError) as caught:
        exports.deliver(ONE)
    assert caught.value.non_retryable
    assert exports.row(ONE).state is ExportState.PENDING


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
