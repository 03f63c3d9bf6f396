"""Whatever stops or starts over, the ceremony goes on: one key, one SMS a step, one answer."""

from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle

from activities.ceremony_records import CeremonyRecords
from activities.facts import FactFinder
from ceremony.messages import LoadingResult, StatementStep
from ceremony.names import QUERY_STATUS
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import CeremonyState
from ceremony.statements import Kind
from tests.support.backstage import Backstage
from tests.support.load import Load


async def reset(client: Client, handle: WorkflowHandle[Any, Any]) -> None:
    """Reset a workflow to its first workflow task, as an operator does; signals come again."""
    history = await handle.fetch_history()
    done = next(
        event.event_id
        for event in history.events
        if event.HasField("workflow_task_completed_event_attributes")
    )
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(
                workflow_id=handle.id, run_id=handle.first_execution_run_id or ""
            ),
            reason="test",
            workflow_task_finish_event_id=done,
            request_id=str(uuid4()),
        )
    )


def current(client: Client, load: Load) -> WorkflowHandle[Any, LoadingResult]:
    """A handle of whatever run of this load's workflow is the current one."""
    return client.get_workflow_handle(load.handle.id, result_type=LoadingResult)


async def test_signals_wait_for_a_worker(stage: Backstage, client: Client) -> None:
    """A whole approval signalled while no worker runs is judged as soon as one does."""
    load = await Load.begin(stage, client)
    load.sign_application()
    await load.begin_code()
    code = stage.world.sms_code(load.request)
    applied = stage.file_application(load.request, load.application, code=code)
    await stage.send(load.handle, Kind.APPLICATION, applied)
    decided = stage.file(stage.world.decision(load.application))
    await stage.send(load.handle, Kind.DECISION, decided)
    async with stage.workers(client):
        verdict = await stage.verdict(decided.digest)
        assert (verdict.accepted, verdict.stage) == (True, Stage.AWAITING_CONFIRMATION)
        await load.confirm()
        await load.receive()
        assert (await load.result()).stage is Stage.LOADED


async def test_new_workers_go_on_where_the_old_ones_stopped(
    stage: Backstage, client: Client
) -> None:
    """Workers stopped at every step, with statements sent meanwhile, lose nothing."""
    load = await Load.begin(stage, client)
    async with stage.workers(client):
        await load.ask_code()
        await load.apply()
    decision = stage.world.decision(load.application)
    await stage.send(load.handle, Kind.DECISION, stage.file(decision))
    async with stage.workers(client):
        assert (await stage.verdict(decision.digest)).stage is Stage.AWAITING_CONFIRMATION
        await load.told("approved")
        await load.confirm()
    async with stage.workers(client):
        await load.receive()
        result = await load.result()
    assert result.stage is Stage.LOADED
    assert load.sms() == ["code-1", "review", "approved", "ended"]
    assert len(load.tokens()) == 1


@pytest.mark.parametrize("at", [Stage.AWAITING_CONFIRMATION, Stage.AWAITING_RECEIPT])
async def test_a_reset_leads_to_the_same_end(running: Backstage, client: Client, at: Stage) -> None:
    """A reset to the first workflow task gives one key, one token and each SMS once."""
    load = await Load.open(running, client)
    await load.apply()
    await load.told("review")
    await load.decide()
    await load.told("approved")
    if at is Stage.AWAITING_RECEIPT:
        await load.confirm()
    await reset(client, load.handle)
    load.handle = current(client, load)
    if at is Stage.AWAITING_CONFIRMATION:
        await load.confirm()
    await load.receive()
    result = await load.result()
    assert result.stage is Stage.LOADED
    assert result.kcv == running.journal.kcv_of(load.request_id)
    assert len(load.tokens()) == 1
    assert sorted(load.sms()) == ["approved", "code-1", "ended", "review"]


async def test_a_reset_of_an_ended_request_ends_the_same_way(
    running: Backstage, client: Client
) -> None:
    """A loaded request that is reset ends LOADED again, at once, with the same token and KCV."""
    load = await (await Load.open(running, client)).to(Stage.LOADED)
    before = await load.result()
    await load.told("ended")
    sent = load.sms()
    await reset(client, load.handle)
    load.handle = current(client, load)
    assert await load.result() == before
    assert load.row.stage is Stage.LOADED
    assert len(load.tokens()) == 1
    assert load.sms() == sent


async def test_a_terminated_workflow_may_be_started_again(
    running: Backstage, client: Client
) -> None:
    """The same opening after a termination goes on where it was: same id, same key, one end."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    kcv = running.journal.kcv_of(load.request_id)
    await load.handle.terminate(reason="test")
    load.handle = await running.open(client, load.request)
    await load.receive()
    result = await load.result()
    assert (result.stage, result.kcv) == (Stage.LOADED, kcv)
    assert len(load.tokens()) == 1

    load.handle = await running.open(client, load.request)
    assert await load.result() == result


async def test_a_step_done_again_does_nothing_again(stage: Backstage, client: Client) -> None:
    """A statement recorded twice, as after a crash in between, gives the same state and verdict."""
    async with stage.workers(client):
        load = await (await Load.open(stage, client)).to(Stage.AWAITING_RECEIPT)
        state = await load.handle.query(QUERY_STATUS, result_type=CeremonyState)
    world = stage.world
    records = CeremonyRecords(stage.database, FactFinder(world.trust, world.codes, world.edge))
    receipt = world.receipt(
        load.confirmation,
        token_digest=load.tokens()[-1].token_digest,
        kcv=stage.journal.kcv_of(load.request_id),
    )
    step = StatementStep(state=state, digest=stage.file(receipt).digest)
    once = records.record_statement(step)
    assert once.state.receipt_digest == receipt.digest
    events = load.events()
    assert records.record_statement(step) == once
    assert load.events() == events


async def test_a_restarted_request_keeps_its_count(running: Backstage, client: Client) -> None:
    """Terminating a workflow gives nobody their wrong attempts back."""
    load = await Load.open(running, client)
    wrong = await load.apply(code="000")
    assert wrong.reason == Reason.SMS_CODE_WRONG
    await load.handle.terminate(reason="test")
    load.handle = await running.open(client, load.request)
    again = await load.apply(code="000")
    assert wrong.attempts_left is not None
    assert again.attempts_left == wrong.attempts_left - 1
