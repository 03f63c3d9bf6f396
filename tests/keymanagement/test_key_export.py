"""What leaves the key worker for the back office: active keys, in blocks that only it opens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.encoding import sha256_hex
from ceremony.keyexport import ExportProblem
from ceremony.keylife import KeyAct
from ceremony.messages import ExportCommand, ExportOutcome
from keymanagement.checkvalue import key_check_value
from keymanagement.exporter import KeyExporter, SoftwareKeyExporter
from keymanagement.hostcopy import HostCopies
from keymanagement.journal import Journal
from keymanagement.journalrows import HeldKey, KeyState, NewKey
from keymanagement.keyexport import KeyExport
from keymanagement.policy import KeyPolicy, KeyRule
from keymanagement.port import ExportedKey, HostCopyInvalid, KeyAlgorithm, KeyBinding, KeyUsage
from keymanagement.software import SoftwareKeyManager
from tests.support.journals import NOW, digest, intent, new_token, ordered
from tests.support.keybench import KeyBench
from tests.support.keyfakes import KEK as BENCH_KEK
from tests.support.keytokens import sample_kdh

KEK, EXPORT_KEY = bytes(range(32)), bytes(range(32, 64))
REQUEST = "A" * 24
BINDING = KeyBinding("ATM-0001", REQUEST)
COPIES = HostCopies(KEK)
EXPORTER = SoftwareKeyExporter(COPIES, EXPORT_KEY)


@dataclass
class MemoryExports:
    """An archive of exports: the first block of a request stays."""

    published: dict[str, tuple[str, ExportedKey, int]] = field(default_factory=dict)
    withdrawn: list[tuple[str, int]] = field(default_factory=list)
    beside: Callable[[], object] = lambda: None
    """Happens while a block is published."""

    def publish_export(
        self, terminal_no: str, key: HeldKey, exported: ExportedKey, now: int
    ) -> str:
        """See `keymanagement.keyexport.ExportArchive`."""
        self.beside()
        self.published.setdefault(key.request_id, (terminal_no, exported, now))
        return self.published[key.request_id][1].digest

    def withdraw_export(self, request_id: str, now: int) -> None:
        """See `keymanagement.keyexport.ExportArchive`."""
        self.withdrawn.append((request_id, now))
        self.published.pop(request_id, None)


@dataclass
class Bench:
    """A journal with one released key, and its export."""

    journal: Journal
    kcv: str
    archive: MemoryExports = field(default_factory=MemoryExports)

    def export(self, request_id: str = REQUEST, *, on: bool = True) -> ExportOutcome:
        """Ask for an export."""
        exporter: KeyExporter | None = EXPORTER if on else None
        export = KeyExport(
            journal=self.journal, exporter=exporter, archive=self.archive, clock=lambda: NOW + 9
        )
        return export.export(ExportCommand(request_id=request_id))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A released key, without a receipt so far."""
    made = SoftwareKeyManager(KEK, sample_kdh()).create(KeyAlgorithm.AES_128, BINDING)
    journal = Journal(tmp_path / "journal.db", KEK, create=True)
    journal.begin_release(intent())
    key = NewKey(
        request_id=REQUEST,
        algorithm=KeyAlgorithm.AES_128,
        host_block=made.block,
        kcv=made.kcv,
        record="release record",
        created_at=NOW,
        uniqueness=made.uniqueness,
    )
    journal.save_key_and_first_token(key, new_token("first"))
    return Bench(journal, made.kcv)


@pytest.mark.parametrize("usage", ["K1", "K0"])
@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_the_back_office_opens_what_is_exported(algorithm: KeyAlgorithm, usage: KeyUsage) -> None:
    """With the export key and a parser of its own it finds key, use and whose key it is."""
    key = bytes(range(algorithm.key_bytes))
    exported = EXPORTER.export(COPIES.seal(key, algorithm, BINDING, usage), algorithm, BINDING)
    header, opened = psec.tr31.unwrap(EXPORT_KEY, exported.block.decode())
    letter = {"TDES": "T", "SM4": "4"}.get(algorithm, "A")
    assert opened == key
    assert str(header)[5:12] == f"{usage}{letter}E00N"
    assert dict(header.blocks) == {"LB": f"{REQUEST} ATM-0001", "KP": f"01{EXPORTER.check}"}
    assert exported.digest == sha256_hex(exported.block)
    check = key_check_value(KeyAlgorithm.AES_256, EXPORT_KEY)
    assert exported.check == EXPORTER.check
    assert exported.check[:6].lower() == check


