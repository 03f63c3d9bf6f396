"""Claims about the planning of a registry synchronisation: its rules, alone and together."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from ceremony.encoding import sha256_hex
from ceremony.eppcertificate import EppCertificate
from ceremony.keys import PublicKey, SigningKey
from ceremony.reasons import Reason
from ceremony.registry import VerifiedTerminal
from ceremony.statements import PublicJwk, TerminalEntry
from ceremony.syncplan import (
    FeedRow,
    IndexedTerminal,
    RefusedRow,
    SyncLimits,
    SyncPlan,
    SyncStopped,
    plan_sync,
    plan_unmodified,
)
from ceremony.verification import EnrolledKey

OFFICER = frozenset({"officer"})


@cache
def rsa_key() -> rsa.RSAPublicKey:
    """One RSA key for every certificate: a plan looks at fingerprints only."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


@cache
def device_key(name: str) -> PublicKey:
    """The device key of this name."""
    return SigningKey.generate("ES256").public


@dataclass(frozen=True)
class Sketch:
    """A terminal entry as far as a plan looks at it; keys and people go by short names."""

    no: str
    seq: int = 1
    epp: str = ""
    certificate: str = ""
    device: str = ""
    first: str = "ann"
    second: str = "ben"
    branch: str = "b"
    officers: frozenset[str] = frozenset()

    @property
    def epp_key_fingerprint(self) -> str:
        """Of the EPP's key, whatever its certificate."""
        return sha256_hex(f"key {self.epp or self.no}".encode())

    @property
    def epp_fingerprint(self) -> str:
        """Of the EPP's certificate."""
        return sha256_hex(f"certificate {self.epp or self.no} {self.certificate}".encode())

    @property
    def device_kid(self) -> str:
        """The device key's real key id."""
        return device_key(self.device or self.no).kid

    @property
    def digest(self) -> str:
        """Of the entry, whoever signed it."""
        return sha256_hex(repr(replace(self, officers=frozenset())).encode())

    def verified(self) -> VerifiedTerminal:
        """The entry as `read_terminal_entry` would give it."""
        return VerifiedTerminal(
            entry=TerminalEntry.model_construct(
                aud="test",
                iat=0,
                nonce="00" * 16,
                terminal_no=self.no,
                model="M",
                branch=self.branch,
                epp_certificate="",
                device_key=PublicJwk(kty="EC", alg="ES256"),
                first=self.first,
                second=self.second,
                seq=self.seq,
                valid_until=0,
            ),
            digest=self.digest,
            envelope="{}",
            epp=EppCertificate(
                der=b"",
                fingerprint=self.epp_fingerprint,
                key_fingerprint=self.epp_key_fingerprint,
                public_key=rsa_key(),
                not_after=datetime.max.replace(tzinfo=UTC),
            ),
            device_key=EnrolledKey(device_key(self.device or self.no)),
            officers=self.officers,
        )

    def row(self, position: str = "") -> FeedRow:
        """The entry as a feed's row."""
        return FeedRow.read(position or f"line of {self.no}", self.verified())

    def indexed(self, *, in_force: bool = True) -> IndexedTerminal:
        """The entry as the registry's index has it."""
        return IndexedTerminal(
            terminal_no=self.no,
            digest=self.digest,
            seq=self.seq,
            epp_key_fingerprint=self.epp_key_fingerprint,
            epp_fingerprint=self.epp_fingerprint,
            device_kid=self.device_kid,
            first=self.first,
            second=self.second,
            in_force=in_force,
        )


def plan(registry: list[Sketch], feed: list[Sketch]) -> SyncPlan:
    """The plan for a registry in force and a feed that was read without a refusal."""
    return plan_sync([one.indexed() for one in registry], [one.row() for one in feed])


def numbers(entries: tuple[VerifiedTerminal, ...]) -> set[str]:
    """The terminal numbers of some entries."""
    return {one.entry.terminal_no for one in entries}


def reasons(result: SyncPlan) -> set[tuple[str | None, Reason]]:
    """Who was refused, and why."""
    return {(row.terminal_no, row.reason) for row in result.refused}


KNOWN = Sketch("T1", seq=5)
OTHER = Sketch("T2", seq=5)


def test_an_empty_registry_takes_the_whole_feed() -> None:
    """The first synchronisation adds every terminal and ends nothing."""
    result = plan([], [KNOWN, OTHER])
    assert numbers(result.added) == {"T1", "T2"}
    assert result == SyncPlan(result.added, (), (), (), (), ())


