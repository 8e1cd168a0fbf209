"""What clinicians said: ratings of several people merged, their agreement, and how it goes with model and map."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpox.data.csv_table import read_csv
from mpox.errors import UserError, reason_of
from mpox.stats.intervals import (
    CONFIDENCE,
    Interval,
    group_codes,
    percentile_interval,
    proportion,
    resampling_weights,
)
from mpox.stats.printed import interval
from mpox.xai.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from mpox.xai.map_similarity import rank_correlation
from mpox.xai.rating_page import Question, photo_code

COLUMNS = ("page", "rater", "photo_id", "question", "answer", "at")
COMMENT = "comment"
# Of the bootstrap of a rank correlation.
RESAMPLES = 500
# A correlation of fewer photos is noise.
FEWEST = 8
Report = dict[str, Any]


def read_ratings(paths: Sequence[Path]) -> pd.DataFrame:
    """Read CSV files exported by review pages into one table of COLUMNS, all str; of repeated answers the last counts.

    Raises UserError for no file, one that is no export, or files of different pages.
    """
    if not paths:
        raise UserError("no ratings: give ratings=<folder of CSV files> or ratings=[a.csv,b.csv]")
    tables = []
    for path in paths:
        try:
            table = read_csv(path, COLUMNS)
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({reason_of(error)}): give the file that the page exported"
            ) from error
        if lacking := [name for name in COLUMNS if name not in table]:
            raise UserError(f"{path} lacks the columns {', '.join(lacking)}: give files exported by a review page")
        tables.append(table[list(COLUMNS)])
    ratings = pd.concat(tables, ignore_index=True)
    if ratings.empty:
        raise UserError(f"{paths[0]} and the other files hold no rating: answer something before exporting")
    if ratings["page"].nunique() > 1:
        pages = ", ".join(sorted(ratings["page"].unique()))
        raise UserError(f"the ratings are of different pages ({pages}): merge those of one page at a time")
    ratings = ratings.sort_values("at", kind="stable")
    return ratings.drop_duplicates(["rater", "photo_id", "question"], keep="last", ignore_index=True)


def questions_of(ratings: pd.DataFrame) -> list[Question]:
    """Take questions and options from the ratings themselves, where the page is not at hand: all nominal."""
    given = ratings[ratings["question"] != COMMENT].groupby("question")["answer"].unique()
    return [Question(str(name), str(name), tuple(sorted(answers)), "nominal") for name, answers in given.items()]


def merge(
    ratings: pd.DataFrame,
    questions: Sequence[Question],
    index: pd.DataFrame | None = None,
    scores: pd.DataFrame | None = None,
) -> Report:
    """Agreement a question, and answers against correctness and faithfulness.

    `index` is the table of the explained photos, `scores` a table of photo_id and one column a measure; where they are
    None those parts are left out. Answers that are not among a question's options raise UserError.
    """
    asked = {question.id: question for question in questions}
    if unknown := sorted(set(ratings["question"]) - set(asked) - {COMMENT}):
        raise UserError(
            f"the ratings answer '{unknown[0]}', which review.questions lacks: use the page's own questions"
        )
    found: Report = {
        "page": ratings["page"].iloc[0],
        "raters": sorted(ratings["rater"].unique()),
        "photos": int(ratings["photo_id"].nunique()),
        "questions": {},
    }
    photos = None if index is None else index.assign(code=index["photo_id"].map(photo_code)).set_index("code")
    if photos is not None and not set(ratings["photo_id"]) <= set(photos.index):
        raise UserError("the ratings name photos that this run's explained photos lack: give the run of the page")
    for question in questions:
        mine = ratings[ratings["question"] == question.id]
        if mine.empty:
            continue
        table = _codes(mine, question)
        entry = _agreement(table, question)
        if photos is not None:
            entry |= _against_correctness(table, question, photos)
            if scores is not None and question.scale == "ordinal":
                entry["against_faithfulness"] = _against_scores(table, photos, scores)
        found["questions"][question.id] = entry
    comments = ratings[ratings["question"] == COMMENT]
    found["comments"] = comments[["rater", "photo_id", "answer"]].to_dict("records")
    return found


def _codes(ratings: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Photos x raters of option numbers, -1 where missing."""
    code = {option: k for k, option in enumerate(question.options)}
    if strange := sorted(set(ratings["answer"]) - set(code)):
        raise UserError(f"'{strange[0]}' is no answer to {question.id}: use the questions the page was made with")
    coded = ratings.assign(answer=ratings["answer"].map(code))
    return coded.pivot(index="photo_id", columns="rater", values="answer").fillna(-1).astype(int)


def _agreement(table: pd.DataFrame, question: Question) -> Report:
    codes = table.to_numpy()
    both = codes[(codes >= 0).all(1)]
    same = float((both == both[:, :1]).all(1).mean()) if codes.shape[1] > 1 and len(both) else float("nan")
    given = np.bincount(codes[codes >= 0], minlength=len(question.options))
    return {
        "text": question.text,
        "scale": question.scale,
        "answers": dict(zip(question.options, map(int, given), strict=True)),
        "rated_by_all": len(both),
        "all_agree": _number(same),
        "cohen_kappa": _number(cohen_kappa(codes, question.scale)) if codes.shape[1] == 2 else None,
        "fleiss_kappa": _number(fleiss_kappa(codes)) if codes.shape[1] > 2 else None,
        "krippendorff_alpha": _number(krippendorff_alpha(codes, question.scale)) if codes.shape[1] > 1 else None,
    }


