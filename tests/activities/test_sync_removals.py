"""Removals: limited without an order, and an officer's order lets one run go further, once."""

from collections.abc import Callable

import pytest

from ceremony.reasons import Reason
from records import syncruns
from tests.support.backoffice import NEW, ONE, Office, counts, fresh
from tests.support.identities import signing_key


def test_too_many_removals_stop_the_run(office: Office) -> None:
    """Nothing of it is applied, not even what it adds; the report and the run say why."""
    office.feed.envelopes[:] = [office.entry(fresh(NEW, "EPP of the new one"))]
    report = office.run()
    assert (report.stopped, counts(report)) == (Reason.TOO_MANY_REMOVED, (0, 0, 0, 0, 0))
    assert office.current(ONE) is not None
    assert office.current(NEW) is None
    with office.stage.database.read() as session:
        run = syncruns.find(session, report.run_id)
    assert run is not None
    assert (run.note, run.finished_at) == ("too-many-removed", office.world.now)


def shrink(office: Office) -> None:
    """A feed that would remove both terminals."""
    office.feed.envelopes[:] = [office.entry(fresh(NEW, "EPP of the new one"))]


def test_an_officers_order_lets_one_run_remove(office: Office) -> None:
    """Once: the same order for a later run counts no more."""
    shrink(office)
    order = office.order(2)
    report = office.run(order)
    assert (report.stopped, counts(report)) == (None, (1, 0, 0, 2, 0))
    office.feed.envelopes[:] = list(office.world.terminal_envelopes.values())
    office.run(office.order(1))
    shrink(office)
    assert office.run(order).stopped is Reason.TOO_MANY_REMOVED
    assert office.current(ONE) is not None


BAD_ORDERS: dict[str, Callable[[Office], str]] = {
    "for too few": lambda o: o.order(1),
    "expired": lambda o: o.order(2, lives=1),
    "by the feed": lambda o: o.order(2, signer=o.world.feed),
    "by a stranger": lambda o: o.order(2, signer=signing_key("a stranger")),
    "garbage": lambda o: "a.b.c",
    "something else": lambda o: o.world.login().text,
}


@pytest.mark.parametrize("name", BAD_ORDERS)
def test_a_bad_order_removes_nothing(office: Office, name: str) -> None:
    """Too small, expired, or not an officer's: the run stops as without one."""
    shrink(office)
    report = office.run(BAD_ORDERS[name](office))
    assert report.stopped is Reason.TOO_MANY_REMOVED
    assert office.current(ONE) is not None


def test_an_order_that_did_not_help_is_not_used_up(office: Office) -> None:
    """A broken feed, or one that asks for more, leaves the officer's order for the next run."""
    order = office.order(2)
    office.feed.envelopes[:] = ["garbage"]
    assert office.run(order).stopped is Reason.TOO_MANY_REMOVED
    shrink(office)
    assert office.run(order).removed == 2


def test_an_order_without_need_is_not_used_up(office: Office) -> None:
    """A run that removes nothing needs no order and spends none."""
    order = office.order(2)
    assert office.run(order).stopped is None
    shrink(office)
    assert office.run(order).removed == 2
