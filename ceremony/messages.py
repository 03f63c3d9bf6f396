"""Messages between the API, the workflow and its activities: small, and free of secrets.

Whoever writes to Temporal can forge any of them. So they name statements by digest and never
assert a fact; whoever receives one loads the statement and verifies it.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from ceremony.keyexport import ExportProblem, ExportState
from ceremony.keylife import KeyState
from ceremony.reasons import Reason
from ceremony.revocations import Subject
from ceremony.stages import Stage
from ceremony.state import CeremonyState, Verdict

NOT_ASKED: Final = "not-asked"
"""What sending an SMS code answers if its administrator did not ask the API for it."""


class Message(BaseModel):
    """A message as it crosses Temporal: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Opening(Message):
    """Starts the workflow: the digest of the `request` statement, and what follows from it."""

    request_id: str
    terminal_no: str
    digest: str


class Submission(Message):
    """A signal: a statement of this request was received and stored under this digest."""

    request_id: str
    digest: str


class CodeRequest(Message):
    """A signal: SMS code n of this request was asked for by a signed-in administrator."""

    request_id: str
    n: int


class RegistryNotice(Message):
    """A signal: the registry changed what it says about this request's terminal."""

    run_id: str


class StatementStep(Message):
    """Record a statement: judge it against this state, in one transaction."""

    state: CeremonyState
    digest: str


class Recorded(Message):
    """What recording did: the state after it, and the verdict."""

    state: CeremonyState
    verdict: Verdict


class EventStep(Message):
    """Record what was no statement: a passed deadline or a changed registry."""

    state: CeremonyState
    event: Literal["deadline", "registry"]


class ReleaseCommand(Message):
    """Ask the key worker for the key token that answers this confirmation."""

    request_id: str
    terminal_no: str
    request: str
    application: str
    decision: str
    confirmation: str


class ReleaseOutcome(Message):
    """The key worker's answer: a token's digest, or why there is none."""

    token_digest: str | None = None
    refused: Reason | None = None


class ReleaseStep(Message):
    """Record the key worker's answer to a confirmation."""

    state: CeremonyState
    digest: str
    outcome: ReleaseOutcome


class SettleCommand(Message):
    """Ask the key worker to settle a released key by this receipt, or by none in time."""

    request_id: str
    terminal_no: str
    receipt: str | None


class Settlement(Message):
    """The key worker's answer: active with its KCV, or unconfirmed with the reason."""

    active: bool
    reason: Reason
    kcv: str | None = None


class SettlementStep(Message):
    """Record how a released key was settled."""

    state: CeremonyState
    settlement: Settlement


class SmsCodeCommand(Message):
    """Send SMS code n of this request to the terminal's first administrator."""

    request_id: str
    terminal_no: str
    n: int


class Notice(Message):
    """Tell an administrator by SMS: a review waits, an approval, or how the request ended."""

    request_id: str
    terminal_no: str
    event: Literal["review", "approved", "ended"]
    stage: Stage


class LoadingResult(Message):
    """What the workflow returns: the final stage, and the key's digest and KCV if it has them."""

    stage: Stage
    reason: Reason | None
    token_digest: str | None
    kcv: str | None


class SyncOrder(Message):
    """Starts a registry synchronisation; the source is the worker's own, never the caller's.

    `order` is an officer's signed order for what a run may not do by itself, or None.
    """

    order: str | None = None


class SyncRefusal(Message):
    """A row of the feed that changed nothing: its place, the terminal it claims, and why."""

    position: str
    terminal_no: str | None
    reason: Reason


class ChangeOrder(Message):
    """Starts the change of a registry entry that has to wait: its digest, and whom it is about."""

    subject: Subject
    name: str
    digest: str


class SyncReport(Message):
    """What a synchronisation did; at most the first 1000 refusals are listed.

    `waiting` counts the terminals that this run gave other administrators, `changes` are all
    changes that wait, of terminals and of persons: whoever gets this starts them again.
    `ended` are the terminals whose open loading request was told of the change. `stopped` is why
    the whole run was refused, in which case nothing was changed.
    """

    run_id: str
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    refused: tuple[SyncRefusal, ...] = ()
    ended: tuple[str, ...] = ()
    stopped: Reason | None = None
    waiting: int = 0
    changes: tuple[ChangeOrder, ...] = ()


