"""A workflow that imports a database library without saying that it means to."""

import sqlmodel
from temporalio import workflow


@workflow.defn
class Leaky:
    """Does nothing, with far too much in its hands."""

    @workflow.run
    async def run(self) -> str:
        """Name the library."""
        return sqlmodel.__name__
