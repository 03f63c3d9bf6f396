"""Officers' orders about a key: drawn up, signed by each officer, sent to the key worker."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import typer
from pydantic import ValidationError

from ceremony import names
from ceremony.keylife import KeyAct
from ceremony.keyorders import KeyOrder, draft_order, officers_needed
from ceremony.keys import SigningKey
from ceremony.messages import KeyOrderAnswer, KeyOrderNote
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import new_nonce, sign
from ceremony.statements import KeyOrderPayload
from ceremony.trust import Trust
from ceremony.verification import StatementError, peek
from commands.homefolder import HomeError
from commands.officerkeys import officer_key, signing_trust
from commands.opened import database_of, settings_of, unix_time
from commands.options import Exit, leave, write_json
from commands.persons import broken_field
from commands.temporal import client_of, temporal_errors
from records import keystore
from settings import Settings
from terminal.durable import replace

CONNECT_WITHIN: Final = timedelta(seconds=10)
ANSWER_WITHIN: Final = timedelta(seconds=20)
"""A key worker that runs answers at once; for one that does not, the workflow waits."""

Order = Literal["settle-loaded", "settle-not-loaded", "revoke", "destroy"]
_DEEDS: Final[dict[KeyAct, str]] = {
    KeyAct.SETTLE_LOADED: "settles the key as loaded: it becomes the terminal's active key",
    KeyAct.SETTLE_NOT_LOADED: "settles the key as not loaded: it is retired",
    KeyAct.REVOKE: "marks the key compromised, for ever: it is never wrapped or used again",
    KeyAct.DESTROY: "destroys the host's copy of the key, for ever",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be ordered about which key, and why."""

    order: Order
    request_id: str
    terminal_no: str
    reason_code: str
    reason: str | None


def keys_of(paths: Sequence[Path], trust: Trust) -> list[SigningKey]:
    """The officers' keys in these files, each once, or the end of the command."""
    try:
        keys = [officer_key(path, trust) for path in paths]
    except HomeError as error:
        leave(Exit.USAGE, str(error))
    return list({key.kid: key for key in keys}.values())


def signed_order(draft: Draft, officers: Sequence[SigningKey], trust: Trust) -> str:
    """Sign an order by each of these officers; an envelope, or the end of the command."""
    try:
        payload = KeyOrderPayload(
            aud=trust.audience,
            iat=unix_time(),
            nonce=new_nonce(),
            request_id=draft.request_id,
            terminal_no=draft.terminal_no,
            order=draft.order,
            reason_code=draft.reason_code,
            reason=draft.reason,
        )
    except ValidationError as error:
        leave(Exit.USAGE, broken_field(error))
    return seal_envelope(sign(payload, key) for key in officers)


def signed_too(envelope: str, officers: Sequence[SigningKey], trust: Trust) -> str:
    """Add the signatures of officers whose signature does not hold in it yet.

    Raises:
        StatementError: if it is no order of this deployment.
    """
    known = draft_order(envelope, trust).officers
    statements = envelope_statements(envelope)
    payload = peek(statements[0]).payload
    added = [sign(payload, key) for key in officers if key.kid not in known]
    return seal_envelope([*statements, *added])


def read_draft(file: Path, trust: Trust) -> KeyOrder:
    """Read an order from a file, or end the command."""
    try:
        return draft_order(file.read_text().strip(), trust)
    except (OSError, UnicodeDecodeError):
        leave(Exit.USAGE, f"{file} cannot be read.")
    except StatementError as error:
        leave(Exit.REFUSED, f"{file} holds no order of this deployment: {error.reason}.")


def missing(order: KeyOrder, trust: Trust) -> int:
    """How many officers have still to sign."""
    return max(0, officers_needed(order.act, trust) - len(order.officers))


def explain(order: KeyOrder, trust: Trust, *, state: str | None = None) -> None:
    """Say on standard error what an order does, before anybody signs or sends it."""
    stands = "" if state is None else f", now {state}"
    typer.echo(
        f"Request {order.request_id} of terminal {order.terminal_no}{stands}.\n"
        f"This {_DEEDS[order.act]}.\n"
        f"Reason: {order.reason_code}{f' ({order.reason})' if order.reason else ''}. "
        f"Signed by {len(order.officers)} of {officers_needed(order.act, trust)}.",
        err=True,
    )


