"""Names that outlive a release: histories, search attributes and alarms go by them."""

from dataclasses import fields
from enum import Enum
from typing import get_args

import pytest

from ceremony import names
from ceremony.eppcertificate import EntryError
from ceremony.feed import FeedError
from ceremony.keyclaims import KeyRole
from ceremony.keylife import KeyState
from ceremony.messages import EventStep, Notice, RegistryPage, SyncReport
from ceremony.passkeys import PasskeyError
from ceremony.reasons import Reason
from ceremony.release_rule import ReleaseRefused
from ceremony.revocations import Subject
from ceremony.sms import NumberRefused, SmsStatus
from ceremony.stages import Stage
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind
from ceremony.syncplan import SyncLimits, SyncStopped
from ceremony.syncrows import IndexedTerminal
from ceremony.verification import StatementError
from tests.support.drive import Drive
from tests.support.world import World

SHARED = {
    "CEREMONY_QUEUE": "keyfill-ceremony",
    "KEYS_QUEUE": "keyfill-keys",
    "LOADING_REQUEST": "LoadingRequest",
    "REGISTRY_SYNC": "RegistrySync",
    "REGISTRY_SYNC_ID": "registry-sync",
    "REGISTRY_NOTES": "RegistryNotes",
    "REGISTRY_CHANGE": "RegistryChange",
    "KEY_ORDER": "KeyOrder",
    "KEY_EXPORT": "KeyExport",
    "KEY_EXPORT_ID": "key-export",
    "SEARCH_REQUEST": "KeyfillRequest",
    "SEARCH_STAGE": "KeyfillStage",
    "SEARCH_TERMINAL": "KeyfillTerminal",
    "SEARCH_FIRST": "KeyfillFirstAdministrator",
    "SEARCH_SECOND": "KeyfillSecondAdministrator",
    "SEARCH_BRANCH": "KeyfillBranch",
    "TOKEN_FORMATS": ("oaep-jws", "tr34", "gm-envelope"),
    "SIGNAL_REQUEST_REPEATED": "request_repeated",
    "SIGNAL_CODE_REQUESTED": "code_requested",
    "SIGNAL_APPLICATION": "application_submitted",
    "SIGNAL_DECISION": "decision_submitted",
    "SIGNAL_CONFIRMATION": "confirmation_submitted",
    "SIGNAL_RECEIPT": "receipt_submitted",
    "SIGNAL_CANCELLATION": "cancellation_submitted",
    "SIGNAL_REGISTRY_CHANGED": "registry_changed",
    "SIGNAL_CHANGE_ENDED": "change_ended",
    "QUERY_STATUS": "status",
}


def test_a_name_never_changes() -> None:
    """A running workflow would miss a signal, and a saved search would find nothing."""
    named = {name: value for name, value in vars(names).items() if name.isupper()}
    assert named == SHARED


def test_a_terminal_has_one_loading_request() -> None:
    """The workflow id names the terminal and nothing else, so Temporal keeps one open each."""
    assert names.loading_request_id("ATM-1") == "loading-request/ATM-1"
    assert names.registry_notes_id("run-1") == "registry-notes/run-1"
    assert names.registry_change_id("ab") == "registry-change/ab"
    assert names.key_order_id("ab") == "key-order/ab"


def test_a_stage_is_called_what_it_is() -> None:
    """A stage's value is its name: it stands in rows, search attributes and answers."""
    assert all(stage.value == stage.name for stage in Stage)


def test_a_feed_error_holds_its_code_and_no_more() -> None:
    """The code is for alarms and for people alike."""
    error = FeedError("source-unreachable")
    assert (error.code, str(error)) == ("source-unreachable", "source-unreachable")


@pytest.mark.parametrize("stage", list(Stage))
def test_six_stages_are_final(stage: Stage) -> None:
    """A state says itself whether its request has ended."""
    state = Drive.open(World.make()).state.model_copy(update={"stage": stage})
    assert state.final is (not stage.name.startswith("AWAITING_"))


def test_a_verdict_names_its_gravest_reason() -> None:
    """The first reason counts; without any the statement is accepted."""
    accepted = Verdict(kind=Kind.REQUEST, digest="d")
    assert (accepted.accepted, accepted.reason) == (True, None)
    refused = accepted.model_copy(update={"reasons": (Reason.QR_EXPIRED, Reason.QR_REFUSED)})
    assert (refused.accepted, refused.reason) == (False, Reason.QR_EXPIRED)


def test_a_new_state_has_everything_before_it() -> None:
    """A request begins with all its attempts, tries and re-wraps, and with nothing done."""
    fields = CeremonyState.model_fields
    begun = {name: one.default for name, one in fields.items() if not one.is_required()}
    assert begun.pop("codes_sent_at") == ()
    assert {name: begun.pop(name) for name in ("attempts_left", "tries_left", "rewraps_left")} == {
        "attempts_left": 5,
        "tries_left": 3,
        "rewraps_left": 3,
    }
    assert set(begun.values()) == {None}


@pytest.mark.parametrize("refusal", [StatementError, EntryError, PasskeyError, ReleaseRefused])
def test_a_refusals_message_is_its_reason(refusal: type[Exception]) -> None:
    """Whoever logs one logs the code that auditors search for, and nothing else."""
    assert str(refusal(Reason.STALE)) == "stale"
    assert refusal(Reason.STALE).reason is Reason.STALE  # type: ignore[attr-defined]


def test_other_refusals_say_as_much_as_they_may() -> None:
    """A number is not repeated; a stopped run shows the two numbers that stopped it."""
    assert str(NumberRefused()) == "number-refused"
    stopped = SyncStopped(Reason.TOO_MANY_REMOVED, removals=3, in_force=20)
    assert str(stopped) == "too-many-removed: 3 of 20"


@pytest.mark.parametrize("names", [KeyRole, KeyState, SmsStatus, Subject])
def test_what_rows_are_marked_with_never_changes(names: type[Enum]) -> None:
    """The value is the name in small letters: rows of a former release hold it."""
    assert [one.value for one in names] == [one.name.lower() for one in names]


def test_messages_name_what_they_may_be_about() -> None:
    """What a running workflow sent before an upgrade is understood after it."""
    assert get_args(EventStep.model_fields["event"].annotation) == ("deadline", "registry")
    assert get_args(Notice.model_fields["event"].annotation) == ("review", "approved", "ended")
    parts = get_args(RegistryPage.model_fields["part"].annotation)
    assert parts == ("revocations", "persons", "terminals")
    assert RegistryPage(part="persons").after == ""


def test_a_report_begins_with_nothing_done() -> None:
    """Counts start at none, and a removal needs an order beyond 5 % and at least one."""
    report = SyncReport(run_id="run")
    assert (report.added, report.changed, report.unchanged, report.removed) == (0, 0, 0, 0)
    known = {field.name: field.default for field in fields(IndexedTerminal)}
    assert known["in_force"] is True
    assert (SyncLimits().removal_percent, SyncLimits().removal_floor) == (5, 1)
