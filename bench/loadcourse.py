"""One arrangement's part of a load test, and what came to be known of it."""

from dataclasses import dataclass, field

from bench.loadact import Played
from bench.loadcast import Part
from bench.loadcosts import Cost, Histories, Rows
from bench.loadsystem import Plan
from bench.loadtally import Tally


@dataclass
class Course:
    """What was planned, and what came of it.

    Attributes:
        plan: the processes.
        parts: who takes part.
        tally: every call.
        played: every ceremony, in the order of the terminals' turns.
        turns: of each turn the ceremonies and the seconds.
        costs: what the turns cost, by process.
        rows: the records before and after.
        histories: the workflows' largest.
        wrong: what is not as it must be.
    """

    plan: Plan
    parts: list[Part]
    tally: Tally = field(default_factory=Tally)
    played: list[Played] = field(default_factory=list)
    turns: list[tuple[int, float]] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    rows: list[Rows] = field(default_factory=list)
    histories: Histories = field(default_factory=lambda: Histories(0, 0))
    wrong: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything was not as it must be."""
        return bool(self.wrong or self.tally.server_errors or self.tally.cut)

    @property
    def seconds(self) -> float:
        """All turns together."""
        return sum(seconds for _, seconds in self.turns)

    @property
    def a_minute(self) -> float:
        """Loads a minute."""
        return 60 * sum(one.loaded for one in self.played) / self.seconds

    def add(self, cost: dict[str, Cost]) -> None:
        """Add what a turn cost."""
        for name, one in cost.items():
            former = self.costs.get(name, Cost(0, 0))
            self.costs[name] = Cost(former.seconds + one.seconds, max(former.peak, one.peak))
