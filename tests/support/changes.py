"""Changes of administrators on a stage: a registry that the key worker knows, and what changes."""

from dataclasses import replace
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from ceremony import names
from ceremony.messages import ChangeOrder, ChangeResult, RegistryPage
from ceremony.revocations import Subject
from commands.credentials import activate, store_pending
from records import audit, credentialentries, registrychanges, terminalentries
from records.standing import verified_credential
from records.tables.registry_change import RegistryChangeRow
from tests.support.backstage import Backstage
from tests.support.identities import Administrator, jwk_signer


def begin_cooling_off(stage: Backstage, seconds: int) -> None:
    """Show the key worker the registry in force, and let changes wait from then on."""
    stage.world.cool_off(0)
    for part in ("persons", "terminals"):
        stage.memory_of_registry().note_registry(RegistryPage(part=part))
    stage.world.cool_off(seconds)


def with_new_phone(one: Administrator) -> Administrator:
    """The same person with another key and another number."""
    return replace(one, number="+4915155555555", signer=jwk_signer(f"new key of {one.person}"))


def bring_in(stage: Backstage, one: Administrator, *, seq: int = 2, **fields: Any) -> ChangeOrder:
    """Sign a person's new entry by themselves and two officers, and bring it in as officers do."""
    world, now = stage.world, int(stage.clock())
    envelope = world.credential_entry(one, seq=seq, iat=now, **fields)
    verified = world.read_credential(envelope)
    with stage.database.write() as session:
        store_pending(session, verified, now=now)
        brought = activate(session, envelope, world.trust, now=now)
    assert brought.change == ChangeOrder(
        subject=Subject.PERSON, name=one.person, digest=verified.digest
    )
    return brought.change


async def start(
    client: Client, order: ChangeOrder, *, woken: bool = False
) -> WorkflowHandle[Any, ChangeResult]:
    """Start a change's workflow as a command does, or join it."""
    return await client.start_workflow(
        names.REGISTRY_CHANGE,
        order,
        id=names.registry_change_id(order.digest),
        task_queue=names.CEREMONY_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=names.SIGNAL_CHANGE_ENDED if woken else None,
        result_type=ChangeResult,
    )


def change(stage: Backstage, order: ChangeOrder) -> RegistryChangeRow:
    """How a change stands in the records."""
    with stage.database.read() as session:
        row = registrychanges.find(session, order.digest)
    assert row is not None
    return row


def number_of(stage: Backstage, person: str) -> str | None:
    """The number that codes for this person go to now."""
    with stage.database.read() as session:
        found = verified_credential(session, stage.world.trust, person, now=int(stage.clock()))
    return None if found is None else found.entry.number


def administrators_of(stage: Backstage, terminal_no: str) -> tuple[str, str] | None:
    """Who administers a terminal by the records now."""
    with stage.database.read() as session:
        row = terminalentries.current_terminal(session, terminal_no)
    return None if row is None else (row.first_person, row.second_person)


def events(stage: Backstage) -> list[str]:
    """The audit trail's events about changes, in order."""
    with stage.database.read() as session:
        return [one.event for one in audit.since(session) if "change" in one.event]


def withdraw(stage: Backstage, person: str) -> None:
    """Withdraw a person's change in the records, as a command does."""
    with stage.database.write() as session:
        assert credentialentries.withdraw_cooling(session, person, now=int(stage.clock()))
