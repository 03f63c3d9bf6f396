"""A workflow and an activity that log, and fail with a secret in their mouths."""

import logging
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from ceremony.messages import CodeRequest

QUEUE = "logging"


@activity.defn(name="fail_aloud")
async def fail_aloud(order: CodeRequest) -> None:
    """Log, and fail."""
    logging.getLogger("keyfill.probe").warning("at work %(days)d", {"days": order.n})
    raise ValueError("417290 for +4917139299999")


@workflow.defn(name="LoudWorkflow")
class LoudWorkflow:
    """Logs before and after an activity that fails."""

    @workflow.run
    async def run(self, order: CodeRequest) -> None:
        """Do so."""
        workflow.logger.warning("began %(days)d", {"days": order.n})
        try:
            await workflow.execute_activity(
                fail_aloud,
                order,
                start_to_close_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=timedelta(0, 0, 1)),
            )
        except ActivityError:
            workflow.logger.exception("it failed")
        await workflow.sleep(0.01)
        workflow.logger.warning("ended")


@workflow.defn(name="FaultyWorkflow")
class FaultyWorkflow:
    """Has a fault that nobody modelled: its task fails and is tried again."""

    @workflow.run
    async def run(self) -> None:
        """Fail."""
        raise RuntimeError("417290 for +4917139299999")
