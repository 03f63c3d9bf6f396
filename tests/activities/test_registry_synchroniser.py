"""Synchronising: verified row by row, planned whole, applied once per run, reported."""

import json
from dataclasses import replace
from typing import Any

import pytest

from activities.registry_sync import RegistrySynchroniser
from ceremony.feed import FeedError, FeedItem, FeedReading
from ceremony.messages import SyncOrder, SyncRefusal
from ceremony.reasons import Reason
from ceremony.stages import Stage
from records import syncruns
from tests.support.backoffice import NEW, ONE, TWO, Office, counts, fresh
from tests.support.backstage import MemoryFeed
from tests.support.identities import jwk_signer
from tests.support.recording import Recording


def test_a_new_terminal_is_added_verbatim(office: Office) -> None:
    """Its envelope as signed, its columns read from it, one event naming the run."""
    new = fresh(NEW, "EPP of the new one")
    envelope = office.entry(new)
    office.feed.envelopes.append(envelope)
    report = office.run()
    assert counts(report) == (1, 0, 2, 0, 0)
    row = office.current(NEW)
    assert row is not None
    assert (row.envelope, row.seq, row.first_person) == (envelope, 1, "person-1")
    assert (row.epp_fingerprint, row.device_kid) == (new.epp.fingerprint, new.kid)
    assert office.events(report.run_id) == [("terminal-added", NEW)]


def test_the_same_feed_again_changes_nothing(office: Office) -> None:
    """A second run finds everything unchanged and writes no event."""
    office.feed.envelopes.append(office.entry(fresh(NEW, "EPP of the new one")))
    office.run()
    report = office.run()
    assert counts(report) == (0, 0, 3, 0, 0)
    assert office.events(report.run_id) == []


def test_a_finished_run_is_reported_and_not_repeated(office: Office) -> None:
    """Its activity died before it could answer: the retry gives the run's report, reading nothing.

    The open requests of changed terminals are named again, or they would never be told.
    """
    recording = Recording.opened(office.stage)
    office.feed.envelopes[0] = office.entry(office.world.terminal, seq=2)
    office.feed.envelopes.append("garbage")
    first = office.run(run_id="run-x")
    assert first.ended == (ONE,)
    office.feed.envelopes.clear()
    again = office.run(run_id="run-x")
    assert counts(again) == counts(first) == (0, 1, 1, 0, 1)
    assert (again.ended, again.stopped) == ((ONE,), None)
    assert [one.reason for one in again.refused] == [one.reason for one in first.refused]
    assert office.events("run-x") == [("terminal-changed", ONE)]
    assert recording.state.stage is Stage.AWAITING_APPLICATION


def test_a_stopped_run_is_reported_as_stopped_again(office: Office) -> None:
    """The retry of a run that stopped does not try again what an officer has to look at."""
    office.feed.envelopes.clear()
    assert office.run(run_id="run-x").stopped is Reason.TOO_MANY_REMOVED
    office.feed.envelopes.extend(office.world.terminal_envelopes.values())
    assert office.run(run_id="run-x").stopped is Reason.TOO_MANY_REMOVED


class DyingFeed(MemoryFeed):
    """A feed whose connection breaks after the first item."""

    def read(self, known: str | None = None) -> FeedReading:
        """Give one item, then fail."""

        def items() -> Any:
            yield FeedItem("line 1", self.envelopes[0], None)
            raise FeedError("unreachable")

        return FeedReading("tag", items())


def test_no_lock_is_held_while_the_feed_is_read(office: Office) -> None:
    """Others write while a slow back office answers."""
    stage = office.stage

    class SlowFeed(MemoryFeed):
        def read(self, known: str | None = None) -> FeedReading:
            with stage.database.write():
                pass
            items = (FeedItem("line 1", one, None) for one in self.envelopes)
            return FeedReading(None, items)

    stage.feed = SlowFeed(stage.feed.envelopes)
    assert counts(office.run()) == (0, 0, 2, 0, 0)


def test_a_feed_that_breaks_off_changes_nothing(office: Office) -> None:
    """Half a feed is none: the error reaches Temporal, and the same run may read again."""
    office.feed.envelopes[0] = office.entry(office.world.terminal, seq=2)
    whole = office.stage.feed
    office.stage.feed = DyingFeed(whole.envelopes)
    with pytest.raises(FeedError):
        office.run(run_id="run-x")
    row = office.current(ONE)
    assert row is not None
    assert row.seq == 1
    office.stage.feed = whole
    assert counts(office.run(run_id="run-x")) == (0, 1, 1, 0, 0)


def test_a_tag_is_kept_only_of_a_feed_that_was_applied_whole(office: Office) -> None:
    """Unmodified: nothing to plan. With a refused row the feed is read again."""
    office.feed.tag = "one"
    assert counts(office.run()) == (0, 0, 2, 0, 0)
    office.feed.envelopes.clear()
    assert counts(office.run()) == (0, 0, 2, 0, 0)
    office.feed.tag = "two"
    office.feed.envelopes.extend([*office.world.terminal_envelopes.values(), "garbage"])
    assert counts(office.run()) == (0, 0, 2, 0, 1)
    assert counts(office.run()) == (0, 0, 2, 0, 1)
    with office.stage.database.read() as session:
        assert syncruns.latest_tag(session) is None


