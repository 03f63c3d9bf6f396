"""Approvers: the administrators in force, and whether their keys may sign approvals here."""

from ceremony.eppcertificate import EntryError
from ceremony.registry import read_enrolment
from ceremony.trust import Trust
from records import credentialentries
from records.database import Database


def unfit_approvers(database: Database, trust: Trust, *, now: int) -> list[str]:
    """Staff numbers of administrators whose keys the deployment refuses for approvals, in order.

    What the passkey said when it signed its own entry decides here; when an approval is verified
    it is what the passkey says then.

    Raises:
        DatabaseUnavailable: if the database does not answer.
    """
    with database.read() as session:
        envelopes = [row.envelope for row in credentialentries.active_credentials(session)]
    unfit = []
    for envelope in envelopes:
        try:
            known = read_enrolment(envelope, trust, now=now)
        except EntryError:
            # It counts for nothing, so it approves nothing either.
            continue
        refusal = trust.passkeys.approvals.refusal(backup_eligible=known.backup_eligible)
        if "administrator" in known.entry.roles and refusal is not None:
            unfit.append(known.entry.staff_no)
    return sorted(unfit)