RegistryPart = Literal["revocations", "persons", "terminals"]
"""What the key worker is shown of the registry, a page at a time."""


class RegistryPage(Message):
    """Have the key worker look at the part of the registry that comes after a name or digest."""

    part: RegistryPart
    after: str = ""


class RegistryNoted(Message):
    """What a page held that was new to the key worker, and where the next one starts.

    `refused` counts what did not verify or may not follow what is known; None ends the part.
    """

    noted: int
    refused: int
    after: str | None


class RevocationNote(Message):
    """Show the key worker a revocation: the signed text itself, so that no row can withhold it."""

    statement: str


class RevocationNoted(Message):
    """The key worker's answer: it remembers the revocation, or why it does not."""

    refused: Reason | None = None


class ChangeNote(Message):
    """Show the key worker a change: the entry's digest, and whom it is about. It loads the rest."""

    subject: Subject
    name: str
    digest: str


class ChangeNoted(Message):
    """The key worker's answer: when the change takes effect (Unix seconds), or why it never will.

    Neither if it is in effect.
    """

    effective_at: int | None = None
    refused: Reason | None = None


class ChangeWithdrawn(Message):
    """The key worker's answer: False for a change that does not wait, or is in effect already."""

    withdrawn: bool


class ChangeTime(Message):
    """Note when the key worker says that a change takes effect (Unix seconds)."""

    digest: str
    effective_at: int


class ChangeEnding(Message):
    """End a change: put it into effect, or, if the key worker refused it, not."""

    digest: str
    refused: Reason | None = None


ChangeOutcome = Literal["cooling", "effective", "withdrawn", "superseded", "refused"]


class ChangeResult(Message):
    """How a change stands in the records, and for the workflow how it ended.

    `reason` is why it was refused. `tells` is the terminal whose open loading request rests on what
    was changed, or None.
    """

    outcome: ChangeOutcome
    reason: Reason | None = None
    tells: str | None = None


class KeyOrderNote(Message):
    """Have the key worker carry out officers' `key-order`: the envelope with their signatures."""

    order: str


class KeyOrderAnswer(Message):
    """The key worker's answer: where the key stands by this order, or why it was refused.

    The same order gets the same answer, whatever became of the key since.
    """

    state: KeyState | None = None
    refused: Reason | None = None


class NotesOrder(Message):
    """Starts the showing of the registry to the key worker: a revocation, whole parts, or both."""

    revocation: str | None = None
    parts: tuple[RegistryPart, ...] = ()


class NotesReport(Message):
    """What the key worker was shown: how much of it was new, how much it refused."""

    noted: int
    refused: int
    revocation_refused: Reason | None = None


class ExportCommand(Message):
    """Have the key worker wrap a request's key for the back office, or have it delivered."""

    request_id: str


class ExportOutcome(Message):
    """The key worker's answer: the digest of the block that is published, or why there is none."""

    block_digest: str | None = None
    refused: ExportProblem | None = None


class ExportPage(Message):
    """Ask which active keys are due for the back office, after this request id."""

    after: str = ""


class DueKey(Message):
    """A key that is due; `wrapped` if its block was made and only its delivery is."""

    request_id: str
    wrapped: bool


class DueExports(Message):
    """The next keys that are due, and after which request id to go on; None ends them."""

    keys: tuple[DueKey, ...]
    after: str | None


class ExportDelivery(Message):
    """Where an export stands after its delivery; no state if there is no such export."""

    state: ExportState | None
    reason: str | None = None


class ExportOrder(Message):
    """Starts a pass over the keys that are due: wrap them, and `deliver` them over HTTP."""

    deliver: bool


class ExportReport(Message):
    """What a pass did.

    `stopped` is why not everything that was due was asked and answered: `key-worker` or
    `back-office` did not answer, or `export-off`: the key worker exports nothing.
    """

    wrapped: int
    confirmed: int
    refused: int
    stopped: str | None = None
