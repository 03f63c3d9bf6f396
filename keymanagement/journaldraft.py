"""A draft of rows: read and changed within one transaction, written together or not at all."""

from keymanagement.journalfile import JournalFile, Row, Table

_Place = tuple[str, tuple[object, ...]]


class JournalDraft:
    """Rows by primary key over a journal's file; use it within one transaction.

    What is put is what is got from then on. Nothing reaches the file before `write`, which counts
    each table once, however many rows are new: a table may be large.
    """

    def __init__(self, file: JournalFile) -> None:
        """Start with what the file holds."""
        self._file = file
        self._stored: dict[_Place, Row | None] = {}
        self._drafted: dict[_Place, tuple[Table, Row]] = {}

    def get(self, table: Table, **key: object) -> Row | None:
        """Return the row of a primary key as it stands in this draft, or None.

        Raises:
            JournalCorrupt: if its MAC in the file is wrong.
        """
        place = (table.name, tuple(key[name] for name in table.key))
        if place in self._drafted:
            return self._drafted[place][1]
        if place not in self._stored:
            self._stored[place] = self._file.get(table, **key)
        return self._stored[place]

    def put(self, table: Table, row: Row) -> None:
        """Add a row, or replace the one of the same primary key."""
        key = {name: row[name] for name in table.key}
        self.get(table, **key)
        self._drafted[table.name, tuple(key.values())] = (table, row)

    def write(self) -> None:
        """Write every row that was put.

        Raises:
            JournalCorrupt: if rows of a table were added or deleted from outside.
        """
        fresh: dict[str, tuple[Table, list[Row]]] = {}
        for place, (table, row) in self._drafted.items():
            if self._stored[place] is None:
                fresh.setdefault(table.name, (table, []))[1].append(row)
            elif self._stored[place] != row:
                self._file.update(table, row)
        for table, rows in fresh.values():
            self._file.insert_all(table, rows)
