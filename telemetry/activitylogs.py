"""Activity logs: every line of an activity names the loading request that it works on."""

from typing import Any

import structlog
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor


class ActivityLogs(ClientInterceptor, Interceptor):
    """For the connection of a worker: binds the request of an activity's argument.

    Workflow, run, activity and attempt come from Temporal's own context (`telemetry.loglines`).
    """

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002 - the SDK's name
    ) -> ActivityInboundInterceptor:
        """Bind before each activity."""
        return _Binding(next)


class _Binding(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        """Bind; each activity has a task, and so a context, of its own, to which its end belongs.

        The SDK logs a failure after this has returned.
        """
        order = input.args[0] if input.args else None
        # A step has it in its state.
        about = getattr(order, "state", order)
        structlog.contextvars.bind_contextvars(request_id=getattr(about, "request_id", None))
        return await super().execute_activity(input)
