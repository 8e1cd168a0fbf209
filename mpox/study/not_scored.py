"""Which networks of a study are missing from a score of them, in words: a job that failed leaves none."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mpox.data.folds import ALL
from mpox.errors import UserError
from mpox.files import read_json, read_record
from mpox.runs.run_state import fold_of
from mpox.study.completeness import FIXES

# Of the reason that a job failed, so many letters are shown.
LENGTH = 100


def not_scored(study: Path, scored: Mapping[str, Sequence[Path]], models: Sequence[str] | None) -> list[str]:
    """Return a line for the models (of all, or of those named) whose networks are not all among the `scored` runs.

    It names folds, why they are missing, and what to do; models of which the same is to be said share a line. Folds
    that no job has begun are known from the study's splits; the network of every photo is missed where one was begun.
    """
    places = [place for place in sorted(study.glob("*/fold-*")) if fold_of(place) is not None]
    lines: dict[str, list[str]] = {}
    for model in sorted({place.parent.name for place in places}):
        if models is not None and model not in models:
            continue
        there = {place.name for place in scored.get(model, ())}
        begun = {place.name for place in places if place.parent.name == model}
        groups: dict[tuple[str, str], list[str]] = {}
        for name in sorted({*begun, *_folds(study)} - there, key=lambda name: (len(name), name)):
            groups.setdefault(_state(study / model / name), []).append(name)
        if groups:
            lines.setdefault(_in_words(groups, bool(there - {f"fold-{ALL}"})), []).append(model)
    return [f"{', '.join(names)}: {words}" for words, names in lines.items()]


def _folds(study: Path) -> list[str]:
    splits = study / "splits.json"
    try:
        count = len(read_record(splits, folds=list)["folds"]) if splits.is_file() else 0
    except UserError:  # nothing that is scored rests on it
        count = 0
    return [f"fold-{k}" for k in range(count)]


def _state(place: Path) -> tuple[str, str]:
    """The state of a run and, where it has one, its error; a run that is done counts as one without its folds."""
    try:
        status = read_json(place / "status.json") if (place / "status.json").exists() else {"state": "missing"}
        state, error = str(status["state"]), " ".join(str(status.get("error") or "").split())
    except (UserError, KeyError, TypeError, AttributeError):
        state, error = "unreadable", ""
    if state == "done":
        state = "done, but a model is scored by its folds"
    return state, error if len(error) <= LENGTH else f"{error[: LENGTH - 1]}…"


def _in_words(groups: Mapping[tuple[str, str], Sequence[str]], partly: bool) -> str:
    found = "; ".join(
        f"{', '.join(names)}: {state}{f' ({error})' if error else ''}" for (state, error), names in groups.items()
    )
    fix = next((f": {fix}" for known, fix in FIXES.items() if any(state == known for state, _ in groups)), "")
    what = "some networks are not scored, and figures are those of the others" if partly else "not scored"
    return f"{what} ({found}){fix}"
