"""Signals that ask for SMS codes which nobody asked the API for: they cost nobody anything."""

from temporalio.client import Client

from ceremony.messages import CodeRequest, Submission
from ceremony.names import QUERY_STATUS, SIGNAL_CODE_REQUESTED, SIGNAL_REQUEST_REPEATED
from ceremony.stages import Stage
from ceremony.state import CeremonyState
from tests.support.backstage import Backstage
from tests.support.load import Load


async def forge(stage: Backstage, load: Load, n: int) -> None:
    """Signal that code n was asked for, and wait until the workflow knows that it was not.

    A statement that is not there goes with it: its recording is under way when that is known.
    """
    await load.handle.signal(SIGNAL_CODE_REQUESTED, CodeRequest(request_id=load.request_id, n=n))
    nothing = Submission(request_id=load.request_id, digest=f"{n:064x}")
    await load.handle.signal(SIGNAL_REQUEST_REPEATED, nothing)
    await stage.until(lambda: len(dropped(stage)) >= n or None)
    for _ in range(100):
        state = await load.handle.query(QUERY_STATUS, result_type=CeremonyState)
        if len(state.codes_sent_at) < n:
            return
        await stage.breathe()
    raise AssertionError(f"code {n} still counts as sent")


def dropped(stage: Backstage) -> list[str]:
    """The signals that were dropped."""
    with stage.database.read() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT detail FROM audit_events WHERE event = 'signal-dropped'"
        )
        return [str(row[0]) for row in rows]


async def test_forged_code_requests_leave_all_three_codes(
    running: Backstage, client: Client
) -> None:
    """Codes 1, 2 and 3 are forged before the administrator asks: code 1 is then sent, and taken."""
    load = await Load.open(running, client)
    for n in (1, 2, 3):
        await forge(running, load, n)
    assert load.sms() == []
    await load.ask_code()
    assert load.sms() == ["code-1"]
    await load.to(Stage.LOADED)
    assert (await load.result()).stage is Stage.LOADED


async def test_a_forged_code_beside_a_genuine_one_changes_nothing(
    running: Backstage, client: Client
) -> None:
    """With code 1 on the administrator's phone, a forged code 2 is too early, and code 1 counts."""
    load = await Load.open(running, client)
    await load.ask_code()
    await load.handle.signal(SIGNAL_CODE_REQUESTED, CodeRequest(request_id=load.request_id, n=2))
    assert (await load.apply()).accepted
    assert load.sms()[0] == "code-1"
