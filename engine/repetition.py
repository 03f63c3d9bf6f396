"""A workflow that Temporal itself repeats, so that no process has to remember to."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

RUN_WITHIN: Final = timedelta(hours=1)
"""A run that no worker can read, or that hangs, holds up those after it for no longer."""


async def repeat(
    client: Client,
    workflow: str,
    order: object,
    *,
    name: str,
    queue: str,
    every: timedelta,
    within: timedelta = RUN_WITHIN,
) -> bool:
    """Have a workflow started again and again; False if it was already, and is now as given here.

    `name` is the Schedule's id, and the stem of the workflows'. A run that still goes on is not
    doubled, and ends `within` that time. A Schedule that is there is made anew, because its
    argument stays sealed under the payload key of whoever made it; one that somebody paused stays
    paused.
    """
    fresh = Schedule(
        action=ScheduleActionStartWorkflow(
            workflow, order, id=name, task_queue=queue, execution_timeout=within
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )

    def anew(known: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(replace(fresh, state=known.description.schedule.state))

    try:
        await client.create_schedule(name, fresh)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(name).update(anew)
        return False
    return True


async def repeat_no_more(client: Client, name: str) -> bool:
    """End a repetition; False if there is none. A run that goes on comes to its end."""
    try:
        await client.get_schedule_handle(name).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
