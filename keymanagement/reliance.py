"""The registry entries that releases relied on: an old registry put back grants nothing.

For each entry the journal keeps the highest `seq` ever relied on (design, section 3, Trust).
"""

from keymanagement.journalerrors import EntryForked, EntryRolledBack
from keymanagement.journalfile import JournalFile
from keymanagement.journalrows import ENTRIES, Reliance, row_of


def rely_on(file: JournalFile, entry: Reliance) -> None:
    """Remember one entry, within the caller's transaction.

    Raises:
        EntryRolledBack: if a higher `seq` was relied on before.
        EntryForked: if another entry of the same `seq` was.
    """
    row = row_of(entry, ENTRIES)
    known = file.get(ENTRIES, kind=entry.kind, name=entry.name)
    if known is None:
        file.insert(ENTRIES, row)
    elif entry.seq < known["seq"]:
        raise EntryRolledBack("a newer entry was relied on before")
    elif entry.seq > known["seq"]:
        file.update(ENTRIES, row)
    elif row != known:
        raise EntryForked("another entry of the same seq was relied on before")
