"""Key orders: what officers sign about one key, verified on every use.

An order is an envelope, as a credential entry is: the same statement, signed by each officer, of
one digest. Settling and destroying need the trust file's threshold of officers, marking a key
compromised one (`ceremony.keylife`). What gives or destroys is good for seven days, so that an
order that nobody carried out does not lie about for ever; what only takes away never expires.
"""

from dataclasses import dataclass
from typing import Final

from ceremony.checks import CLOCK_SKEW_SECONDS
from ceremony.eppcertificate import EntryError
from ceremony.keylife import OFFICERS_OF, KeyAct, KeyActor
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements
from ceremony.statements import KeyOrderPayload
from ceremony.trust import Trust
from ceremony.verification import StatementError, Verified, peek, verify

ORDER_SECONDS: Final = 7 * 86_400
"""How long officers' order to settle or destroy may wait to be carried out."""


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """An order and the officers whose signatures of it hold, by their key ids.

    `issued_at` is the officers' own clock, Unix seconds; `digest` the statement's.
    """

    act: KeyAct
    request_id: str
    terminal_no: str
    reason_code: str
    reason: str | None
    issued_at: int
    officers: frozenset[str]
    digest: str
    envelope: str

    @property
    def actor(self) -> KeyActor:
        """As whom they ordered it: one officer, or as many as it needs."""
        return OFFICERS_OF[self.act]


def officers_needed(act: KeyAct, trust: Trust) -> int:
    """How many officers have to sign an order.

    Raises:
        KeyError: if it is no officer's.
    """
    return trust.officer_threshold if OFFICERS_OF[act] is KeyActor.OFFICERS else 1


def read_key_order(envelope: str, trust: Trust) -> KeyOrder:
    """Verify an order: of one payload, for this deployment, signed by enough officers.

    Raises:
        StatementError: `officers-missing` if too few officers' signatures hold, or the reason why
            it is no order at all.
    """
    order = draft_order(envelope, trust)
    if len(order.officers) < officers_needed(order.act, trust):
        raise StatementError(Reason.OFFICERS_MISSING)
    return order


def draft_order(envelope: str, trust: Trust) -> KeyOrder:
    """Read an order that may still lack signatures; `officers` are those that hold.

    Raises:
        StatementError: with the reason, if it is no order of this deployment.
    """
    try:
        statements = envelope_statements(envelope)
    except EntryError as error:
        raise StatementError(error.reason) from None
    claimed = peek(statements[0])
    payload = claimed.payload
    if not isinstance(payload, KeyOrderPayload):
        raise StatementError(Reason.WRONG_TYPE)
    if payload.aud != trust.audience:
        raise StatementError(Reason.WRONG_AUDIENCE)
    return KeyOrder(
        act=KeyAct(payload.order),
        request_id=payload.request_id,
        terminal_no=payload.terminal_no,
        reason_code=payload.reason_code,
        reason=payload.reason,
        issued_at=payload.iat,
        officers=frozenset(one.kid for one in _signed(statements, trust)),
        digest=claimed.digest,
        envelope=envelope,
    )


def require_current(order: KeyOrder, *, now: int) -> None:
    """Check an order's age by the caller's clock, Unix seconds, when it is first carried out.

    Raises:
        StatementError: `stale` if it is dated in the future, `statement-expired` if it is to
            settle or destroy and more than seven days old.
    """
    if order.issued_at > now + CLOCK_SKEW_SECONDS:
        raise StatementError(Reason.STALE)
    lasting = order.actor is KeyActor.OFFICER
    if not lasting and order.issued_at + ORDER_SECONDS <= now:
        raise StatementError(Reason.STATEMENT_EXPIRED)


def _signed(statements: tuple[str, ...], trust: Trust) -> list[Verified[KeyOrderPayload]]:
    found = []
    for statement in statements:
        try:
            found.append(
                verify(statement, KeyOrderPayload, trust.officer_keys, audience=trust.audience)
            )
        except StatementError:
            # Somebody else's signature beside theirs: who is missing decides, not who is extra.
            continue
    return found
