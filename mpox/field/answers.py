"""Cases that a clinic answered: `answers.csv` of `mpox.clinic export` (docs/reference/referral.md), checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mpox.console import from_cell
from mpox.data.csv_table import read_csv
from mpox.errors import UserError, reason_of
from mpox.field.counts import CANNOT_TELL, OTHER
from mpox.stats.decision import OUTCOMES

NAME = "answers.csv"
# A class's column is CHANCE and its name.
CHANCE = "p_"
# Columns that are read here, of those that the clinic writes.
COLUMNS = ("id", "final", "outcome", "threshold", "study", "model_sha256")
# Columns that neither a manifest nor decisions have, which lie beside the answers.
_MARKS = frozenset({"final", "outcome", "model_sha256"})
_AGAIN = "correct it, or export the answers again"


@dataclass(frozen=True)
class Answer:
    """A case that a clinician answered, and what the app had said of it.

    `id` is the referral's; `sha256` names the export that answered; `chances` are probabilities (0..1) by class;
    `final` is a class, OTHER or CANNOT_TELL.
    """

    id: str
    study: str
    sha256: str
    outcome: str
    threshold: float | None
    chances: Mapping[str, float]
    final: str


def read_table(file: Path) -> pd.DataFrame:
    """Read a table: all text without spaces around it, the index the rows' lines. Raises UserError for no table."""
    try:
        return read_csv(file, COLUMNS).apply(lambda column: column.str.strip())
    except OSError as error:
        raise UserError(f"{file} cannot be read ({reason_of(error)}): give the clinic's {NAME}") from error


def is_answers(file: Path, table: pd.DataFrame) -> bool:
    """Return whether a table of a folder is meant to be a clinic's answers, in order or not."""
    return file.name.casefold() == NAME or bool(_MARKS & set(table))


def answers_of(file: Path, table: pd.DataFrame) -> list[Answer]:
    """Return the cases of a table.

    Raises UserError, naming file and line, for a missing column, no case, an outcome or a final answer that there is
    not, a probability that is none, and a case that is there twice.
    """
    if missing := [column for column in COLUMNS if column not in table]:
        raise UserError(
            f"{file} is neither a clinic's {NAME} (it has no column '{missing[0]}') nor a file of a phone's counts: "
            "give what mpox.clinic export or the app wrote"
        )
    if not len(table):
        raise UserError(f"{file} holds no answered case: {_AGAIN}")
    found: dict[str, Answer] = {}
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            one = _answer({str(name): str(value) for name, value in row.items()})
            if one.id in found:
                raise ValueError(f"case {one.id} is there a second time")
        except ValueError as error:
            raise UserError(f"{file}, line {line}: {error}: {_AGAIN}") from error
        found[one.id] = one
    return list(found.values())


def _answer(row: Mapping[str, str]) -> Answer:
    number, outcome, final = row["id"], row["outcome"], row["final"]
    if not number:
        raise ValueError("there is no id")
    if outcome not in OUTCOMES:
        raise ValueError(f"'{outcome}' is no outcome of the app ({', '.join(OUTCOMES)})")
    # An inbox may hold answers of several models: a class that a row's model does not have is empty there.
    chances = {name.removeprefix(CHANCE): _share(name, value)
               for name, value in row.items() if name.startswith(CHANCE) and value}  # fmt: skip
    if len(chances) < 2:
        raise ValueError(f"it gives no probabilities of classes (columns {CHANCE}…)")
    if final not in (*chances, OTHER, CANNOT_TELL):
        raise ValueError(f"the final answer '{final}' is none of {', '.join(chances)}, {OTHER} and {CANNOT_TELL}")
    limit = row["threshold"]
    threshold = _share("threshold", limit) if limit else None
    return Answer(number, from_cell(row["study"]), row["model_sha256"], outcome, threshold, chances, final)


def _share(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is '{text}', which is no number from 0 to 1")
    return value