def test_what_is_exported_is_no_hosts_copy() -> None:
    """Nor the other way round: each opens under its own key only, whoever exchanges the rows."""
    copy = COPIES.seal(bytes(16), KeyAlgorithm.AES_128, BINDING)
    exported = EXPORTER.export(copy, KeyAlgorithm.AES_128, BINDING)
    with pytest.raises(HostCopyInvalid, match="another KEK"):
        COPIES.open(exported.block, KeyAlgorithm.AES_128, BINDING)
    with pytest.raises(psec.tr31.KeyBlockError):
        psec.tr31.unwrap(EXPORT_KEY, copy.decode())
    assert KEK.hex().upper() not in exported.block.decode()


@given(st.data())
def test_a_changed_or_moved_hosts_copy_is_not_exported(data: st.DataObject) -> None:
    """The exporter opens nothing that the key manager would not open."""
    copy = COPIES.seal(bytes(16), KeyAlgorithm.AES_128, BINDING)
    bit = data.draw(st.integers(0, 8 * len(copy) - 1))
    flipped = bytearray(copy)
    flipped[bit // 8] ^= 1 << bit % 8
    other = KeyBinding("ATM-0002", REQUEST)
    for block, binding in ((bytes(flipped), BINDING), (copy, other)):
        with pytest.raises(HostCopyInvalid):
            EXPORTER.export(block, KeyAlgorithm.AES_128, binding)


def test_an_active_key_is_exported_once(bench: Bench) -> None:
    """The block holds the key that the terminal proved, and a repeated call publishes no other."""
    bench.journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 1)
    outcome = bench.export()
    terminal_no, exported, now = bench.archive.published[REQUEST]
    assert (terminal_no, now) == ("ATM-0001", NOW + 9)
    assert outcome == ExportOutcome(block_digest=exported.digest)
    _, key = psec.tr31.unwrap(EXPORT_KEY, exported.block.decode())
    assert key_check_value(KeyAlgorithm.AES_128, key) == bench.kcv
    assert bench.export() == outcome
    assert bench.archive.published[REQUEST][1] == exported


def test_only_an_active_key_is_exported(bench: Bench) -> None:
    """Not one without a receipt, not an unconfirmed or a retired one, and none that is unknown."""
    refused = ExportOutcome(refused=ExportProblem.KEY_NOT_ACTIVE)
    assert bench.export() == refused
    bench.journal.settle(REQUEST, None, KeyState.UNCONFIRMED, NOW + 1)
    assert bench.export() == refused
    assert bench.export("B" * 24) == refused
    assert bench.archive.published == {}


def test_a_retired_key_is_not_exported(bench: Bench) -> None:
    """The terminal has a newer one by then, and the back office is to have that."""
    bench.journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 1)
    second = "B" * 24
    made = SoftwareKeyManager(KEK, sample_kdh()).create(
        KeyAlgorithm.AES_128, KeyBinding("ATM-0001", second)
    )
    bench.journal.begin_release(intent("second", request_id=second))
    bench.journal.save_key_and_first_token(
        NewKey(
            request_id=second,
            algorithm=KeyAlgorithm.AES_128,
            host_block=made.block,
            kcv=made.kcv,
            record="second",
            created_at=NOW + 2,
            uniqueness=made.uniqueness,
        ),
        new_token("second", request_id=second),
    )
    bench.journal.settle(second, digest("its receipt"), KeyState.ACTIVE, NOW + 3)
    assert bench.export().refused is ExportProblem.KEY_NOT_ACTIVE
    assert bench.export(second).refused is None


