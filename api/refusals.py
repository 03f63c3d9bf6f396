"""What is refused leaves a trace: an audit event and a count, both without what was sent."""

from dataclasses import dataclass
from typing import Any

from api.authentication import Caller
from api.enrolled import BY_PERSON, Signed
from api.limits import Scope
from api.parts import Parts
from api.sessionopening import actor_kind_of
from api.signedin import SignedIn
from ceremony.spraying import Alarm
from ceremony.statements import Kind, RequestBound
from records import alarms, audit
from records.tables.audit_event import ActorKind
from records.tables.session import SessionSource


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused statement: its kind, the reason, and its signer if that was proved.

    `kid` names a key whose signature holds and which may not sign this, where `signed` is None;
    `claimed` the key that a statement says it is by, proved or not.
    """

    kind: Kind
    reason: str
    signed: Signed[Any] | None = None
    kid: str | None = None
    claimed: str | None = None

    @property
    def by_enrolled(self) -> bool:
        """Whether an enrolled key signed it, whatever that key may not."""
        return self.signed is not None or self.kid is not None


async def note_refused(parts: Parts, caller: Caller, refusal: Refusal) -> None:
    """Record a refused statement; over the audited rate it is only counted."""
    parts.metrics.statements.labels(refusal.kind, "refused").inc()
    parts.metrics.refused(refusal.reason)
    if await _audited(parts, caller.address, known=refusal.by_enrolled):
        await parts.database.run(_write, parts, caller, refusal)


async def note_denied(parts: Parts, signed_in: SignedIn, event: str, reason: str) -> None:
    """Record that someone with a session was refused something that is no statement."""
    parts.metrics.refused(reason)
    if await _audited(parts, signed_in.counted, known=True):
        await parts.database.run(_write_denied, parts, signed_in, event, reason)


async def note_sign_in_refused(
    parts: Parts, caller: Caller, reason: str, staff_no: str | None
) -> None:
    """Record that a sign-in by OpenID Connect failed, and whose it was if that was proved."""
    parts.metrics.refused(reason)
    if await _audited(parts, caller.address, known=staff_no is not None):
        await parts.database.run(_write_sign_in, parts, caller, reason, staff_no)


async def _audited(parts: Parts, who: str, *, known: bool) -> bool:
    # Counted apart: strangers' junk, of which anybody can make any amount, must not hide what
    # somebody who is known here was refused.
    limits, whose = parts.limits, "known" if known else "strangers"
    if await limits.take(Scope.AUDITED, f"{whose} {who}") and await limits.take(
        Scope.AUDITED_ALL, whose
    ):
        return True
    parts.metrics.unaudited.inc()
    return False


def _write_denied(parts: Parts, signed_in: SignedIn, event: str, reason: str) -> None:
    with parts.database.write() as session:
        audit.write(
            session,
            event,
            at=parts.now(),
            actor_kind=actor_kind_of(signed_in.roles),
            actor=signed_in.staff_no,
            reason=reason,
        )


def _write_sign_in(parts: Parts, caller: Caller, reason: str, staff_no: str | None) -> None:
    with parts.database.write() as session:
        audit.write(
            session,
            "sign-in-refused",
            at=parts.now(),
            # Nobody's role was found: the system is whom it happened to.
            actor_kind=ActorKind.SYSTEM,
            actor=staff_no,
            reason=reason,
            detail={"by": SessionSource.OPENID_CONNECT.value, "address": caller.address},
        )


def _write(parts: Parts, caller: Caller, refusal: Refusal) -> None:
    kind, actor = _actor(refusal)
    signed = refusal.signed
    payload = signed.payload if signed else None
    bound = payload if isinstance(payload, RequestBound) else None
    detail = {"kind": refusal.kind.value, "address": caller.address}
    if signed is not None:
        detail["digest"] = signed.statement.digest
    if refusal.kid is not None:
        detail["kid"] = refusal.kid
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
        if refusal.kind is Kind.LOGIN:
            # Few tries with each of many keys; what cannot be read counts for its address.
            by = signed.statement.kid if signed else refusal.kid or refusal.claimed
            alarms.sign(
                session, Alarm.LOGINS_MANY_KEYS, by or f"address {caller.address}", now=parts.now()
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