def send(settings: Settings, order: KeyOrder) -> dict[str, Any]:
    """Have the key worker carry out an order, and tell what came of it.

    `state` is where the key stands by it, `refused` with a `reason`, or `waiting` if the key
    worker has not answered yet: the workflow waits for it.
    """
    with temporal_errors():
        answer = asyncio.run(_answer(settings, order))
    said: dict[str, Any] = {"state": "waiting", "reason": None}
    if answer is not None and answer.refused is not None:
        said = {"state": "refused", "reason": answer.refused.value}
    elif answer is not None and answer.state is not None:
        said = {"state": answer.state.value, "reason": None}
    return {
        "request_id": order.request_id,
        "terminal_no": order.terminal_no,
        "order": order.act.value,
        "digest": order.digest,
        **said,
    }


async def _answer(settings: Settings, order: KeyOrder) -> KeyOrderAnswer | None:
    from temporalio.common import WorkflowIDConflictPolicy

    client = await client_of(settings, CONNECT_WITHIN)
    handle = await client.start_workflow(
        names.KEY_ORDER,
        KeyOrderNote(order=order.envelope),
        id=names.key_order_id(order.digest),
        task_queue=names.CEREMONY_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        result_type=KeyOrderAnswer,
        static_summary=f"Officers' order {order.act.value} for terminal {order.terminal_no}",
    )
    try:
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            answer: KeyOrderAnswer = await handle.result()
            return answer
    except TimeoutError:
        return None


class Signing:
    """One order from its options to its answer, or to a file for the next officer."""

    def __init__(
        self,
        home: Path,
        trust: Path | None,
        keys: list[Path],
        out: Path | None,
        *,
        yes: bool,
        as_json: bool,
    ) -> None:
        """Read the trust file and the officers' keys, or end the command."""
        self._home, self._out, self._yes, self._as_json = home, out, yes, as_json
        self._trust = trust_at(home, trust)
        self._officers = keys_of(keys, self._trust)

    def order(
        self,
        order: Order,
        request_id: str,
        terminal_no: str | None,
        reason_code: str,
        reason: str | None,
    ) -> None:
        """Sign it, and send it or write it."""
        state = None
        if terminal_no is None:
            terminal_no, state = self._on_record(request_id)
        draft = Draft(order, request_id, terminal_no, reason_code, reason)
        envelope = signed_order(draft, self._officers, self._trust)
        signed = draft_order(envelope, self._trust)
        explain(signed, self._trust, state=state)
        if self._out is None and missing(signed, self._trust):
            leave(Exit.REFUSED, "Too few officers: give --key again, or --out for the next one.")
        if not self._yes and not typer.confirm("Order this?", err=True):
            return
        if self._out is not None:
            replace(self._out, envelope.encode() + b"\n")
            return
        tell(send(settings_of(self._home), signed), as_json=self._as_json)

    def _on_record(self, request_id: str) -> tuple[str, str]:
        with database_of(settings_of(self._home)) as database, database.read() as session:
            row = keystore.key(session, request_id)
        if row is None:
            leave(Exit.REFUSED, f"There is no key of a request {request_id}; --terminal names it.")
        return row.terminal_no, row.state.value


def trust_at(home: Path, trust: Path | None) -> Trust:
    """Read the trust file that is named, or the deployment's; or end the command."""
    try:
        return signing_trust(home, trust)
    except HomeError as error:
        leave(Exit.USAGE, str(error))


def tell(outcome: Mapping[str, Any], *, as_json: bool) -> None:
    """Write what came of an order, and end the command if it was not carried out."""
    if as_json:
        write_json(outcome)
    else:
        shown = [str(value) for value in outcome.values() if value is not None]
        typer.echo("  ".join(shown))
    if outcome["state"] == "waiting":
        typer.echo("The key worker has not answered yet; `keys list` shows when it has.", err=True)
        raise typer.Exit(Exit.UNAVAILABLE)
    if outcome["state"] == "refused":
        raise typer.Exit(Exit.REFUSED)
