"""Who takes part in a load test: terminals with EPPs of their own, and their administrators."""

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from commands.homefolder import HomeFolder
from commands.samples import SampleTerminal, make_sample_terminal
from commands.scenario import Colleague
from terminal.durable import replace

EPP_BITS: Final = 2048
EACH: Final = 4
"""How many of the terminals a pair of administrators has."""
MAKERS: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A terminal and its two administrators; `n` counts the terminals from 0."""

    n: int
    terminal_no: str
    first: Colleague
    second: Colleague


def cast(count: int) -> list[Part]:
    """So many terminals with their administrators, each pair of whom has a few."""
    return [
        Part(n, f"ATM-{n:05}", _person("first", n // EACH), _person("second", n // EACH))
        for n in range(count)
    ]


def people(parts: Sequence[Part]) -> list[Colleague]:
    """All administrators, each once."""
    return list({one.person: one for part in parts for one in (part.first, part.second)}.values())


def install(home: HomeFolder, parts: Sequence[Part]) -> None:
    """Make all terminals' folders and the feed that names them, in several processes."""
    shares = [parts[n::MAKERS] for n in range(MAKERS)]
    places = [home.path / f"maker-{n}" for n in range(MAKERS)]
    home.terminals.mkdir(mode=0o700, exist_ok=True)
    for place in places:
        _lend(home, HomeFolder(place))
    with ProcessPoolExecutor(MAKERS, mp_context=get_context("spawn")) as makers:
        for _ in makers.map(_make, places, shares):
            pass
    feed = ""
    for place in places:
        made = HomeFolder(place)
        for folder in made.terminals.iterdir() if made.terminals.exists() else ():
            folder.rename(home.terminals / folder.name)
        feed += made.feed_file.read_text() if made.feed_file.exists() else ""
        shutil.rmtree(place)
    replace(home.feed_file, feed.encode())


def _person(role: str, n: int) -> Colleague:
    first = role == "first"
    number = f"+49151{(1 if first else 2)}{n:07}"
    return Colleague(f"{role}-{n}", f"{'A' if first else 'B'}{n:04}", f"{role} {n}", number)


def _lend(home: HomeFolder, place: HomeFolder) -> None:
    place.path.mkdir(mode=0o700)
    for name in ("trust_file", "feed_key", "kdh_certificate"):
        source: Path = getattr(home, name)
        target: Path = getattr(place, name)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(source, target)
    shutil.copytree(home.epp_root, place.epp_root)


def _make(place: Path, share: Sequence[Part]) -> None:
    home, now = HomeFolder(place), int(time.time())
    for one in share:
        sample = SampleTerminal(
            one.terminal_no, one.first.person, one.second.person, epp_bits=EPP_BITS
        )
        make_sample_terminal(home, sample, now=now)
