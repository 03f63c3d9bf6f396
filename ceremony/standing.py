"""The registry's standing on one terminal: its entry, its two administrators, dual control."""

from dataclasses import dataclass

from ceremony.codes import CodeScope
from ceremony.eppcertificate import EntryError
from ceremony.reasons import Reason
from ceremony.registry import VerifiedCredential, VerifiedTerminal, registry_digest


@dataclass(frozen=True, slots=True)
class Standing:
    """A terminal with its first and second administrator, all verified and fit for dual control.

    Make one with `standing_of`; every authorisation rests on its `registry_digest`.
    """

    terminal: VerifiedTerminal
    first: VerifiedCredential
    second: VerifiedCredential

    @property
    def registry_digest(self) -> str:
        """SHA-256 over the three entries' digests, as hex."""
        return registry_digest(self.terminal.digest, self.first.digest, self.second.digest)

    def code_scope(self, request_id: str) -> CodeScope:
        """Whose SMS and approval codes a loading request of this terminal uses."""
        return CodeScope(
            request_id=request_id,
            person=self.first.entry.person,
            number=self.first.entry.number,
            epp_fingerprint=self.terminal.epp.fingerprint,
        )


def standing_of(
    terminal: VerifiedTerminal, first: VerifiedCredential, second: VerifiedCredential
) -> Standing:
    """Put verified entries together, if they are this terminal's and keep dual control.

    No key, number or person serves two roles of one terminal.

    Raises:
        EntryError: `registry-incomplete` if an entry is another person's, else the rule broken.
    """
    if first.entry.person != terminal.entry.first or second.entry.person != terminal.entry.second:
        raise EntryError(Reason.REGISTRY_INCOMPLETE)
    for administrator in (first, second):
        if "administrator" not in administrator.entry.roles:
            raise EntryError(Reason.NOT_ADMINISTRATOR)
    broken = broken_dual_control(first, second)
    if broken is not None:
        raise EntryError(broken)
    device = terminal.device_key.public_key.kid
    if device in {first.key.public_key.kid, second.key.public_key.kid}:
        raise EntryError(Reason.SAME_CREDENTIAL)
    return Standing(terminal, first, second)


def broken_dual_control(first: VerifiedCredential, second: VerifiedCredential) -> Reason | None:
    """Name the rule of dual control that two administrators break, or None.

    They differ in person and staff number, in telephone number, and in credential.
    """
    one, other = first.entry, second.entry
    if one.person == other.person or one.staff_no == other.staff_no:
        return Reason.SAME_PERSON
    if one.number == other.number:
        return Reason.SAME_NUMBER
    same_key = first.key.public_key.kid == second.key.public_key.kid
    same_passkey = one.credential_id is not None and one.credential_id == other.credential_id
    if same_key or same_passkey:
        return Reason.SAME_CREDENTIAL
    return None
