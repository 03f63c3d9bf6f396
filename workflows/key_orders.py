"""Carrying officers' order about a key to the key worker, and its answer back.

Nothing here is believed: the key worker verifies every signature of the envelope, and judges the
order by its own journal. The workflow waits for the key worker for as long as it takes.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.key_worker import KeyWorker
    from ceremony import names
    from ceremony.messages import KeyOrderAnswer, KeyOrderNote
    from workflows import policies


@workflow.defn(name=names.KEY_ORDER)
class KeyOrders:
    """One order; the same one again gets the same answer."""

    @workflow.run
    async def run(self, note: KeyOrderNote) -> KeyOrderAnswer:
        """Have it carried out, and say what came of it."""
        return await workflow.execute_activity_method(
            KeyWorker.order_key,
            note,
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.ORDER_TIMEOUT,
            retry_policy=policies.ORDER_RETRIES,
            summary="have the key worker carry out officers' order about a key",
        )
