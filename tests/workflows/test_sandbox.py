"""The sandbox of the workers lets nothing into a workflow that was not meant to be there."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from temporalio.client import Client

from ceremony.names import CEREMONY_QUEUE
from taskqueues import WorkerParts, make_worker
from tests.support.leakyworkflow import Leaky


async def test_an_unintended_import_is_refused(client: Client) -> None:
    """A workflow that imports a library outside the pass-through block does not even start."""
    parts = WorkerParts(queue=CEREMONY_QUEUE, activities=[], workflows=[Leaky])
    with (
        ThreadPoolExecutor() as executor,
        pytest.raises(RuntimeError, match="Failed validating workflow Leaky") as refused,
    ):
        make_worker(client, parts, executor)
    assert "sqlmodel was not intentionally passed through" in str(refused.value.__cause__)