def test_the_same_feed_again_changes_nothing() -> None:
    """A synchronisation is idempotent."""
    result = plan([KNOWN, OTHER], [OTHER, KNOWN])
    assert result == SyncPlan((), (), ("T1", "T2"), (), (), ())
    removed = KNOWN.indexed(in_force=False)
    assert plan_unmodified([OTHER.indexed(), removed]).unchanged == ("T2",)


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"branch": "c"}, False),
        ({"first": "cleo"}, True),
        ({"second": "cleo"}, True),
        ({"first": "ben", "second": "ann"}, True),
        ({"certificate": "renewed", "officers": OFFICER}, True),
        ({"epp": "new", "officers": OFFICER}, True),
        ({"device": "new", "officers": OFFICER}, True),
    ],
)
def test_what_a_change_ends(change: dict[str, str], ends: bool) -> None:
    """A changed EPP certificate, device key or administrator ends the open request, no other."""
    result = plan([KNOWN, OTHER], [replace(KNOWN, seq=6, **change), OTHER])  # type: ignore[arg-type]
    assert numbers(result.changed) == {"T1"}
    assert result.unchanged == ("T2",)
    assert result.ends_requests == (("T1",) if ends else ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seq": 4}, Reason.SEQ_LOWERED),
        ({"seq": 5}, Reason.SEQ_LOWERED),
        ({"seq": 4, "officers": OFFICER, "device": "new"}, Reason.SEQ_LOWERED),
        ({"certificate": "renewed"}, Reason.OFFICER_REQUIRED),
        ({"epp": "new"}, Reason.OFFICER_REQUIRED),
        ({"device": "new"}, Reason.OFFICER_REQUIRED),
        ({"first": "ben"}, Reason.SAME_PERSON),
        ({"epp": "T2", "officers": OFFICER}, Reason.FOREIGN_EPP_KEY),
        ({"epp": "T2", "certificate": "own", "officers": OFFICER}, Reason.FOREIGN_EPP_KEY),
        ({"device": "T2", "officers": OFFICER}, Reason.FOREIGN_DEVICE_KEY),
    ],
)
def test_what_a_known_terminal_is_refused_for(change: dict[str, object], reason: Reason) -> None:
    """A refused change leaves the terminal's former entry in force, and stops nothing else."""
    changed = replace(KNOWN, **{"seq": 6, "branch": "c", **change})  # type: ignore[arg-type]
    result = plan([KNOWN, OTHER], [changed, OTHER, Sketch("T3")])
    assert result.refused == (RefusedRow("line of T1", "T1", reason),)
    assert numbers(result.added) == {"T3"}
    assert (result.changed, result.unchanged) == ((), ("T2",))
    assert (result.removed, result.ends_requests) == ((), ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"second": "ann"}, Reason.SAME_PERSON),
        ({"epp": "T1"}, Reason.FOREIGN_EPP_KEY),
        ({"device": "T1"}, Reason.FOREIGN_DEVICE_KEY),
    ],
)
def test_what_a_new_terminal_is_refused_for(change: dict[str, str], reason: Reason) -> None:
    """A new terminal cannot have one person twice, nor a key of a terminal in force."""
    new = replace(Sketch("T9"), **change)  # type: ignore[arg-type]
    assert reasons(plan([KNOWN], [KNOWN, new])) == {("T9", reason)}


def test_a_row_refused_before_keeps_its_terminal() -> None:
    """A row that did not verify is reported, and its terminal is neither changed nor removed."""
    rows = [
        OTHER.row(),
        FeedRow.refused("line 2", Reason.BAD_SIGNATURE, "T1"),
        FeedRow.refused("line 3", Reason.MALFORMED),
    ]
    result = plan_sync([KNOWN.indexed(), OTHER.indexed()], rows)
    assert (result.unchanged, result.removed) == (("T2",), ())
    assert result.refused == (
        RefusedRow("line 2", "T1", Reason.BAD_SIGNATURE),
        RefusedRow("line 3", None, Reason.MALFORMED),
    )


def test_the_higher_seq_of_one_terminal_wins() -> None:
    """Of several rows of a terminal the highest `seq` counts; the others are duplicates."""
    rows = [replace(KNOWN, seq=seq, branch="c").row(f"line {seq}") for seq in (6, 8, 7)]
    result = plan_sync([KNOWN.indexed()], rows)
    assert [one.entry.seq for one in result.changed] == [8]
    assert {(row.position, row.reason) for row in result.refused} == {
        ("line 6", Reason.DUPLICATE_TERMINAL),
        ("line 7", Reason.DUPLICATE_TERMINAL),
    }


def test_two_entries_of_one_seq_are_both_refused() -> None:
    """Neither of two different entries with one `seq` is believed, unless the registry has it."""
    first, second = Sketch("T3", seq=2), Sketch("T3", seq=2, branch="c")
    assert plan([OTHER], [OTHER, first, second]).added == ()
    assert len(plan([OTHER], [OTHER, first, second]).refused) == 2
    result = plan([first], [second, first])
    assert result.unchanged == ("T3",)
    assert reasons(result) == {("T3", Reason.DUPLICATE_TERMINAL)}


