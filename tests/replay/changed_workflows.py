"""Loading requests that do things in another order: what the replay of histories must refuse."""

from datetime import timedelta
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from ceremony import names
    from ceremony.messages import LoadingResult, Opening, Submission
    from ceremony.statements import Kind
    from workflows.loading_request import LoadingRequest


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
