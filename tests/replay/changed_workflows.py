"""Workflows that do things in another order: what the replay of histories must refuse."""

from datetime import timedelta
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from ceremony import names
    from ceremony.messages import (
        ChangeOrder,
        ChangeResult,
        LoadingResult,
        Opening,
        Submission,
    )
    from ceremony.statements import Kind
    from workflows.loading_request import LoadingRequest
    from workflows.registry_change import RegistryChange


@workflow.defn(name=names.LOADING_REQUEST)
class SettlesEarly(LoadingRequest):
    """Asks the key worker to settle before the receipt was judged."""

    @workflow.init
    def __init__(self, opening: Opening) -> None:
        """Start as the real one does."""
        super().__init__(opening)

    @workflow.run
    async def run(self, opening: Opening) -> LoadingResult:
        """Run as the real one does."""
        return await super().run(opening)

    async def _judge(self, label: str, submission: Submission) -> None:
        if label == Kind.RECEIPT:
            await self._settle_key(submission.digest)
        await super()._judge(label, submission)


@workflow.defn(name=names.LOADING_REQUEST)
class TellsNobody(LoadingRequest):
    """Leaves the notices out."""

    @workflow.init
    def __init__(self, opening: Opening) -> None:
        """Start as the real one does."""
        super().__init__(opening)

    @workflow.run
    async def run(self, opening: Opening) -> LoadingResult:
        """Run as the real one does."""
        return await super().run(opening)

    def _tell(self, event: Literal["review", "approved", "ended"], *, within: timedelta) -> None:
        del event, within


@workflow.defn(name=names.LOADING_REQUEST)
class WaitsFirst(LoadingRequest):
    """Waits a moment before it opens."""

    @workflow.init
    def __init__(self, opening: Opening) -> None:
        """Start as the real one does."""
        super().__init__(opening)

    @workflow.run
    async def run(self, opening: Opening) -> LoadingResult:
        """Run as the real one does, a second later."""
        await workflow.sleep(1)
        return await super().run(opening)


@workflow.defn(name=names.REGISTRY_CHANGE)
class ChangesUntold(RegistryChange):
    """Tells nobody that an administrator changes."""

    @workflow.run
    async def run(self, order: ChangeOrder) -> ChangeResult:
        """Run as the real one does."""
        return await super().run(order)

    def _tell(self, order: ChangeOrder, left: timedelta) -> None:
        del order, left


@workflow.defn(name=names.REGISTRY_CHANGE)
class WithdrawsUnheard(RegistryChange):
    """Leaves out that the key worker forgets a withdrawn change."""

    @workflow.run
    async def run(self, order: ChangeOrder) -> ChangeResult:
        """Run as the real one does."""
        return await super().run(order)

    async def _withdraw(self, order: ChangeOrder) -> bool:
        del order
        return True
