"""The journal's rows about changes of administrators: what waits, and who administers what.

Times are Unix seconds; digests lower-case hex.
"""

from dataclasses import dataclass
from typing import Final

from keymanagement.journalfile import Table

CHANGES: Final = Table(
    "changes",
    {
        "kind": "TEXT NOT NULL",
        "name": "TEXT NOT NULL",
        "seq": "INTEGER NOT NULL",
        "digest": "TEXT NOT NULL",
        "identity_digest": "TEXT NOT NULL",
        "assignment_digest": "TEXT NOT NULL",
        "epp_key": "TEXT NOT NULL",
        "seen_at": "INTEGER NOT NULL",
        "withdrawn": "INTEGER NOT NULL CHECK (withdrawn IN (0, 1))",
    },
    ("kind", "name"),
    index="seen_at",
    since=4,
)
"""For each subject the newest entry that had to wait, since when, or that was withdrawn."""
ASSIGNMENTS: Final = Table(
    "assignments",
    {"terminal_no": "TEXT NOT NULL", "assignment_digest": "TEXT NOT NULL"},
    ("terminal_no",),
    since=4,
)
"""For each terminal the two administrators of its entry in effect, as one digest."""


@dataclass(frozen=True, slots=True)
class Cooling:
    """How long a change waits, in seconds, and the key worker's time now."""

    seconds: int
    now: int

    def is_due(self, seen_at: int) -> bool:
        """Whether a change that was first seen then is in effect now."""
        return self.seconds == 0 or self.now >= seen_at + self.seconds


AT_ONCE: Final = Cooling(0, 0)
"""Nothing waits."""
