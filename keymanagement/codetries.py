"""The tries of a request's approval code: four digits must not be found by trying.

A try is written down before its code is compared, so that neither a race nor a crash makes one more
of them. It is that of a confirmation: the same one again is the same try and gets the same answer.
Every function works within the caller's transaction.
"""

from keymanagement.journalerrors import CodeChanged, JournalConflict, TriesExhausted
from keymanagement.journalfile import JournalFile
from keymanagement.journalrows import CODE_TRIES, CodeTry, row_of


def begin_try(file: JournalFile, one: CodeTry, most: int) -> None:
    """Write down a try that is about to be compared; it counts as wrong until `right_code`.

    Raises:
        TriesExhausted: if `most` tries of the request count as wrong.
        CodeChanged: if this confirmation was tried with another code: that would be a second try.
    """
    row = row_of(one, CODE_TRIES)
    known = file.get(CODE_TRIES, confirmation_digest=one.confirmation_digest)
    if known is not None:
        if {**known, "wrong": 1} != {**row, "wrong": 1}:
            raise CodeChanged("the confirmation was tried with another code")
    elif wrong_tries(file, one.request_id) >= most:
        raise TriesExhausted("no try of the approval code is left")
    else:
        file.insert(CODE_TRIES, row)


def right_code(file: JournalFile, confirmation_digest: str) -> None:
    """Write down that a try was right: it counts no longer.

    Raises:
        JournalConflict: if it was not begun.
    """
    known = file.get(CODE_TRIES, confirmation_digest=confirmation_digest)
    if known is None:
        raise JournalConflict("the try was not begun")
    if known["wrong"]:
        file.update(CODE_TRIES, {**known, "wrong": 0})


def wrong_tries(file: JournalFile, request_id: str) -> int:
    """Tell how many tries of a request count as wrong."""
    tries = file.find(CODE_TRIES, "request_id = :request_id", request_id=request_id)
    return sum(int(one["wrong"]) for one in tries)