def _against_correctness(table: pd.DataFrame, question: Question, photos: pd.DataFrame) -> Report:
    """How often each option was given where the model was right and where it was wrong; human accuracy on classes."""
    matched = photos.loc[table.index]
    long = pd.DataFrame(
        {
            "code": table.to_numpy().ravel(),
            "correct": np.repeat(matched["correct"].to_numpy(bool), table.shape[1]),
            "label": np.repeat(matched["label"].to_numpy(str), table.shape[1]),
            "group": np.repeat(matched["group"].to_numpy(str), table.shape[1]),
        }
    )
    long = long[long["code"] >= 0]
    shares = {}
    for name, part in (("model_right", long[long["correct"]]), ("model_wrong", long[~long["correct"]])):
        counts = np.bincount(part["code"], minlength=len(question.options))
        shares[name] = {
            "ratings": int(counts.sum()),
            "answers": dict(zip(question.options, map(int, counts), strict=True)),
        }
    found: Report = {"against_correctness": shares}
    if set(photos["label"]) <= set(question.options):
        right = np.asarray(question.options)[long["code"]] == long["label"].to_numpy(str)
        found["raters_right"] = asdict(proportion(right, group_codes(long["group"].to_numpy(str)), CONFIDENCE))
    return found


def _against_scores(table: pd.DataFrame, photos: pd.DataFrame, scores: pd.DataFrame) -> Report:
    """Spearman's correlation of the photo's mean rating with each faithfulness score, interval over groups."""
    codes = table.to_numpy().astype(float)
    given = codes >= 0
    rating = np.where(given, codes, 0).sum(1) / given.sum(1)
    joined = photos.loc[table.index, ["photo_id", "group"]].assign(rating=rating).merge(scores, on="photo_id")
    found: Report = {}
    for measure in [name for name in scores.columns if name != "photo_id"]:
        part = joined[joined[measure].notna()]
        if len(part) < FEWEST:
            found[measure] = {"photos": len(part), "rank_correlation": None}
            continue
        pair = part[["rating", measure]].to_numpy(float)
        weights = resampling_weights(group_codes(part["group"].to_numpy(str)), RESAMPLES, seed=0)
        draws = np.array([_spearman(np.repeat(pair, row.astype(int), axis=0)) for row in weights])
        correlation = percentile_interval(_spearman(pair), draws, len(part), CONFIDENCE)
        found[measure] = {"photos": len(part), "rank_correlation": asdict(correlation)}
    return found


def _spearman(pair: np.ndarray) -> float:
    return float(rank_correlation(pair[None, :, 0], pair[None, :, 1])[0])


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def as_markdown(report: Report) -> str:
    """Write a `merge` report to be read."""
    raters = ", ".join(report["raters"])
    lines = [
        f"# Clinical review, page {report['page']}",
        "",
        "Research software. Not a medical device, not a diagnosis.",
        "",
        f"{report['photos']} photos, {len(report['raters'])} raters ({raters}).",
    ]
    for name, entry in report["questions"].items():
        lines += ["", f"## {entry['text']} (`{name}`, {entry['scale']})", ""]
        lines.append("Answers: " + ", ".join(f"{option} {count}" for option, count in entry["answers"].items()) + ".")
        figures = [("all agree", entry["all_agree"]), ("Cohen's kappa", entry["cohen_kappa"])]
        figures += [("Fleiss' kappa", entry["fleiss_kappa"]), ("Krippendorff's alpha", entry["krippendorff_alpha"])]
        known = ", ".join(f"{what} {value:.3f}" for what, value in figures if value is not None)
        if known:
            lines += ["", f"Agreement over {entry['rated_by_all']} photos rated by all: {known}."]
        if right := entry.get("raters_right"):
            lines += ["", f"Raters name the recorded class in {interval(Interval.read(right))} of ratings."]
        if shares := entry.get("against_correctness"):
            options = list(entry["answers"])
            lines += ["", "| | ratings | " + " | ".join(options) + " |", "|---|---|" + "---|" * len(options)]
            for what, part in shares.items():
                cells = " | ".join(str(part["answers"][option]) for option in options)
                lines.append(f"| {what.replace('_', ' ')} | {part['ratings']} | {cells} |")
        for measure, found in (entry.get("against_faithfulness") or {}).items():
            value = found["rank_correlation"]
            text = interval(Interval.read(value)) if value else "too few photos"
            lines += ["", f"Rank correlation with {measure} over {found['photos']} photos: {text}."]
    if report["comments"]:
        lines += ["", "## Comments", ""]
        lines += [f"- {entry['rater']}, photo {entry['photo_id']}: {entry['answer']}" for entry in report["comments"]]
    return "\n".join([*lines, ""])
