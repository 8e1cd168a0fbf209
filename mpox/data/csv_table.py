"""Reading the CSV files that people make: what spreadsheet programs write; else an error with the format to save."""

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mpox.errors import UserError

# Separators: commas, what Excel writes where the comma is the decimal sign, tabs, and rarer ones.
SEPARATORS = (",", ";", "\t", "|")
_MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
AS_UTF8 = "save it as CSV in UTF-8 (in Excel: 'CSV UTF-8')"


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file whose first line names `columns` (and maybe others): all text, no missing values.

    UTF-8, or UTF-16 as Excel's "Unicode text" has it; separated by commas, semicolons, tabs or bars, found
    from the first line; names in any case; empty rows and columns are left out. The index holds the rows' line numbers.
    Raises UserError, naming the file and the line, for another encoding, a row with more fields than names, and an
    empty file; OSError for a missing file. The caller checks which columns must be there.
    """
    lines = _text(path)
    if lines[:4].lower() == "sep=":  # Excel's own note to itself
        lines = lines.partition("\n")[2]
    rows = _rows(path, lines, _separator(lines, columns))
    if not rows:
        raise UserError(f"{path} is empty: give a CSV file whose first line names its columns")
    known = {name.casefold(): name for name in columns}
    names = [known.get(name.strip().casefold(), name.strip()) for name in rows[0][1]]
    for number, row in rows[1:]:
        if len(row) > len(names) and any(field.strip() for field in row[len(names) :]):
            raise UserError(
                f"{path}, line {number}: {len(row)} fields under {len(names)} names: put quotes around a field that "
                "holds the separator"
            )
    fields = [(row + [""] * len(names))[: len(names)] for _, row in rows[1:]]
    frame = pd.DataFrame(fields, [number for number, _ in rows[1:]], range(len(names)), dtype=str)
    used = [k for k, name in enumerate(names) if name or (frame[k] != "").any()]
    if repeated := sorted({names[k] for k in used if names.count(names[k]) > 1}):
        raise UserError(f"{path} names the column '{repeated[0]}' twice: keep one of them")
    return frame[used].set_axis([names[k] for k in used], axis=1)


def _text(path: Path) -> str:
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKED if content.startswith(mark)), None)
    if encoding is None and b"\0" in content:
        # Without a mark, letters of two bytes: most of them ASCII, whose other byte is zero.
        encoding = "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {number} is not UTF-8, and which encoding it is cannot be known: {AS_UTF8}"
        ) from error


def _separator(text: str, columns: Sequence[str]) -> str:
    """The separator by which the first line has most of the columns; the comma where none does."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    wanted = {name.casefold() for name in columns}

    def found(separator: str) -> int:
        return len(
            wanted & {name.strip().casefold() for row in csv.reader([first], delimiter=separator) for name in row}
        )

    return max(SEPARATORS, key=found)


def _rows(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its last line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: cannot be read as CSV ({error}): {AS_UTF8}") from error