def test_the_copy_with_the_officers_signature_wins() -> None:
    """The same entry twice, once with an officer's signature: the change is allowed."""
    changed = replace(KNOWN, seq=6, device="new")
    result = plan([KNOWN], [changed, replace(changed, officers=OFFICER)])
    assert numbers(result.changed) == {"T1"}
    assert reasons(result) == {("T1", Reason.DUPLICATE_TERMINAL)}


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


@pytest.mark.parametrize(
    ("back", "reason"),
    [
        ({}, None),
        ({"seq": 6, "branch": "c"}, None),
        ({"seq": 6, "device": "new", "officers": OFFICER}, None),
        ({"seq": 4}, Reason.SEQ_LOWERED),
        ({"seq": 5, "branch": "c"}, Reason.SEQ_LOWERED),
        ({"seq": 6, "device": "new"}, Reason.OFFICER_REQUIRED),
        ({"seq": 6, "epp": "new"}, Reason.OFFICER_REQUIRED),
    ],
)
def test_a_removed_terminal_comes_back_by_the_same_rules(
    back: dict[str, object], reason: Reason | None
) -> None:
    """A removal followed by an addition gets round neither `seq` nor the officers."""
    index = [KNOWN.indexed(in_force=False), OTHER.indexed()]
    result = plan_sync(index, [OTHER.row(), replace(KNOWN, **back).row()])  # type: ignore[arg-type]
    assert numbers(result.added) == ({"T1"} if reason is None else set())
    assert reasons(result) == (set() if reason is None else {("T1", reason)})
    assert result.ends_requests == ()


@pytest.mark.parametrize(
    ("terminals", "gone", "stops"),
    [
        (1, 1, True),
        (2, 1, False),
        (3, 2, True),
        (19, 2, True),
        (20, 1, False),
        (20, 2, True),
        (39, 2, True),
        (40, 2, False),
        (100, 5, False),
        (100, 6, True),
    ],
)
def test_removing_more_than_five_percent_stops_the_run(
    terminals: int, gone: int, stops: bool
) -> None:
    """Over 5 % stops everything until an officer orders it; one may always go, if any is left."""
    registry = [Sketch(f"T{n}") for n in range(terminals)]
    index, rows = [one.indexed() for one in registry], [one.row() for one in registry[gone:]]
    if not stops:
        result = plan_sync(index, rows)
        assert len(result.removed) == gone
        assert result.ends_requests == result.removed
        return
    with pytest.raises(SyncStopped) as caught:
        plan_sync(index, rows)
    assert caught.value.reason is Reason.TOO_MANY_REMOVED
    assert (caught.value.removals, caught.value.in_force) == (gone, terminals)
    if rows:
        assert len(plan_sync(index, rows, removals_ordered=True).removed) == gone


def test_the_limit_is_of_those_in_force() -> None:
    """Terminals removed before neither raise the limit nor are removed again."""
    gone = [Sketch(f"G{n}").indexed(in_force=False) for n in range(100)]
    registry = [Sketch(f"T{n}") for n in range(20)]
    index = gone + [one.indexed() for one in registry]
    with pytest.raises(SyncStopped):
        plan_sync(index, [one.row() for one in registry[2:]])
    assert plan_sync(index, [one.row() for one in registry[1:]]).removed == ("T0",)
    strict = SyncLimits(removal_percent=0, removal_floor=0)
    with pytest.raises(SyncStopped):
        plan_sync(index, [one.row() for one in registry[1:]], limits=strict)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("rows", [[], [FeedRow.refused("line 1", Reason.MALFORMED)]])
def test_a_feed_without_a_believed_row_removes_nothing(rows: list[FeedRow], ordered: bool) -> None:
    """An empty or unreadable feed is a broken one, even where an officer ordered removals."""
    with pytest.raises(SyncStopped):
        plan_sync([KNOWN.indexed()], rows, removals_ordered=ordered)
    assert plan_sync([], rows).added == ()


def test_a_feed_signed_by_another_key_keeps_every_terminal() -> None:
    """If every row is refused but says whose it is, all terminals stay as they are."""
    rows = [FeedRow.refused(no, Reason.WRONG_SIGNER, no) for no in ("T1", "T2")]
    result = plan_sync([KNOWN.indexed(), OTHER.indexed()], rows)
    assert (result.changed, result.unchanged, result.removed) == ((), (), ())
    assert len(result.refused) == 2


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
    officers=st.sampled_from([frozenset(), OFFICER]),
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
