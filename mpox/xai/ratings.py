"""Clinicians' answers: ratings of several people merged, their agreement, and how it goes with model and map."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from mpox.errors import UserError
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
from mpox.xai.questions import CANNOT_TELL, READINGS, SINGLE, Question
from mpox.xai.rating_files import COMMENT
from mpox.xai.rating_page import photo_code
from mpox.xai.second_reading import as_lines, changes

# Codes of answers that are none of the options.
MISSING, CANNOT = -1, -2
# Of the bootstrap of a rank correlation.
RESAMPLES = 500
# A correlation of fewer photos is noise.
FEWEST = 8
Report = dict[str, Any]


def merge(
    ratings: pd.DataFrame,
    questions: Sequence[Question],
    index: pd.DataFrame | None = None,
    scores: pd.DataFrame | None = None,
) -> Report:
    """Agreement a question and reading, changes from the first reading to the second, and answers against the model.

    `ratings` is of `rating_files.read_ratings`, `index` the table of the explained photos, `scores` a table of photo_id
    and one column a measure; where they are None those parts are left out. "Cannot tell" counts as missing everywhere,
    and how often it was given is stated. Answers that are not among a question's options raise UserError.
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
        "changes": {},
    }
    photos = None if index is None else index.assign(code=index["photo_id"].map(photo_code)).set_index("code")
    if photos is not None and not set(ratings["photo_id"]) <= set(photos.index):
        raise UserError("the ratings name photos that this run's explained photos lack: give the run of the page")
    if photos is not None and "blank" in photos and (ratings["reading"] != SINGLE).any():  # the single one asked anyway
        found["blank_maps"] = int(photos.loc[sorted(set(ratings["photo_id"])), "blank"].sum())
    for question in questions:
        coded = {
            reading: _codes(part, question)
            for reading in READINGS
            if len(part := ratings[(ratings["question"] == question.id) & (ratings["reading"] == reading)])
        }
        for reading, table in coded.items():
            entry = _agreement(table, question) | {"question": question.id, "reading": reading}
            if photos is not None:
                entry |= _against_correctness(table, question, photos)
                if scores is not None and question.scale == "ordinal":
                    entry["against_faithfulness"] = _against_scores(table, photos, scores)
            found["questions"][question.id if reading == SINGLE else f"{question.id} ({reading} reading)"] = entry
        if change := changes(coded, question, photos):
            found["changes"][question.id] = change
    comments = ratings[ratings["question"] == COMMENT]
    found["comments"] = comments[["rater", "photo_id", "reading", "answer"]].to_dict("records")
    return found


def _codes(ratings: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Photos x raters of option numbers, MISSING or CANNOT."""
    code = {option: k for k, option in enumerate(question.options)} | {CANNOT_TELL: CANNOT}
    if strange := sorted(set(ratings["answer"]) - set(code)):
        raise UserError(f"'{strange[0]}' is no answer to {question.id}: use the questions the page was made with")
    coded = ratings.assign(answer=ratings["answer"].map(code))
    return coded.pivot(index="photo_id", columns="rater", values="answer").fillna(MISSING).astype(int)


def _agreement(table: pd.DataFrame, question: Question) -> Report:
    cannot_tell = int((table == CANNOT).to_numpy().sum())
    codes = table.clip(lower=MISSING).to_numpy()
    both = codes[(codes >= 0).all(1)]
    same = float((both == both[:, :1]).all(1).mean()) if codes.shape[1] > 1 and len(both) else float("nan")
    given = np.bincount(codes[codes >= 0], minlength=len(question.options))
    return {
        "text": question.text,
        "scale": question.scale,
        "answers": dict(zip(question.options, map(int, given), strict=True)),
        "cannot_tell": cannot_tell,
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
    shares = {}
    for name, part in (("model_right", long[long["correct"]]), ("model_wrong", long[~long["correct"]])):
        counts = np.bincount(part.loc[part["code"] >= 0, "code"], minlength=len(question.options))
        shares[name] = {
            "ratings": int(counts.sum()),
            "cannot_tell": int((part["code"] == CANNOT).sum()),
            "answers": dict(zip(question.options, map(int, counts), strict=True)),
        }
    found: Report = {"against_correctness": shares}
    long = long[long["code"] >= 0]
    if set(photos["label"]) <= set(question.options):
        right = np.asarray(question.options)[long["code"]] == long["label"].to_numpy(str)
        found["raters_right"] = asdict(proportion(right, group_codes(long["group"].to_numpy(str)), CONFIDENCE))
    return found


def _against_scores(table: pd.DataFrame, photos: pd.DataFrame, scores: pd.DataFrame) -> Report:
    """Spearman's correlation of the photo's mean rating with each faithfulness score, interval over groups."""
    table = table[(table >= 0).any(axis=1)]
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
    raters = "; ".join(report["raters"])  # a name may hold a comma
    lines = [
        f"# Clinical review, page {report['page']}",
        "",
        "Research software. Not a medical device, not a diagnosis.",
        "",
        f"{report['photos']} photos, {len(report['raters'])} raters ({raters}).",
    ]
    if report.get("caution"):
        lines += ["", f"**{report['caution']}** The model's answers are of photos that it has learned."]
    if report.get("blank_maps"):
        lines += ["", f"The map of {report['blank_maps']} of these photos is blank: no question about it was asked."]
    for entry in report["questions"].values():
        lines += ["", f"## {entry['text']} (`{entry['question']}`, {entry['scale']}; {READINGS[entry['reading']]})", ""]
        answers = entry["answers"] | {CANNOT_TELL: entry["cannot_tell"]}
        lines.append("Answers: " + ", ".join(f"{option} {count}" for option, count in answers.items()) + ".")
        figures = [("all agree", entry["all_agree"]), ("Cohen's kappa", entry["cohen_kappa"])]
        figures += [("Fleiss' kappa", entry["fleiss_kappa"]), ("Krippendorff's alpha", entry["krippendorff_alpha"])]
        known = ", ".join(f"{what} {value:.3f}" for what, value in figures if value is not None)
        if known:
            lines += ["", f"Agreement over {entry['rated_by_all']} photos for which all chose an option: {known}."]
        if right := entry.get("raters_right"):
            lines += [
                "",
                f"Raters name the recorded class in {interval(Interval.read(right))} of the ratings that name one.",
            ]
        if shares := entry.get("against_correctness"):
            options = list(entry["answers"])
            lines += ["", "| | ratings | " + " | ".join([*options, CANNOT_TELL]) + " |"]
            lines.append("|---|---|" + "---|" * (len(options) + 1))
            for what, part in shares.items():
                cells = " | ".join(str(count) for count in (*part["answers"].values(), part["cannot_tell"]))
                lines.append(f"| {what.replace('_', ' ')} | {part['ratings']} | {cells} |")
        for measure, found in (entry.get("against_faithfulness") or {}).items():
            value = found["rank_correlation"]
            text = interval(Interval.read(value)) if value else "too few photos"
            lines += ["", f"Rank correlation with {measure} over {found['photos']} photos: {text}."]
    lines += as_lines(report["changes"])
    if report["comments"]:
        lines += ["", "## Comments", ""]
        for entry in report["comments"]:
            text = " ".join(entry["answer"].split())
            lines.append(f"- {entry['rater']}, photo {entry['photo_id']}, {READINGS[entry['reading']]}: {text}")
    return "\n".join([*lines, ""])
