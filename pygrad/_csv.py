"""CSV files of numbers, read row by row, with errors that name file, line and column.

UTF-8, with or without a byte order mark; Python's csv module does the splitting. One row is held at a time. What a
column means is not known here.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class DataError(Exception):
    """Something in the user's file is not as it must be. The text says where."""


class Row(NamedTuple):
    """A record of the file."""

    line: int
    """The number of its first line, from 1."""
    cells: list[str]


class CsvFile:
    """A CSV file that is open for reading: its columns, and its rows, once.

    path: of the file. delimiter: one character. header: whether its first line has the names of the columns; without,
    they are called '1', '2', ...

    Raises OSError if it cannot be opened, DataError for a file without rows, or two columns of one name.
    """

    def __init__(self, path: str, delimiter: str = ",", header: bool = True) -> None:
        self.path, self.header = path, header
        self._file = open(path, "rb")  # noqa: SIM115  # closed by close()
        self._reader = csv.reader(self._lines(), delimiter=delimiter, strict=True)
        self._waiting: Row | None = None
        try:
            first = self._next()
            if first is None:
                raise DataError(f"{path}: the file is empty")
            self.first_line = first.line
            if header:
                self.columns = [name.strip() for name in first.cells]
                self._check_names(first.line)
            else:
                self.columns = [str(i + 1) for i in range(len(first.cells))]
                self._waiting = first
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file. Closing it again does nothing."""
        self._file.close()

    def _check_names(self, line: int) -> None:
        for i, name in enumerate(self.columns):
            if not name:
                raise DataError(f"{self.path}, line {line}, column {i + 1}: the column has no name")
            if name in self.columns[:i]:
                raise DataError(
                    f"{self.path}, line {line}, column {i + 1}: a second column is called {name!r} (the first is "
                    f"column {self.columns.index(name) + 1})"
                )

    def _lines(self) -> Iterator[str]:
        for i, raw in enumerate(self._file):
            try:
                yield raw.decode("utf-8-sig" if i == 0 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self.path}, line {i + 1}: byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8"
                ) from None

    def _next(self) -> Row | None:
        """The next record that is not an empty line; None at the end."""
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                raise DataError(f"{self.path}, line {line}: {error}") from None
            if cells is None:
                return None
            if cells:
                return Row(line, cells)

    def __iter__(self) -> Iterator[Row]:
        """The rows. Raises DataError for one that has not as many cells as there are columns."""
        while True:
            row, self._waiting = self._waiting or self._next(), None
            if row is None:
                return
            if len(row.cells) != len(self.columns):
                count = f"{len(row.cells)} cell{'s' if len(row.cells) != 1 else ''}"
                raise DataError(
                    f"{self.path}, line {row.line}: {count}, but there are {len(self.columns)} columns"
                )
            yield row

    # ---- columns ----

    def index(self, name: str, what: str) -> int:
        """The index of a column given by its name, or else by its number from 1 (-1 is the last).

        Raises DataError naming the columns there are.
        """
        if name in self.columns:
            return self.columns.index(name)
        try:
            number = int(name)
        except ValueError:
            number = 0
        if 1 <= number <= len(self.columns):
            return number - 1
        if -len(self.columns) <= number <= -1:
            return number + len(self.columns)
        raise self.missing(name, what)

    def missing(self, name: str, what: str) -> DataError:
        """The error for a column that there is not."""
        known = ", ".join(map(repr, self.columns[:20])) + (", ..." if len(self.columns) > 20 else "")
        error = f"{self.path}, line {self.first_line}: no column {name!r} ({what}); the columns are {known}"
        if len(self.columns) == 1:
            for other, called in ((",", "','"), (";", "';'"), ("\t", "tab"), ("|", "'|'")):
                if other in self.columns[0]:
                    return DataError(f"{error}. Is it delimited by {called}? See --delimiter")
        return DataError(error)

    def where(self, line: int, column: int) -> str:
        """'data.csv, line 3, column 2 (age)'."""
        name = self.columns[column]
        named = "" if name == str(column + 1) else f" ({name})"
        return f"{self.path}, line {line}, column {column + 1}{named}"

    def numbers(self, row: Row, columns: Sequence[int]) -> list[float]:
        """Cells of a row as floats. Raises DataError for one that is empty, text, nan or infinite."""
        numbers = []
        for i in columns:
            number = as_number(row.cells[i])
            if number is None:
                raise self.no_number(row, i)
            numbers.append(number)
        return numbers

    def no_number(self, row: Row, column: int) -> DataError:
        """The error for a cell that is no number."""
        cell = row.cells[column].strip()
        what = f"{cell!r} is not a finite number" if cell else "the cell is empty, where a number is needed"
        return DataError(f"{self.where(row.line, column)}: {what}")


def as_number(cell: str) -> float | None:
    """The finite number that a cell holds, or None."""
    if "_" in cell:
        return None  # Python's 1_000
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def delimiter(text: str) -> str:
    """The delimiter that is meant: one character, or 'tab'. Raises ValueError for anything else."""
    named = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}.get(text, text)
    if len(named) != 1 or named in '"\r\n\0':
        raise ValueError(f"must be one character, or 'tab', not {text!r}")
    return named
