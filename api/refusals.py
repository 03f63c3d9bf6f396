"""What is refused leaves a trace: an audit event and a count, both without what was sent."""

from dataclasses import dataclass
from typing import Any

from api.authentication import Caller, SignedIn
from api.enrolled import BY_PERSON, Signed
from api.limits import Scope
from api.parts import Parts
from ceremony.statements import Kind, RequestBound
from records import audit
from records.tables.audit_event import ActorKind


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused statement: its kind, the reason, and its signer if that was proved."""

    kind: Kind
    reason: str
    signed: Signed[Any] | None = None


async def note_refused(parts: Parts, caller: Caller, refusal: Refusal) -> None:
    """Record a refused statement; over the audited rate it is only counted."""
    parts.metrics.statements.labels(refusal.kind, "refused").inc()
    if _audited(parts, caller.address):
        await parts.database.run(_write, parts, caller, refusal)


async def note_denied(parts: Parts, signed_in: SignedIn, event: str, reason: str) -> None:
    """Record that someone with a session was refused something that is no statement."""
    if _audited(parts, signed_in.kid):
        await parts.database.run(_write_denied, parts, signed_in, event, reason)


def _audited(parts: Parts, who: str) -> bool:
    limits = parts.limits
    if limits.take(Scope.AUDITED, who) and limits.take(Scope.AUDITED_ALL, "all"):
        return True
    parts.metrics.unaudited.inc()
    return False


def _write_denied(parts: Parts, signed_in: SignedIn, event: str, reason: str) -> None:
    with parts.database.write() as session:
        audit.write(
            session,
            event,
            at=parts.now(),
            actor_kind=ActorKind.ADMINISTRATOR,
            actor=signed_in.staff_no,
            reason=reason,
        )


def _write(parts: Parts, caller: Caller, refusal: Refusal) -> None:
    kind, actor = _actor(refusal)
    payload = refusal.signed.payload if refusal.signed else None
    bound = payload if isinstance(payload, RequestBound) else None
    detail = {"kind": refusal.kind.value, "address": caller.address}
    if refusal.signed is not None:
        detail["digest"] = refusal.signed.statement.digest
    with parts.database.write() as session:
        audit.write(
            session,
            "statement-refused",
            at=parts.now(),
            actor_kind=kind,
            actor=actor,
            request_id=bound.request_id if bound else None,
            terminal_no=getattr(payload, "terminal_no", None),
            reason=refusal.reason,
            detail=detail,
        )


def _actor(refusal: Refusal) -> tuple[ActorKind, str | None]:
    signed = refusal.signed
    if signed is None:
        # Nobody in particular: the kind of actor that the statement claims to come from.
        claimed = refusal.kind in BY_PERSON and refusal.kind is not Kind.CANCELLATION
        return (ActorKind.ADMINISTRATOR if claimed else ActorKind.TERMINAL), None
    if signed.person is not None:
        return ActorKind.ADMINISTRATOR, signed.person.entry.staff_no
    return ActorKind.TERMINAL, signed.terminal_no
