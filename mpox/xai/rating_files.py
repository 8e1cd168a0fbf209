"""The CSV files that review pages export, read into one table."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mpox.data.csv_table import read_csv
from mpox.errors import UserError, reason_of
from mpox.xai.questions import CANNOT_TELL, READINGS, SINGLE, Question

COLUMNS = ("page", "rater", "photo_id", "reading", "question", "answer", "at", "locked_at")
# What files of before the two readings lack.
NEWER = ("reading", "locked_at")
COMMENT = "comment"


def read_ratings(paths: Sequence[Path]) -> pd.DataFrame:
    """Read CSV files exported by review pages into one table of COLUMNS, all str.

    Of repeated answers the last counts, but in a first reading those that were locked first: later ones may have been
    given with the map in mind. Files without the column reading are of the `single` reading. Raises UserError for no
    file, one that is no export, a row without a rater or of an unknown reading, or files of different pages.
    """
    if not paths:
        raise UserError("no ratings: give ratings=<folder of CSV files> or ratings=[a.csv,b.csv]")
    ratings = pd.concat([_table(path) for path in paths], ignore_index=True)
    if ratings.empty:
        raise UserError(f"{paths[0]} and the other files hold no rating: answer something before exporting")
    if ratings["page"].nunique() > 1:
        pages = ", ".join(sorted(ratings["page"].unique()))
        raise UserError(f"the ratings are of different pages ({pages}): merge those of one page at a time")
    locked = ratings["locked_at"] != ""
    # The one to be kept comes last.
    ratings = pd.concat(
        [
            ratings[~locked].sort_values("at", kind="stable"),
            ratings[locked].sort_values("locked_at", kind="stable", ascending=False),
        ]
    )
    return ratings.drop_duplicates(["rater", "photo_id", "reading", "question"], keep="last", ignore_index=True)


def _table(path: Path) -> pd.DataFrame:
    try:
        table = read_csv(path, COLUMNS)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason_of(error)}): give the file that the page exported") from error
    if lacking := [name for name in COLUMNS if name not in table and name not in NEWER]:
        raise UserError(f"{path} lacks the columns {', '.join(lacking)}: give files exported by a review page")
    table = table.reindex(columns=list(COLUMNS), fill_value="")
    table["rater"] = table["rater"].map(rater_name)
    table["reading"] = table["reading"].replace("", SINGLE)
    known = f"no reading of {', '.join(READINGS)}"
    for wrong, what in ((table["rater"] == "", "no rater"), (~table["reading"].isin(READINGS), known)):
        if wrong.any():
            raise UserError(f"{path}, line {table.index[wrong][0]}: {what}: give the file as the page exported it")
    return table


def rater_name(name: str) -> str:
    """One spelling of a person's name, in any script: composed letters (NFC), single spaces; as the page has it."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def questions_of(ratings: pd.DataFrame) -> list[Question]:
    """Take questions and options from the ratings themselves, where the page is not at hand: all nominal."""
    given = ratings[ratings["question"] != COMMENT].groupby("question")["answer"].unique()
    return [
        Question(str(name), str(name), tuple(sorted(set(answers) - {CANNOT_TELL})), "nominal")
        for name, answers in given.items()
    ]
