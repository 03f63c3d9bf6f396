"""Having the key worker shown what a command brought into the registry, by a durable workflow."""

import asyncio
from datetime import timedelta
from typing import Final

import typer

from ceremony import names
from ceremony.messages import NotesOrder, NotesReport
from commands.temporal import CONNECT_WITHIN, client_of
from settings import Settings

ANSWER_WITHIN: Final = timedelta(seconds=10)
"""A key worker that runs answers at once; for one that does not, the workflow waits."""


def show(settings: Settings, order: NotesOrder, occasion: str) -> NotesReport | None:
    """Start a showing, and give its report if the key worker answers within ten seconds.

    `occasion` names it: the same one again joins what is under way.

    Raises:
        TemporalUnavailable: if Temporal does not answer.
        RPCError: if it answers with an error.
    """
    return asyncio.run(_show(settings, order, occasion, CONNECT_WITHIN, ANSWER_WITHIN))


def show_soon(settings: Settings, order: NotesOrder, occasion: str) -> None:
    """Start a showing if Temporal is there, without waiting; say so if it is not.

    What is missed is shown after the next synchronisation that changes something.
    """
    from temporalio.service import RPCError

    from engine.client import TemporalUnavailable

    try:
        asyncio.run(_show(settings, order, occasion, timedelta(0), None))
    except (TemporalUnavailable, RPCError):
        typer.echo(
            "Temporal does not answer: the key worker learns of it after the next synchronisation.",
            err=True,
        )


async def _show(
    settings: Settings,
    order: NotesOrder,
    occasion: str,
    connect_within: timedelta,
    answer_within: timedelta | None,
) -> NotesReport | None:
    from temporalio.common import WorkflowIDConflictPolicy

    client = await client_of(settings, connect_within)
    handle = await client.start_workflow(
        names.REGISTRY_NOTES,
        order,
        id=names.registry_notes_id(occasion),
        task_queue=names.CEREMONY_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        result_type=NotesReport,
        static_summary="Showing the key worker the registry, by hand",
    )
    if answer_within is None:
        return None
    try:
        async with asyncio.timeout(answer_within.total_seconds()):
            report: NotesReport = await handle.result()
            return report
    except TimeoutError:
        return None
