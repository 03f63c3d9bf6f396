"""What the demo shows: each step as it happens, and the three outcomes side by side."""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from commands.options import write_json
from commands.scenario import Outcome

# Codes are for their addressee, even here.
_CODE: Final = re.compile(r"(?<=code )\d{4,6}\b")
_TERMINAL: Final = re.compile(r"terminal (ATM-\d+),")
_DULL: Final = frozenset({"key", "entry", "run_id"})
_COLOURS: Final = ("cyan", "magenta", "yellow")
# What a person on the scene would not see, or sees elsewhere.
_HIDDEN: Final = frozenset({"scan", "code-needed", "resumed", "signed-in"})
_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stage": "{stage} {reason}",
        "qr": "shows a QR code",
        "request": "asks for a key",
        "code-sent": "scanned the code; SMS code {n} goes to {sent_to}",
        "refused": "refused: {code}; attempts left {attempts_left}",
        "applied": "typed the SMS code, applied",
        "reviewing": "reads the application",
        "decided": "decided: {decision}",
        "approval-needed": "waits for staff number and approval code {problem}",
        "confirmation": "confirms, with {administrator} in front of it",
        "token": "has the key token after {milliseconds} ms ({format}, {key_algorithm})",
        "imported": "the EPP took the key, KCV {kcv}",
        "receipt": "sends its receipt",
        "ended": "ended: {stage}, exit code {exit_code}",
    }
)


class DemoScreen:
    """Text for people, or JSON lines; both as things happen."""

    def __init__(self, *, as_json: bool, names: Mapping[str, str]) -> None:
        """Choose the form; `names` says whose each telephone number is."""
        self._as_json = as_json
        self._names = names
        self._console = Console(highlight=False)
        self._started = time.monotonic()
        self._colours: dict[str, str] = {}

    def note(self, text: str) -> None:
        """Say what the demo itself does."""
        self._line("demo", "", text)

    def fault(self, text: str) -> None:
        """Say what went wrong, on standard error."""
        sys.stderr.write(f"{text}\n")

    def addresses(self, api: str, temporal_ui: str | None, seconds: float) -> None:
        """Say where everything is."""
        if self._as_json:
            write_json({"event": "up", "api": api, "temporal_ui": temporal_ui})
            return
        self.note(f"everything is up after {seconds:.1f} s")
        self.note(f"Temporal UI at {temporal_ui or 'your own'}")

    def heard(self, who: str, said: dict[str, Any]) -> None:
        """Show what a process said; `who` is a terminal's number and a role, or a command."""
        if self._as_json:
            write_json({"who": who, **_public(said)})
            return
        if said.get("event") in _HIDDEN:
            return
        if "step" in said:
            self._sms(said)
            return
        scene, _, role = who.partition(" ")
        if not scene.startswith("ATM-"):
            self._line("demo", who, _sentence(said))
            return
        self._line(scene, role, _sentence(said))

    def _sms(self, said: dict[str, Any]) -> None:
        about = _TERMINAL.search(said["text"])
        name = self._names.get(said["to"], "somebody")
        self._line(about[1] if about else "demo", f"{name}'s SMS", _CODE.sub("****", said["text"]))

    def summary(self, shown: Sequence[tuple[Outcome, int]], temporal_ui: str | None) -> None:
        """Show how all loads ended."""
        if self._as_json:
            for outcome, events in shown:
                write_json({"event": "outcome", **_as_json(outcome), "history_events": events})
            return
        table = Table(title="Three loads", title_justify="left")
        for name in ("terminal", "ended", "KCV (EPP)", "KCV (server)", "token after", "history"):
            table.add_column(name)
        table.add_column("as expected")
        for outcome, events in shown:
            table.add_row(
                outcome.scenario.terminal_no,
                outcome.stage,
                outcome.kcv or "–",
                outcome.server_kcv or "–",
                "–" if outcome.token_milliseconds is None else f"{outcome.token_milliseconds} ms",
                f"{events} events",
                "yes" if outcome.as_expected else "NO",
            )
        self._console.print(table)
        self._console.print(f"Temporal UI: {temporal_ui or 'your own'}")

    def _line(self, scene: str, role: str, text: str) -> None:
        if self._as_json:
            write_json({"event": "note", "text": text})
            return
        colour = "white" if scene == "demo" else self._colour(scene)
        after = time.monotonic() - self._started
        self._console.print(
            f"[dim]{after:6.1f} s[/dim]  [{colour}]{scene:<9}[/{colour}] {role:<14} ", end=""
        )
        self._console.print(text, markup=False, soft_wrap=True)

    def _colour(self, scene: str) -> str:
        return self._colours.setdefault(scene, _COLOURS[len(self._colours) % len(_COLOURS)])


def _public(said: dict[str, Any]) -> dict[str, Any]:
    """Without what only its addressee may see: QR texts and SMS are as good as keys here."""
    hidden = {"text", "to"} if "step" in said or said.get("event") == "qr" else set()
    return {name: value for name, value in said.items() if name not in hidden}


def _sentence(said: dict[str, Any]) -> str:
    template = _SENTENCES.get(said.get("event", ""))
    if template is not None:
        return template.format_map(_Known({**said, "reason": _reason(said)})).rstrip()
    return ", ".join(
        f"{name} {value}"
        for name, value in said.items()
        if name not in _DULL and value not in (None, [], ())
    )


def _reason(said: dict[str, Any]) -> str:
    """The reason code, unless the stage says as much."""
    reason = said.get("reason")
    return f"({reason})" if reason and reason.upper() != said.get("stage") else ""


class _Known(dict[str, Any]):
    """What was said, with nothing in place of what was not."""

    def __getitem__(self, name: str) -> object:
        value = self.get(name)
        return "" if value is None else value


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "terminal_no": outcome.scenario.terminal_no,
        "expected": outcome.scenario.expected,
        "stage": outcome.stage,
        "reason": outcome.reason,
        "kcv": outcome.kcv,
        "server_kcv": outcome.server_kcv,
        "exit_code": outcome.exit_code,
        "token_milliseconds": outcome.token_milliseconds,
        "refusals": outcome.refusals,
        "as_expected": outcome.as_expected,
    }
