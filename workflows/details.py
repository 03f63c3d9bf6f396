"""What an auditor reads in the Temporal UI: the current details of a loading request, Markdown."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ceremony.reasons import Reason
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind

MAX_LINES: Final = 40
MAX_CHARS: Final = 8_000
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()<>#+!|~-])")


def escaped(text: str, limit: int = 80) -> str:
    """Make free text harmless in Markdown: specials escaped, control characters gone, capped."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return _SPECIAL.sub(r"\\\1", clean[:limit])


def verdict_line(at: datetime, state: CeremonyState, verdict: Verdict) -> str:
    """One line of the timeline: when, who, what, and the reason codes of a refusal."""
    who = _who(state, verdict)
    found = "accepted" if verdict.accepted else f"refused ({_codes(verdict.reasons)})"
    return f"- {at:%Y-%m-%d %H:%M:%S} {verdict.kind} by {escaped(who)}: {found}"


def event_line(at: datetime, text: str) -> str:
    """One line of the timeline for what was no statement."""
    return f"- {at:%Y-%m-%d %H:%M:%S} {escaped(text)}"


def describe(state: CeremonyState, timeline: Sequence[str]) -> str:
    """The whole page: where it stands, who is concerned, and the last 40 lines of what happened."""
    head = [
        f"**{state.stage}**" + (f" ({state.reason})" if state.reason else ""),
        "",
        f"Terminal {escaped(state.terminal_no)}, branch {escaped(state.branch)}; "
        f"first administrator {escaped(state.first_staff_no)}, "
        f"second administrator {escaped(state.second_staff_no)}.",
        "",
    ]
    return "\n".join([*head, *timeline[-MAX_LINES:]])[:MAX_CHARS]


def _codes(reasons: Sequence[Reason]) -> str:
    return ", ".join(reasons)


def _who(state: CeremonyState, verdict: Verdict) -> str:
    # A refused signatory is somebody else: the audit trail names the key that signed.
    if not _OTHERS.isdisjoint(verdict.reasons):
        return "somebody else"
    match verdict.kind:
        case Kind.APPLICATION:
            return f"administrator {state.first_staff_no}"
        case Kind.DECISION:
            return f"administrator {state.second_staff_no}"
        case Kind.CANCELLATION:
            return "terminal or administrator"
    return f"terminal {state.terminal_no}"


_OTHERS: Final = frozenset(
    {
        Reason.NOT_FIRST_ADMINISTRATOR,
        Reason.NOT_SECOND_ADMINISTRATOR,
        Reason.WRONG_SIGNATORY,
        Reason.UNKNOWN_KEY,
        Reason.STATEMENT_MISSING,
        Reason.WRONG_REQUEST,
    }
)