def test_a_row_that_the_source_could_not_read_keeps_its_reason(office: Office) -> None:
    """A line too long for the source is a refusal like any other."""

    class Source(MemoryFeed):
        def read(self, known: str | None = None) -> FeedReading:
            good = [FeedItem(f"line {n}", one, None) for n, one in enumerate(self.envelopes)]
            return FeedReading(None, iter([FeedItem("line 9", None, Reason.TOO_LARGE), *good]))

    office.stage.feed = Source(office.feed.envelopes)
    report = office.run()
    assert report.refused == (
        SyncRefusal(position="line 9", terminal_no=None, reason=Reason.TOO_LARGE),
    )


def test_below_the_lowest_seq_of_the_trust_file_nothing_counts(office: Office) -> None:
    """Raising `lowest_seq` refuses all that was signed before; what is in force stays, unused."""
    trust = office.world.trust.model_copy(update={"lowest_seq": 2})
    sync = RegistrySynchroniser(office.stage.database, trust, office.feed, office.stage.clock)
    report = sync.run(SyncOrder(), "run-x")
    assert [one.reason for one in report.refused] == [Reason.SEQ_LOWERED] * 2
    assert (report.added, report.changed, report.removed) == (0, 0, 0)


def test_an_officer_signs_a_changed_identity(office: Office) -> None:
    """The same change with the feed's and an officer's signature is applied."""
    one = replace(office.world.terminal, device=jwk_signer("new device"))
    signers = (office.world.feed, office.world.officers[1])
    office.feed.envelopes[0] = office.entry(one, seq=2, signers=signers)
    assert counts(office.run()) == (0, 1, 1, 0, 0)
    row = office.current(ONE)
    assert row is not None
    assert row.device_kid == one.kid


def test_a_removed_terminal_comes_back(office: Office) -> None:
    """With its old entry or a newer one; its keys still need an officer to change."""
    both = list(office.feed.envelopes)
    office.feed.envelopes[:] = both[:1]
    report = office.run()
    assert (counts(report), office.events(report.run_id)) == (
        (0, 0, 1, 1, 0),
        [("terminal-removed", TWO)],
    )
    assert office.current(TWO) is None
    swapped = replace(office.world.other, device=jwk_signer("slipped in"))
    office.feed.envelopes[:] = [both[0], office.entry(swapped, seq=2)]
    assert [one.reason for one in office.run().refused] == [Reason.OFFICER_REQUIRED]
    office.feed.envelopes[:] = both
    report = office.run()
    assert (counts(report), office.events(report.run_id)) == (
        (1, 0, 1, 0, 0),
        [("terminal-added", TWO)],
    )
    assert office.current(TWO) is not None


def test_only_terminals_with_an_open_request_are_told(office: Office) -> None:
    """Changed without a request, and unchanged with one, are not named; changed with one is."""
    Recording.opened(office.stage)
    office.feed.envelopes[1] = office.entry(office.world.other, seq=2)
    assert office.run().ended == ()
    by = (office.world.feed, *office.world.officers[:2])
    office.feed.envelopes[0] = office.entry(
        office.world.terminal, seq=2, first="person-3", signers=by
    )
    assert office.run().ended == (ONE,)


def test_a_removed_terminals_open_request_is_told(office: Office) -> None:
    """Removal ends a request as a change does."""
    Recording.opened(office.stage)
    del office.feed.envelopes[0]
    assert office.run().ended == (ONE,)


def test_an_ended_request_is_not_told(office: Office) -> None:
    """What has ended needs no end."""
    recording = Recording.opened(office.stage)
    cancellation = office.world.cancellation(recording.request)
    recording.record(office.stage.file(cancellation))
    office.feed.envelopes[0] = office.entry(office.world.terminal, seq=2)
    assert office.run().ended == ()


def test_duplicates_are_refused_but_for_the_newest(office: Office) -> None:
    """Two rows of one terminal: the higher `seq` is applied, the other one named."""
    newer = office.entry(office.world.terminal, seq=2)
    office.feed.envelopes.append(newer)
    report = office.run()
    assert counts(report) == (0, 1, 1, 0, 1)
    assert report.refused[0].reason is Reason.DUPLICATE_TERMINAL
    row = office.current(ONE)
    assert row is not None
    assert row.seq == 2


def test_a_refusal_names_the_terminal_that_it_claims(office: Office) -> None:
    """For people: position, claimed terminal and reason, in the report and in the run's row."""
    office.feed.envelopes.append(office.entry(fresh(NEW, "EPP of the refused"), valid_until=1))
    report = office.run()
    assert report.refused == (
        SyncRefusal(position="line 3", terminal_no=NEW, reason=Reason.ENTRY_EXPIRED),
    )
    with office.stage.database.read() as session:
        run = syncruns.find(session, report.run_id)
    assert run is not None
    assert json.loads(run.refused_json) == [{"terminal_no": NEW, "reason": "entry-expired"}]
