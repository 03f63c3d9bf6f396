"""What the journal refuses, and what can be wrong with its file."""

from ceremony.reasons import Reason
from keymanagement.port import KeyManagementError


class JournalCorrupt(KeyManagementError):
    """A row was changed, added or deleted from outside, or the journal is under another KEK."""


class JournalMissing(KeyManagementError):
    """There is no journal: an empty one would not remember which keys were released."""


class JournalUnavailable(KeyManagementError):
    """The journal is locked for too long, or its disk is full or broken: try again later."""


class JournalConflict(KeyManagementError):
    """A call contradicts what the journal holds of the same request or confirmation."""


class RewrapsExhausted(KeyManagementError):
    """The key was wrapped again three times already."""

    reason = Reason.REWRAPS_EXHAUSTED


class NonceReused(KeyManagementError):
    """Another confirmation of this request had the same EPP nonce."""

    reason = Reason.NONCE_REUSED


class TriesExhausted(KeyManagementError):
    """As many tries of the approval code were wrong as a request has."""

    reason = Reason.CONFIRMATION_TRIES_EXHAUSTED


class CodeChanged(KeyManagementError):
    """A confirmation came again with another approval code, which is not compared."""

    reason = Reason.APPROVAL_CODE_WRONG


class KeySuperseded(KeyManagementError):
    """The terminal has a newer active key; a late receipt does not bring the older one back."""


class DuplicateKey(KeyManagementError):
    """The key was made before, for the loading request `first`: a generator or a module failed."""

    reason = Reason.DUPLICATE_KEY

    def __init__(self, first: str) -> None:
        """Name the loading request that had it first."""
        super().__init__("the same key was made for another loading request")
        self.first = first


class EntryRefused(KeyManagementError):
    """A registry entry is not one to rely on, going by what the journal remembers."""

    reason = Reason.SEQ_LOWERED


class EntryRolledBack(EntryRefused):
    """The journal knows a higher `seq` of this entry: an old registry was put back."""


class EntryRevoked(EntryRefused):
    """An officer's revocation took the entry away; only a higher `seq` counts again."""

    reason = Reason.ENTRY_REVOKED


class EntryCooling(EntryRefused):
    """The entry is a change of administrators, and its cooling-off time is not over."""

    reason = Reason.COOLING_OFF


class EntryWithdrawn(EntryRefused):
    """The change was withdrawn before it took effect; only a higher `seq` counts again."""

    reason = Reason.ENTRY_WITHDRAWN


class AssignmentChanged(EntryRefused):
    """A known terminal got other administrators, and too few officers signed that."""

    reason = Reason.OFFICERS_MISSING


class EppKeyForeign(EntryRefused):
    """Another terminal holds this EPP key, by the newest entry that the journal knows of it."""

    reason = Reason.FOREIGN_EPP_KEY


class IdentityChanged(EntryRefused):
    """A known terminal's EPP certificate or device key changed, and no officer signed it."""

    reason = Reason.OFFICER_REQUIRED


class EntryForked(EntryRefused):
    """The journal knows another entry of the same `seq`: one of the two is not genuine."""
