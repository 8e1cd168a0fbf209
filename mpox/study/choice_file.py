"""chosen.yaml: what `mpox.compare select=best` chose, with the rule that leaves the study, and what both rest on."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mpox.command_line import command
from mpox.data.folds import ALL
from mpox.errors import UserError, reason_of
from mpox.files import replacing
from mpox.places import folder_name
from mpox.stats.comparison import Comparison
from mpox.stats.decision import DecisionRule
from mpox.study.final_network import answers_of, answers_sha256
from mpox.study.results import StudyResults


@dataclass(frozen=True)
class Chosen:
    """What chosen.yaml says: the study, the model, the fold (or ALL), the rule, and what it was fitted on.

    `answers` are hashes of what each fold's network says of its test photos (`answers_of`). Earlier versions wrote no
    rule, or no answers.
    """

    study: str
    model: str
    fold: int | str
    rule: DecisionRule | None
    splits_sha256: str | None = None
    answers: Mapping[int, str] = field(default_factory=dict)


def read_choice(path: Path) -> Chosen:
    """Read what `write_choice` wrote. Raises UserError for a file that is missing or broken."""
    if not path.is_file():
        raise UserError(f"no file {path}: python -m mpox.compare study=<study> select=best writes chosen.yaml")
    try:
        chosen = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Chosen(
            study=folder_name(f"{path}: study", chosen["study"]),
            model=folder_name(f"{path}: model", chosen["model"]),
            fold=chosen["fold"] if chosen["fold"] == ALL else int(chosen["fold"]),
            rule=_rule_of(chosen),
            splits_sha256=chosen.get("splits_sha256"),
            answers={int(fold): str(sha256) for fold, sha256 in (chosen.get("answers_sha256") or {}).items()},
        )
    except UserError:
        raise
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} holds no choice of study, model, fold and rule ({reason_of(error)}): make it with mpox.compare "
            "select=best"
        ) from error


def check_current(chosen: Chosen, path: Path, model: Path) -> None:
    """Raise UserError where a choice (the file `path`) rests on other networks than the folds of its model are now.

    `model` is their folder. Of folds that are not there, the final network holds a copy of what they said; where there
    is none, nothing is known.
    """
    for fold, sha256 in chosen.answers.items():
        place = model / f"fold-{fold}"
        found = answers_of(place, fold) or answers_of(model / f"fold-{ALL}", fold)
        if found not in (None, sha256):
            again = command("mpox.compare", "select=best", study=chosen.study)
            raise UserError(
                f"{path} rests on another network than that of {place} now: compare the study again: {again}"
            )


def _rule_of(chosen: Mapping[str, Any]) -> DecisionRule | None:
    if "quantiles" not in chosen:
        return None
    values = {one.name: chosen[one.name] for one in dataclasses.fields(DecisionRule)}
    quantiles, fitted_on = values.pop("quantiles"), values.pop("fitted_on")
    numbers = {name: None if value is None else float(value) for name, value in values.items()}
    return DecisionRule(**numbers, quantiles=tuple(map(float, quantiles)), fitted_on=str(fitted_on))  # type: ignore[arg-type]


def write_choice(comparison: Comparison, results: StudyResults, path: Path) -> None:
    """Write the choice as YAML: what, by which rule, its decision rule, and the splits and answers that it rests on."""
    choice = comparison.choice
    assert choice is not None
    decision: dict[str, Any] = dataclasses.asdict(choice.decision)
    content = {
        "study": comparison.study,
        "model": choice.model,
        "fold": choice.fold,
        "run": choice.run,
        "rule": choice.rule,
        "why": choice.why,
        "candidates": [one.model for one in choice.candidates],
        "probabilities": {one.model: one.probability for one in choice.candidates},
        **{key: list(value) if isinstance(value, tuple) else value for key, value in decision.items()},
        "corrected": choice.corrected and dataclasses.asdict(choice.corrected),
        "commands": list(choice.commands),
        "splits_sha256": comparison.splits_sha256,
        "answers_sha256": _answers(results, choice.model),
        "chosen_at": comparison.created,
    }
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def _answers(results: StudyResults, model: str) -> dict[int, str]:
    logits = next(runs.logits for runs in results.models if runs.name == model)
    ids = results.photos["photo_id"].to_numpy()
    rows = {fold: results.fold_index == k for k, fold in enumerate(results.folds)}
    return {fold: answers_sha256(ids[of_fold], logits[of_fold]) for fold, of_fold in rows.items()}
