"""The Temporal writer's hand: any activity of any queue, called with any input.

`Trespasser` runs a workflow and a worker of its own beside the genuine ones, on a task queue of
its own; the workflow schedules activities by name on whatever queue it is told to.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from ceremony import names

QUEUE: Final = "trespassers"
GIVEN_UP: Final = "error"

QUEUE_OF: Final[Mapping[str, str]] = {
    "record_opening": names.CEREMONY_QUEUE,
    "record_statement": names.CEREMONY_QUEUE,
    "record_release": names.CEREMONY_QUEUE,
    "record_settlement": names.CEREMONY_QUEUE,
    "record_event": names.CEREMONY_QUEUE,
    "send_sms_code": names.CEREMONY_QUEUE,
    "send_notice": names.CEREMONY_QUEUE,
    "synchronise": names.CEREMONY_QUEUE,
    "look_at_change": names.CEREMONY_QUEUE,
    "note_change_time": names.CEREMONY_QUEUE,
    "tell_change": names.CEREMONY_QUEUE,
    "end_change": names.CEREMONY_QUEUE,
    "due_exports": names.CEREMONY_QUEUE,
    "deliver_export": names.CEREMONY_QUEUE,
    "release_key": names.KEYS_QUEUE,
    "settle_key": names.KEYS_QUEUE,
    "order_key": names.KEYS_QUEUE,
    "note_revocation": names.KEYS_QUEUE,
    "note_registry": names.KEYS_QUEUE,
    "note_change": names.KEYS_QUEUE,
    "withdraw_change": names.KEYS_QUEUE,
    "export_key": names.KEYS_QUEUE,
}
"""Every activity of every queue."""


@workflow.defn(name="Trespass")
class Trespass:
    """Calls an activity that is not its own."""

    @workflow.run
    async def run(self, name: str, queue: str, arguments: list[Any]) -> list[Any]:
        """Call it once with each argument, all at once, and give the results.

        What a call raised comes back as `{"error": message}`.
        """
        return await asyncio.gather(*(self._call(name, queue, one) for one in arguments))

    async def _call(self, name: str, queue: str, argument: Any) -> Any:
        try:
            return await workflow.execute_activity(
                name,
                argument,
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError as error:
            return {GIVEN_UP: str(error.cause)}


class Trespasser:
    """Somebody with write access to the namespace. Make one with `trespassing`."""

    def __init__(self, client: Client) -> None:
        """Bind a client."""
        self.client = client

    async def call(self, name: str, argument: object) -> Any:
        """Call an activity with an input of one's own choice, and give its result."""
        return (await self.calls(name, [argument]))[0]

    async def calls(self, name: str, arguments: Sequence[object]) -> list[Any]:
        """Call an activity with several inputs at once, and give the results."""
        return await self.client.execute_workflow(
            Trespass.run,
            args=[name, QUEUE_OF[name], list(arguments)],
            id=f"trespass/{uuid4()}",
            task_queue=QUEUE,
        )

    def handle(self, terminal_no: str) -> WorkflowHandle[Any, Any]:
        """The terminal's loading request, whichever run."""
        return self.client.get_workflow_handle(names.loading_request_id(terminal_no))

    async def signal(self, terminal_no: str, signal: str, message: object) -> None:
        """Signal the terminal's loading request."""
        await self.handle(terminal_no).signal(signal, message)

    async def settled(self, terminal_no: str) -> None:
        """Wait until the terminal's workflow has handled every signal that it got.

        A query is answered after the workflow tasks before it.
        """
        await self.handle(terminal_no).query(names.QUERY_STATUS)

    async def resettable(self, terminal_no: str, run_id: str | None = None) -> list[int]:
        """The events that a run can be reset to: every workflow task that completed."""
        handle = self.client.get_workflow_handle(
            names.loading_request_id(terminal_no), run_id=run_id
        )
        return [
            event.event_id
            async for event in handle.fetch_history_events()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        ]

    async def reset(
        self, terminal_no: str, run_id: str, event_id: int, *, with_signals: bool = True
    ) -> str:
        """Reset a run to an event; gives the new run's id."""
        exclude = (
            [] if with_signals else [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL]
        )
        answer = await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(
                    workflow_id=names.loading_request_id(terminal_no), run_id=run_id
                ),
                reason="attack",
                workflow_task_finish_event_id=event_id,
                request_id=str(uuid4()),
                reset_reapply_exclude_types=exclude,
            )
        )
        return str(answer.run_id)


@asynccontextmanager
async def trespassing(client: Client) -> AsyncIterator[Trespasser]:
    """Run the trespasser's own worker."""
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[Trespass],
        workflow_runner=UnsandboxedWorkflowRunner(),
        # An attacker may be slow: interrupting it raises wherever this process happens to be.
        debug_mode=True,
        graceful_shutdown_timeout=timedelta(0),
    ):
        yield Trespasser(client)
        await asyncio.sleep(0)
