"""Any registry and any feed: what holds of every plan."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ceremony.reasons import Reason
from ceremony.syncplan import SyncStopped, plan_sync
from ceremony.syncrows import FeedRow
from tests.support.sketches import OFFICER, OFFICERS, Sketch, numbers

names = st.sampled_from(["T0", "T1", "T2", "T3", "T4"])
people = st.sampled_from(["ann", "ben", "cleo"])
sketches = st.builds(
    Sketch,
    no=names,
    seq=st.integers(1, 4),
    epp=names,
    certificate=st.sampled_from(["", "renewed"]),
    device=names,
    first=people,
    second=people,
    branch=st.sampled_from(["b", "c"]),
    officers=st.sampled_from([frozenset(), OFFICER, OFFICERS]),
)


def consistent(registry: list[Sketch]) -> bool:
    """Whether a registry could be in force: no number, EPP or device twice."""
    columns = [[getattr(one, name) for one in registry] for name in ("no", "epp", "device")]
    return all(len(set(column)) == len(column) for column in columns)


registries = st.lists(sketches, max_size=5).filter(consistent)
feeds = st.lists(
    st.one_of(
        sketches.map(lambda one: one.row("line")),
        st.builds(
            FeedRow.refused,
            st.just("line"),
            st.just(Reason.BAD_SIGNATURE),
            st.one_of(st.none(), names),
        ),
    ),
    max_size=8,
)


@given(registries, registries, feeds, st.randoms(use_true_random=False))
def test_every_plan_keeps_the_rules(
    registry: list[Sketch], former: list[Sketch], rows: list[FeedRow], shuffle: random.Random
) -> None:
    """Whatever the registry and feed: rows and terminals are accounted for, and keys are unique."""
    in_force = {one.no: one for one in registry}
    index = [one.indexed() for one in registry]
    index += [one.indexed(in_force=False) for one in former if one.no not in in_force]
    try:
        result = plan_sync(index, rows, removals_ordered=True)
    except SyncStopped:
        # Not one row could be believed: none verified, or two entries of one seq contradict.
        read = [row.terminal for row in rows if row.terminal]
        for one in read:
            rivals = [two for two in read if two.entry.terminal_no == one.entry.terminal_no]
            top = max(two.entry.seq for two in rivals)
            assert len({two.digest for two in rivals if two.entry.seq == top}) > 1
        return

    accounted = (result.added, result.changed, result.unchanged, result.refused)
    assert sum(len(part) for part in accounted) == len(rows)

    taken = {one.entry.terminal_no: one for one in (*result.added, *result.changed)}
    named = {row.terminal_no for row in rows}
    assert set(result.removed) == in_force.keys() - named
    assert numbers(result.changed) <= in_force.keys()
    assert not numbers(result.added) & in_force.keys()
    assert set(result.unchanged) <= in_force.keys() - taken.keys()
    assert set(result.ends_requests) <= in_force.keys()

    known = {one.terminal_no: one for one in index}
    for no, new in taken.items():
        assert new.entry.first != new.entry.second
        old = known.get(no)
        if old is not None and old.digest != new.digest:
            assert new.entry.seq > old.seq
            identity = (new.epp.fingerprint, new.device_key.public_key.kid)
            assert new.officers or identity == (old.epp_fingerprint, old.device_kid)
            assigned = (new.entry.first, new.entry.second)
            assert new.officers == OFFICERS or assigned == (old.first, old.second)

    after = [one.indexed() for no, one in in_force.items() if no not in {*result.removed, *taken}]
    epp_keys = [one.epp_key_fingerprint for one in after]
    epp_keys += [one.epp.key_fingerprint for one in taken.values()]
    devices = [one.device_kid for one in after]
    devices += [one.device_key.public_key.kid for one in taken.values()]
    assert len(set(epp_keys)) == len(epp_keys)
    assert len(set(devices)) == len(devices)

    shuffled = list(rows)
    shuffle.shuffle(shuffled)
    again = plan_sync(index, shuffled, removals_ordered=True)
    assert {one.digest for one in again.added} == {one.digest for one in result.added}
    assert {one.digest for one in again.changed} == {one.digest for one in result.changed}
    assert sorted(again.refused, key=repr) == sorted(result.refused, key=repr)
    assert again.ends_requests == result.ends_requests


@given(registries, st.lists(sketches, max_size=8))
def test_applying_a_plan_and_planning_again_changes_nothing(
    registry: list[Sketch], feed: list[Sketch]
) -> None:
    """What a run has applied, the next run of the same feed finds unchanged."""
    index = {one.no: one.indexed() for one in registry}
    rows = [one.row() for one in feed]
    try:
        result = plan_sync(index.values(), rows, removals_ordered=True)
    except SyncStopped:
        return
    for no in result.removed:
        index[no] = replace(index[no], in_force=False)
    by_digest = {one.digest: one for one in feed}
    for new in (*result.added, *result.changed):
        index[new.entry.terminal_no] = by_digest[new.digest].indexed()
    again = plan_sync(index.values(), rows)
    taken = numbers(result.added) | numbers(result.changed)
    assert taken <= {*again.unchanged}
    assert not numbers(again.changed) & taken
    assert (again.removed, again.ends_requests) == ((), ())
