"""A key worker that dies at every step, before the act or after it, each on a fresh bench."""

from collections.abc import Iterator
from pathlib import Path

from keymanagement.journalrows import KeyState
from tests.support.keybench import KeyBench
from tests.support.keyfakes import Wire
from tests.support.world import World

MOST_STEPS = 60


def every_death(
    folder: Path, places: tuple[bool, ...] = (False, True)
) -> Iterator[tuple[KeyBench, Wire]]:
    """A fresh bench, and a wire that dies one step later than the last; stop when none died."""
    world = World.make()
    for after in places:
        for at in range(1, MOST_STEPS):
            bench = KeyBench.make(folder / f"{'after' if after else 'before'}-{at}", world)
            wire = Wire(at, after)
            yield bench, wire
            bench.close()
            if wire.calls < at:
                break


def held_state(bench: KeyBench, request_id: str) -> KeyState:
    """Where a request's key stands."""
    held = bench.journal.key_of(request_id)
    assert held is not None
    return held.state
