"""From a CSV file to a frame and a list of everything wrong with it, with exact line numbers.

Nothing here raises for bad content: a file beyond reading gives an empty frame and the defect that says why.
"""

import csv
import datetime
import gzip
import io
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.market.defects import DatasetError, Defect
from llmrl_lib.market.doubts import column_meant
from llmrl_lib.market.tables import Table
from llmrl_lib.market.validation import row_defects

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_BLANK = frozenset({"", "NaN", "nan", "NA"})  # a missing number

Refuse = Callable[[int | None, str, str, str], None]  # line, kind, what, remedy


@dataclass(frozen=True)
class Reading:
    """A table as it was read, and its defects, refused and tolerated, in the order of their lines."""

    frame: pd.DataFrame
    defects: tuple[Defect, ...] = ()
    file: str = ""
    lines: tuple[int, ...] = ()  # of each row of the frame
    columns: tuple[str, ...] = ()  # of the format that the file has; without a file: nothing is known, all count

    def cells(self, table: Table) -> pd.DataFrame:
        """The cells that count as there or missing: those of ``table.counted`` that the file has a column for."""
        return self.frame[
            [name for name in table.counted if name in (self.columns or self.frame) and name in self.frame]
        ]

    @property
    def refused(self) -> tuple[Defect, ...]:
        """The defects that forbid using the frame."""
        return tuple(defect for defect in self.defects if not defect.tolerated)


@dataclass(frozen=True)
class _Cells:
    header: list[str]
    rows: list[list[str]]
    lines: list[int]  # of each row's first character


def read_table(folder: Path, table: Table, ticker: str | None = None) -> Reading:
    """Read ``<table>.csv`` or ``<table>/<ticker>.csv`` (either may end in ``.csv.gz``) below ``folder``.

    A table without a file is an empty frame with the right columns; blank cells stay missing (NaN, NaT).
    """
    stem = table.name if ticker is None else f"{table.name}/{ticker}"
    files = [name for name in (f"{stem}.csv", f"{stem}.csv.gz") if (folder / name).is_file()]
    if not files:
        return Reading(table.empty())
    defects: list[Defect] = []
    refuse: Refuse = partial(_refuse, defects, files[0])
    if len(files) > 1:
        refuse(None, "two files", f"there is {files[1]} too", "keep one of the two")
        return Reading(table.empty(), tuple(defects), files[0])
    try:
        cells = _split(_text(folder / files[0], files[0]), files[0], table)
        columns = _columns(cells.header, files[0], table, defects)
        if not cells.rows and not table.optional_rows:
            raise DatasetError([Defect(files[0], 1, "header only", "no row below the header", "add the rows")])
    except DatasetError as error:
        return Reading(table.empty(), error.defects, files[0])
    frame, lines = _frame(cells, columns, table, refuse)
    defects.extend(row_defects(frame, lines, files[0], table))
    defects.sort(key=lambda defect: defect.line or 0)
    return Reading(
        frame.set_index("date") if table.is_daily else frame, tuple(defects), files[0], tuple(lines), tuple(columns)
    )


def _refuse(defects: list[Defect], file: str, line: int | None, kind: str, what: str, remedy: str) -> None:
    defects.append(Defect(file, line, kind, what, remedy))


def _text(path: Path, file: str) -> str:
    """The decoded content of a file; a byte order mark at its start is accepted and dropped."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DatasetError(
                [Defect(file, None, "not gzip", f"not a whole gzip file ({error})", "compress the table again")]
            ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise DatasetError([Defect(file, line, "encoding", what, "save the file with UTF-8 encoding")]) from error


def _split(text: str, file: str, table: Table) -> _Cells:
    """Header, rows and line numbers; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        remedy = 'close every quoted text with one " and double the quotes inside it'
        raise DatasetError([Defect(file, line, "quoting", f"cannot be split into cells ({error})", remedy)]) from error
    if not rows:
        expected = ",".join((*table.dates, *table.required))
        remedy = f"write a header with at least {expected}, and a row per line below it"
        raise DatasetError([Defect(file, 1, "empty file", "the file is empty", remedy)])
    return _Cells(rows[0], rows[1:], lines[1:])


