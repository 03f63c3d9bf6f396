"""Search attributes are registered once, with the right type, whoever comes first."""

import asyncio
from pathlib import Path

import pytest
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from ceremony import names
from engine import searchattributes
from engine.client import connect
from engine.embedded import EmbeddedOptions, EmbeddedServer
from engine.searchattributes import SearchAttributeMismatch, register_missing, registrations


async def test_missing_attributes_are_registered_and_usable(tmp_path: Path) -> None:
    """On a server with none of ours, two processes register at once and both can use them."""
    options = EmbeddedOptions(log_file=tmp_path / "log", headless=True, search_attributes={})
    async with await EmbeddedServer.start(options) as server:
        first, second = await connect(server.target), await connect(server.target)
        done = await asyncio.gather(register_missing(first), register_missing(second))
        assert sorted(registrations()) in done
        assert await register_missing(first) == []
        await first.start_workflow(
            "Nobody",
            id="found",
            task_queue="none",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(searchattributes.STAGE, "AWAITING_REVIEW")]
            ),
        )
        described = await second.get_workflow_handle("found").describe()
        assert described.typed_search_attributes[searchattributes.STAGE] == "AWAITING_REVIEW"


async def test_attribute_of_another_type_is_refused(tmp_path: Path) -> None:
    """A name that exists with another type is an error, and nothing is registered."""
    options = EmbeddedOptions(
        log_file=tmp_path / "log", headless=True, search_attributes={names.SEARCH_STAGE: "Int"}
    )
    async with await EmbeddedServer.start(options) as server:
        client = await connect(server.target)
        for _ in range(2):
            with pytest.raises(SearchAttributeMismatch) as error:
                await register_missing(client)
            assert error.value.names == [names.SEARCH_STAGE]


def test_attributes_are_those_of_the_design() -> None:
    """The six keyword attributes, under the names that auditors search by."""
    assert registrations() == dict.fromkeys(
        [
            "KeyfillRequest",
            "KeyfillStage",
            "KeyfillTerminal",
            "KeyfillFirstAdministrator",
            "KeyfillSecondAdministrator",
            "KeyfillBranch",
        ],
        "Keyword",
    )
