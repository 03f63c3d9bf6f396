"""A database with a registry, and one loading request on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backoffice import Office
from tests.support.backstage import Backstage
from tests.support.exports import ONE, Exports, MemoryOffice
from tests.support.recording import Recording
from tests.support.world import World


@pytest.fixture
def world() -> World:
    """A deployment whose clock stands still."""
    return World.make()


@pytest.fixture
def stage(tmp_path: Path, world: World) -> Iterator[Backstage]:
    """Its records and journal."""
    stage = Backstage.make(tmp_path, world, clock=lambda: world.now)
    yield stage
    stage.close()


@pytest.fixture
def recording(stage: Backstage) -> Recording:
    """A loading request that was just opened."""
    return Recording.opened(stage)


@pytest.fixture
def office(stage: Backstage) -> Office:
    """A back office whose feed is what is in force."""
    stage.feed.envelopes.extend(stage.world.terminal_envelopes.values())
    return Office(stage)


@pytest.fixture
def exports(stage: Backstage) -> Exports:
    """A stage with one active key, and a back office that confirms."""
    made = Exports(stage)
    made.activate(ONE)
    made.office = MemoryOffice(made.kcvs)
    return made