def _columns(header: list[str], file: str, table: Table, defects: list[Defect]) -> dict[str, int]:
    """Where each column of the format stands in the file; raises DatasetError if one is missing or stands twice."""
    twice = sorted({name for name in header if header.count(name) > 1 and name in table.columns})
    if twice:
        what = f"column {', '.join(twice)} stands twice"
        raise DatasetError([Defect(file, 1, "column twice", what, "keep one of them")])
    missing = [name for name in (*table.dates, *table.required) if name not in header]
    if missing:
        what = f"column {', '.join(missing)} missing, found {', '.join(header)}"
        raise DatasetError([Defect(file, 1, "missing column", what, _column_remedy(header, missing))])
    unknown = [name for name in header if name not in table.columns]
    if unknown:
        what = f"column {', '.join(unknown)} is not part of the format"
        defects.append(Defect(file, 1, "unknown column", what, f"it is ignored{_meant(unknown, header, table)}", True))
    values = [*table.numbers, *table.texts]
    if not any(name in header for name in values):
        what = f"none of the table's columns is there ({', '.join(values[:6])}{', ...' * (len(values) > 6)})"
        defects.append(
            Defect(file, 1, "no column", what, "name the columns so; as it is, the table says nothing", True)
        )
    return {name: header.index(name) for name in table.columns if name in header}


def _meant(unknown: Sequence[str], header: Sequence[str], table: Table) -> str:
    """Which columns of the format those that are not part of it may have been meant for."""
    free = [name for name in table.columns if name not in header]
    guesses = {name: meant for name in unknown if (meant := column_meant(name, free))}
    return "".join(f"; did you mean {meant} by {name}?" for name, meant in guesses.items())


def _column_remedy(header: list[str], missing: list[str]) -> str:
    if any(mark in header[0] for mark in ";\t|"):
        return "separate the columns by commas"
    other_case = [name for name in header if name not in missing and name.lower() in missing]
    if other_case:
        return f"write {', '.join(other_case)} in lower case"
    return "add or rename the columns"


def _frame(cells: _Cells, columns: dict[str, int], table: Table, refuse: Refuse) -> tuple[pd.DataFrame, list[int]]:
    """The typed frame and the line of each of its rows; rows of the wrong length are reported and left out."""
    width = len(cells.header)
    rows: list[list[str]] = []
    lines: list[int] = []
    for row, line in zip(cells.rows, cells.lines, strict=True):
        if len(row) == width:
            rows.append(row)
            lines.append(line)
        else:
            what = f"{len(row)} cell{'s' * (len(row) != 1)} where the header has {width}"
            refuse(line, "row length", what, "one cell per column; quote texts that hold a comma")
    data = {}
    for name in table.columns:
        if name not in columns:
            if name not in table.hidden:
                data[name] = pd.Series([None] * len(rows), dtype=table.dtype(name))
            continue
        texts = [row[columns[name]] for row in rows]
        if name in table.dates:
            data[name] = pd.Series(_dates(texts, lines, name, refuse))
        elif name in table.numbers:
            data[name] = pd.Series(_numbers(texts, lines, name, name in table.filled, refuse))
        else:
            data[name] = pd.Series(_texts(texts, lines, name, name in table.filled, refuse), dtype="str")
    return pd.DataFrame(data), lines


def _dates(texts: Sequence[str], lines: Sequence[int], column: str, refuse: Refuse) -> np.ndarray:
    """Dates at microsecond resolution, pandas' own; NaT where a cell is no date."""
    dates = np.full(len(texts), np.datetime64("NaT"), dtype="datetime64[us]")
    for row, text in enumerate(texts):
        try:
            if not _DATE.fullmatch(text):
                raise ValueError(text)
            dates[row] = np.datetime64(datetime.date.fromisoformat(text))
        except ValueError:
            what = f"{column} {text!r} is not a date" if text else f"{column} is missing"
            refuse(lines[row], "date", what, "write YYYY-MM-DD, for example 2012-01-03")
    return dates


def _numbers(texts: Sequence[str], lines: Sequence[int], column: str, filled: bool, refuse: Refuse) -> np.ndarray:
    """Numbers as float64, each the nearest to its text; NaN where a cell is blank or no number."""
    numbers = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if _NUMBER.fullmatch(text) and abs(number := float(text)) != np.inf:
            numbers[row] = number
        elif text in _BLANK:
            if filled:
                refuse(lines[row], "missing value", f"{column} is missing", "fill in the value or delete the row")
        elif _NUMBER.fullmatch(text) or _INFINITE.fullmatch(text):
            refuse(lines[row], "infinite value", f"{column} {text!r} is infinite", "write the value or delete the row")
        else:
            remedy = "write plain digits with a decimal point, no unit, no thousands separator"
            refuse(lines[row], "not a number", f"{column} {text!r} is not a number", remedy)
    return numbers


def _texts(texts: Sequence[str], lines: Sequence[int], column: str, filled: bool, refuse: Refuse) -> list[str | None]:
    """Texts; None where a cell is blank."""
    for row, text in enumerate(texts):
        if filled and not text:
            refuse(lines[row], "missing value", f"{column} is missing", "fill it in or delete the row")
    return [text or None for text in texts]
