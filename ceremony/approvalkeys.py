"""Approval keys: which kinds of key may sign what lets a key be made.

An approval is an `application` or a `decision`. Nothing else grants: a `login` reads, a
`cancellation` and a revocation take away, and a terminal's statements are its device key's. A key
that could be copied off its owner's device must not approve, but may well call a load off.

An authenticator says in the signed data of every assertion whether its passkey may ever leave it:
the flag BE, backup eligible (W3C Web Authentication Level 3, section 6.1.3). Who verifies an
assertion sees it. What the passkey said when it signed its own entry counts on: whoever has a copy
of its key elsewhere writes the flags of new assertions.
"""

from enum import StrEnum
from typing import Final

from ceremony.reasons import Reason
from ceremony.statements import Kind

APPROVALS: Final = frozenset({Kind.APPLICATION, Kind.DECISION})
"""The kinds of statement that a deployment may demand a passkey for."""


class ApprovalKeys(StrEnum):
    """What a deployment demands of the keys that sign approvals, the weakest demand first."""

    ANY = "any"
    PASSKEYS = "passkeys"
    DEVICE_BOUND_PASSKEYS = "device-bound-passkeys"

    def refusal(self, *, backup_eligible: bool | None) -> Reason | None:
        """Why a key of this kind may not approve; None if it may.

        Args:
            backup_eligible: the flag BE of the passkey's assertion; None for a key that signs JWS.
        """
        if self is ApprovalKeys.ANY:
            return None
        if backup_eligible is None:
            return Reason.PASSKEY_REQUIRED
        if backup_eligible and self is ApprovalKeys.DEVICE_BOUND_PASSKEYS:
            return Reason.PASSKEY_NOT_DEVICE_BOUND
        return None
