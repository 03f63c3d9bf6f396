"""Keys that two terminals of a feed claim: who keeps one, and how it may move."""

from dataclasses import replace

import pytest

from ceremony.reasons import Reason
from tests.support.sketches import KNOWN, OFFICER, OTHER, Sketch, numbers, plan, reasons


def test_two_new_claims_to_one_key_are_both_refused() -> None:
    """Of two terminals that newly claim one key neither is believed; the others go on."""
    feed = [Sketch("T3", epp="x"), Sketch("T4", epp="x"), Sketch("T5")]
    result = plan([], feed)
    assert numbers(result.added) == {"T5"}
    assert reasons(result) == {("T3", Reason.FOREIGN_EPP_KEY), ("T4", Reason.FOREIGN_EPP_KEY)}


@pytest.mark.parametrize("key", ["epp", "device"])
def test_nobody_can_dispute_a_key_in_force(key: str) -> None:
    """A terminal that keeps its key may change otherwise, whoever else claims that key."""
    claimant = replace(Sketch("T3"), **{key: "T1"})  # type: ignore[arg-type]
    result = plan([KNOWN], [claimant, replace(KNOWN, seq=6, branch="c")])
    assert numbers(result.changed) == {"T1"}
    assert {no for no, _ in reasons(result)} == {"T3"}


def test_an_epp_moves_in_one_run() -> None:
    """A key that its terminal gives up, by a change or by removal, is free for another."""
    swapped = [
        replace(KNOWN, seq=6, epp="T2", officers=OFFICER),
        replace(OTHER, seq=6, epp="T1", officers=OFFICER),
    ]
    assert numbers(plan([KNOWN, OTHER], swapped).changed) == {"T1", "T2"}
    renumbered = plan([KNOWN, OTHER], [OTHER, Sketch("T7", epp="T1", device="T1")])
    assert (numbers(renumbered.added), renumbered.removed) == ({"T7"}, ("T1",))


def test_a_refused_change_gives_nothing_up() -> None:
    """If the terminal that was to give up its key is refused, the key is still its own."""
    feed = [
        replace(KNOWN, seq=6, epp="T2", officers=OFFICER),
        replace(OTHER, seq=6, epp="T3", officers=OFFICER),
        replace(Sketch("T3", seq=5), seq=6, epp="new"),
    ]
    result = plan([KNOWN, OTHER, Sketch("T3", seq=5)], feed)
    assert reasons(result) == {
        ("T1", Reason.FOREIGN_EPP_KEY),
        ("T2", Reason.FOREIGN_EPP_KEY),
        ("T3", Reason.OFFICER_REQUIRED),
    }
    assert (result.changed, result.removed) == ((), ())
