"""Keys that were made before: in the journal, of which request each key is, and whose was refused.

A refusal is a row of its own, so that it outlives a crash and whatever fails after it: a request
whose key was another's gets none any more. Every function works within the caller's transaction.
"""

from keymanagement.journalfile import JournalFile
from keymanagement.journalrows import DUPLICATES, UNIQUE_KEYS


def duplicate_of(file: JournalFile, request_id: str) -> str | None:
    """The request that first had the key which was made for this one, if that ended it."""
    row = file.get(DUPLICATES, request_id=request_id)
    return None if row is None else str(row["first"])


def note_key(file: JournalFile, request_id: str, uniqueness: bytes) -> str | None:
    """Note a new key as this request's; or the refusal, and return the request that had it first.

    A request that was refused stays so, whatever key is made for it.
    """
    refused = duplicate_of(file, request_id)
    if refused is not None:
        return refused
    digest = uniqueness.hex()
    known = file.get(UNIQUE_KEYS, digest=digest)
    if known is None:
        file.insert(UNIQUE_KEYS, {"digest": digest, "request_id": request_id})
        return None
    first = str(known["request_id"])
    file.insert(DUPLICATES, {"request_id": request_id, "first": first})
    return first