def carry_out(journal: Journal, act: KeyAct) -> KeyState | None:
    """Carry out an order of officers; where the key stands by it."""
    order = ordered(act)
    journal.begin_order(order)
    return journal.finish_order(order.digest, NOW + 5).state


def test_a_key_that_officers_settled_waits_for_its_receipt(bench: Bench) -> None:
    """It is active, but nothing proved it; the terminal's receipt after all has it exported."""
    bench.journal.settle(REQUEST, None, KeyState.UNCONFIRMED, NOW + 1)
    assert carry_out(bench.journal, KeyAct.SETTLE_LOADED) is KeyState.ACTIVE
    assert bench.export() == ExportOutcome(refused=ExportProblem.KEY_NOT_ACTIVE)
    assert bench.archive.published == {}
    bench.journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 9)
    assert bench.export().refused is None


@pytest.mark.parametrize("act", [KeyAct.REVOKE, KeyAct.DESTROY])
def test_a_key_that_is_lost_beside_its_export_leaves_no_block(bench: Bench, act: KeyAct) -> None:
    """The order came between the journal's answer and the block: that is taken away again."""
    bench.journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 1)
    bench.archive.beside = lambda: carry_out(bench.journal, act)
    assert bench.export() == ExportOutcome(refused=ExportProblem.KEY_NOT_ACTIVE)
    assert (bench.archive.published, bench.archive.withdrawn) == ({}, [(REQUEST, NOW + 9)])


def test_a_block_left_by_a_call_that_died_is_taken_away(bench: Bench) -> None:
    """The call that is repeated finds the key active no more, and still a block of it."""
    bench.journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 1)
    assert bench.export().refused is None
    assert carry_out(bench.journal, KeyAct.REVOKE) is KeyState.COMPROMISED
    assert bench.export().refused is ExportProblem.KEY_NOT_ACTIVE
    assert bench.archive.published == {}


def test_a_host_copy_that_does_not_open_is_said_and_not_raised(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Tried again, it would not open either; the log names the request and holds no block."""
    bench.journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 1)
    other = SoftwareKeyExporter(HostCopies(bytes(32)), EXPORT_KEY)
    export = KeyExport(journal=bench.journal, exporter=other, archive=bench.archive)
    outcome = export.export(ExportCommand(request_id=REQUEST))
    assert outcome == ExportOutcome(refused=ExportProblem.HOST_COPY_INVALID)
    assert bench.archive.published == {}
    (line,) = caplog.messages
    assert REQUEST in line and "another KEK" in caplog.text and "D0" not in caplog.text


def test_without_an_export_key_nothing_leaves(bench: Bench) -> None:
    """Not even an active key."""
    bench.journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 1)
    assert bench.export(on=False) == ExportOutcome(refused=ExportProblem.EXPORT_OFF)
    assert bench.archive.published == {}


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_an_export_key_of_another_length_is_refused(length: int) -> None:
    """It is an AES-256 key; a short one is not stretched."""
    with pytest.raises(ValueError, match="32 bytes"):
        SoftwareKeyExporter(COPIES, bytes(length))


def test_the_export_says_what_the_policy_said_at_the_release(tmp_path: Path) -> None:
    """A model whose terminals have no key blocks gets a K0, and so does the back office."""
    bench = KeyBench.make(tmp_path / "bench")
    bench.policy = KeyPolicy(KeyRule(key_usage="K0"), {})
    case = bench.released()
    held = bench.journal.key_of(case.request_id)
    assert held is not None
    binding = KeyBinding(case.request.payload.terminal_no, case.request_id)
    exporter = SoftwareKeyExporter(HostCopies(BENCH_KEK), EXPORT_KEY)
    exported = exporter.export(held.host_block, held.algorithm, binding)
    header, _ = psec.tr31.unwrap(EXPORT_KEY, exported.block.decode())
    assert header.key_usage == "K0"
    bench.close()
