"""What the back office answers to an exported key, and what counts as its confirmation."""

import json
from dataclasses import asdict

import httpx
import psec
import pytest
from sqlalchemy import update
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
from ceremony.messages import DueKey, ExportDelivery
from gateways.keyexport import HttpKeyExport
from records import keyexports
from records.tables.key import KeyRow
from records.tables.key_export import KeyExportRow
from tests.support.backstage import Backstage
from tests.support.exportoffice import ExportOffice, OfficeAnswer
from tests.support.exports import (
    EXPORT_KEY,
    ONE,
    TWO,
    Exports,
    MemoryOffice,
    due,
    events,
    office_of,
)

CONFIRMED = ExportDelivery(state=ExportState.CONFIRMED)


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


def test_without_a_back_office_nothing_is_delivered(exports: Exports) -> None:
    """And Temporal is told not to try again."""
    exports.export(ONE)
    exports.office = None
    with pytest.raises(ApplicationError) as caught:
        exports.deliver(ONE)
    assert caught.value.non_retryable
    assert exports.row(ONE).state is ExportState.PENDING
