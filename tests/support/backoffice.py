"""The ATM back office of a stage: its feed, its runs of the synchroniser, what is in force."""

from dataclasses import dataclass, replace
from typing import Any

from activities.registry_sync import RegistrySynchroniser
from ceremony.keys import SigningKey
from ceremony.messages import SyncOrder, SyncReport
from ceremony.signing import sign
from ceremony.statements import RemovalOrderPayload
from records import audit, terminalentries
from records.tables.terminal_entry import TerminalEntryRow
from tests.support.backstage import Backstage, MemoryFeed
from tests.support.certificates import sample_epp
from tests.support.identities import Terminal, jwk_signer, terminal
from tests.support.world import World

ONE, TWO, NEW = "ATM-0001", "ATM-0002", "ATM-0100"


@dataclass
class Office:
    """The back office of a stage: its feed, the synchroniser, and what is in force."""

    stage: Backstage
    runs: int = 0

    @property
    def world(self) -> World:
        """The world."""
        return self.stage.world

    @property
    def feed(self) -> MemoryFeed:
        """The feed."""
        return self.stage.feed

    def run(self, order: str | None = None, run_id: str | None = None) -> SyncReport:
        """Synchronise in a run of its own, or in this one again."""
        self.runs += 1
        self.world.pass_time(1)
        sync = RegistrySynchroniser(
            self.stage.database, self.world.trust, self.feed, self.stage.clock
        )
        return sync.run(SyncOrder(order=order), run_id or f"run-{self.runs}")

    def current(self, terminal_no: str) -> TerminalEntryRow | None:
        """The entry in force."""
        with self.stage.database.read() as session:
            return terminalentries.current_terminal(session, terminal_no)

    def entry(self, one: Terminal, **fields: Any) -> str:
        """Sign a terminal's entry."""
        return self.world.terminal_entry(one, **fields)

    def events(self, run_id: str) -> list[tuple[str, str | None]]:
        """What the audit trail says of a run."""
        with self.stage.database.read() as session:
            told = audit.of_detail(session, {"run": run_id})
        return [(one.event, one.terminal_no) for one in told]

    def order(self, most: int, *, signer: SigningKey | None = None, lives: int = 3_600) -> str:
        """An officer's order to remove up to so many terminals."""
        expires_at = self.world.now + lives
        payload = RemovalOrderPayload(**self.world.common(), most=most, expires_at=expires_at)
        return sign(payload, signer or self.world.officers[0])


def counts(report: SyncReport) -> tuple[int, int, int, int, int]:
    """Added, changed, unchanged, removed, refused."""
    return (
        report.added,
        report.changed,
        report.unchanged,
        report.removed,
        len(report.refused),
    )


def fresh(terminal_no: str, epp: str | None = None) -> Terminal:
    """A terminal of this number; its EPP is made anew only if it is named."""
    made = terminal(ONE)
    device = jwk_signer(f"device of {terminal_no}")
    keys = sample_epp(epp) if epp else made.epp
    return replace(made, terminal_no=terminal_no, device=device, epp=keys)
