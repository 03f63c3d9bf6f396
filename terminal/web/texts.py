"""How a load ended, or why it stands still, in plain words: what happened, and what to do next.

The words are English message ids; the pages translate them. A reason code that is not listed is
told as such, under the words of its stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from ceremony.reasons import Reason
from ceremony.stages import Stage
from terminal.epperrors import EppCode
from terminal.web.background import Cause

Tone = Literal["success", "warning", "error"]


def noted(message: str) -> str:
    """Mark a text for translation; it is translated where it is shown."""
    return message


@dataclass(frozen=True, slots=True)
class Words:
    """A title, what happened, and what to do next."""

    tone: Tone
    title: str
    what: str
    then: str


ENDINGS: Final[Mapping[Stage, Words]] = MappingProxyType(
    {
        Stage.LOADED: Words(
            "success",
            noted("The new key is in"),
            noted("This terminal and Keyfill have the same key check value."),
            noted("The terminal may go back into service. Nothing more is to be done."),
        ),
        Stage.REJECTED: Words(
            "error",
            noted("Rejected"),
            noted("The second administrator rejected the application. No key was made."),
            noted("Ask the second administrator for the reason. Then ask for a key again."),
        ),
        Stage.EXPIRED: Words(
            "warning",
            noted("Time ran out"),
            noted("Nobody went on in time. No key was made."),
            noted("Call both administrators. When they are ready, ask for a key again."),
        ),
        Stage.CANCELLED: Words(
            "warning",
            noted("Cancelled"),
            noted("This load was cancelled. No key was made."),
            noted("Ask for a key again when you are ready."),
        ),
        Stage.FAILED: Words(
            "error",
            noted("Not loaded"),
            noted("A check was not passed. No key was made."),
            noted("Note the reason code, and call the key management team."),
        ),
        Stage.UNCONFIRMED: Words(
            "error",
            noted("Not certain that the key is in"),
            noted("Keyfill made a key, but this terminal did not prove that it has it."),
            noted(
                "Do not put the terminal back into service. Call the key management team and "
                "name the reference: an officer decides."
            ),
        ),
    }
)

_CALL: Final = noted("Call the key management team. Nothing can be mended at this terminal.")
_AGAIN: Final = noted("Ask for a key again.")

REASONS: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        Reason.CANCELLED_BY_TERMINAL: (
            noted("This load was cancelled at this terminal. No key was made."),
            None,
        ),
        Reason.CANCELLED_BY_ADMINISTRATOR: (
            noted("An administrator cancelled this load. No key was made."),
            noted("Ask the administrator why, before you ask for a key again."),
        ),
        Reason.ATTEMPTS_EXHAUSTED: (
            noted("The first administrator mistyped too often. No key was made."),
            noted("Check the terminal number and the SMS code. Then ask for a key again."),
        ),
        Reason.DAILY_ATTEMPTS_EXHAUSTED: (
            noted("The first administrator mistyped too often today. No key was made."),
            noted("Ask for a key again tomorrow."),
        ),
        Reason.CONFIRMATION_TRIES_EXHAUSTED: (
            noted("Number or approval code were mistyped three times at this terminal."),
            noted("Ask for a key again. Both administrators have to act once more."),
        ),
        Reason.QR_REFUSED: (
            noted("The application rests on another QR code than the one shown here."),
            noted("Let nobody scan a picture of the code. Call the key management team."),
        ),
        Reason.WRONG_EPP: (
            noted("Keyfill knows another PIN pad (EPP) for this terminal."),
            noted("If the PIN pad was exchanged, have it registered. Then ask for a key again."),
        ),
        Reason.REGISTRY_CHANGED: (
            noted("The registered data of this terminal or its administrators changed meanwhile."),
            _AGAIN,
        ),
        Reason.APPROVAL_EXPIRED: (
            noted("The approval ran out before it was used."),
            noted("Ask for a key again. Both administrators have to act once more."),
        ),
        Reason.STATEMENT_EXPIRED: (
            noted("The application ran out before it was used."),
            noted("Ask for a key again. Both administrators have to act once more."),
        ),
        Reason.RELEASE_REFUSED: (noted("The key worker refused to make a key."), _CALL),
        Reason.KEY_TOO_STRONG: (
            noted("The PIN pad (EPP) is too weak to receive a key of this strength."),
            _CALL,
        ),
        Reason.RECEIPT_MISSING: (
            noted("This terminal did not answer in time after the key was made."),
            None,
        ),
        Reason.KCV_WRONG: (
            noted("The key check values of this terminal and Keyfill differ."),
            None,
        ),
        Reason.TERMINAL_REFUSED: (noted("The PIN pad (EPP) refused the key."), None),
        Reason.REGISTRY_INCOMPLETE: (
            noted("This terminal, or one of its two administrators, is not registered completely."),
            noted("Have the registration completed. Then ask for a key again."),
        ),
        Reason.WRONG_TERMINAL: (
            noted("Keyfill knows this device under another terminal number."),
            _CALL,
        ),
        Reason.FORMAT_UNSUPPORTED: (
            noted("Keyfill has no key format that this PIN pad (EPP) accepts."),
            _CALL,
        ),
        Reason.MODEL_UNKNOWN: (
            noted("Keyfill has no rule for terminals of this model."),
            _CALL,
        ),
        Reason.RELOAD_REASON_MISSING: (
            noted("Keyfill has an active key of this terminal on record."),
            noted("Say why another key is needed, and ask again."),
        ),
        Reason.FOREIGN_EPP_KEY: (
            noted("Keyfill knows this PIN pad (EPP) in another terminal."),
            noted("If the PIN pad was exchanged, have it registered. Then ask for a key again."),
        ),
        Reason.WRONG_STAGE: (
            noted("The last load of this terminal is just being closed."),
            noted("Wait a minute. Then try again."),
        ),
        Reason.WRONG_AUDIENCE: (noted("This terminal belongs to another Keyfill system."), _CALL),
        Reason.CHALLENGE_REFUSED: (
            noted("The request took too long to arrive."),
            noted("Check the network of this terminal. Then try again."),
        ),
        "not-authenticated": (
            noted("Keyfill does not know this terminal's key."),
            noted("Have the terminal registered. Then ask for a key again."),
        ),
    }
)
"""What happened, and what to do next (None: what the stage says), by reason code."""

STOPS: Final[Mapping[Cause, Words]] = MappingProxyType(
    {
        "refused": Words(
            "error",
            noted("Keyfill refused"),
            noted("Keyfill does not go on with this load."),
            noted("Note the reason code, and call the key management team."),
        ),
        "unknown-qr": Words(
            "error",
            noted("Another QR code was scanned"),
            noted(
                "The application rests on a QR code that this terminal did not show. Nothing was "
                "confirmed."
            ),
            noted("Cancel this load and call the key management team: somebody may be cheating."),
        ),
        "epp": Words(
            "error",
            noted("The PIN pad does not work"),
            noted("The memory of the PIN pad (EPP) is damaged."),
            noted("Take the terminal out of service and call the technician."),
        ),
        "storage": Words(
            "error",
            noted("The disk cannot be written"),
            noted("This terminal cannot note how the load stands, so it does not go on."),
            noted("Free or mend the disk. Then try again: the same load goes on."),
        ),
        "fault": Words(
            "error",
            noted("A fault in this program"),
            noted("The load stopped for a reason that nobody foresaw."),
            noted("Try again. If that does not help, call the technician."),
        ),
    }
)

EPP_ERRORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        EppCode.ACCESS_DENIED: noted("the PIN pad does not allow it"),
        EppCode.CONTENT_INVALID: noted("the key token is for another terminal, or too old"),
        EppCode.DUPLICATE_KEY: noted("the PIN pad has this key already"),
        EppCode.FORMAT_INVALID: noted("the key token cannot be read"),
        EppCode.INVALID_CERT_STATE: noted("the PIN pad trusts no key distribution host yet"),
        EppCode.INVALID_KEY_LENGTH: noted("the key has a wrong length"),
        EppCode.KEY_NOT_FOUND: noted("the key is not there"),
        EppCode.NO_KEY_RAM: noted("the PIN pad has no room for another key"),
        EppCode.RANDOM_INVALID: noted("the PIN pad forgot its random number too often"),
        EppCode.SIGNATURE_INVALID: noted("the key token is not signed by Keyfill's key host"),
        EppCode.USE_VIOLATION: noted("the PIN pad takes no key for this use"),
    }
)

PROBLEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Reason.APPROVAL_CODE_WRONG: noted("The approval code is not right."),
        Reason.ADMINISTRATOR_WRONG: noted("The administrator's number is not right."),
    }
)

RELOAD_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "scheduled change": noted("Scheduled change of the key"),
        "service": noted("After a repair or a reset"),
        "suspected exposure": noted("The old key may be known to others"),
    }
)
"""Why a terminal that has a key asks for another: as it stands in the statement, and for people."""

STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "confirming": noted("Keyfill checks everything and makes the key"),
        "importing": noted("The PIN pad takes the key in"),
        "reporting": noted("Keyfill hears that the key is in"),
    }
)


def ending_words(stage: Stage, reason: str | None) -> Words:
    """The words for an ending."""
    return _refined(ENDINGS[stage], reason)


def stop_words(cause: Cause, code: str | None) -> Words:
    """The words for a load that stands still; `code` is the server's, of a refusal."""
    return _refined(STOPS[cause], code)


def _refined(words: Words, reason: str | None) -> Words:
    what, then = REASONS.get(reason or "", (words.what, None))
    return Words(words.tone, words.title, what, then or words.then)
