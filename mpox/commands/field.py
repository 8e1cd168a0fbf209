"""`python -m mpox.evaluate field=…`: what apps counted after deployment against what the study promised."""

from pathlib import Path

import numpy as np
import yaml
from omegaconf import DictConfig

from mpox.config import plain
from mpox.console import results_console
from mpox.errors import UserError
from mpox.field.counts import read_counts
from mpox.field.report import FieldReport, field_report, outcomes_of
from mpox.files import write_json
from mpox.places import folder_name
from mpox.report.field_table import month_table, promise_table
from mpox.stats.decision import DecisionRule
from mpox.study.choice import read_rule
from mpox.study.results import read_study

CONFIDENCE = 0.95


def evaluate_field(cfg: DictConfig) -> FieldReport:
    """Compare the files of phones with the study that their model is of; write runs/<study>/field/<name>/field.json.

    Raises UserError for files that cannot be read, and for a study without a chosen model.
    """
    given = plain(cfg)["field"]
    study = Path(cfg.runs_dir) / folder_name("study", cfg.study)
    counts = read_counts([Path(path) for path in (given if isinstance(given, list) else [given])], cfg.study)
    model, rule = _promise(study)
    results = read_study(cfg.runs_dir, cfg.study, models=[model])
    positive = results.positive
    if positive is None or results.classes[positive] != counts[0].positive:
        raise UserError(f"the files count {counts[0].positive}, which is not what study {study.name} looks for")
    held_out = outcomes_of(rule.probabilities(np.asarray(results.models[0].logits, "float64")), positive, rule)
    report = field_report(counts, rule, held_out, CONFIDENCE)
    place = study / "field" / folder_name("name", cfg.name or "all")
    write_json(place / "field.json", report.plain())
    return report


def _promise(study: Path) -> tuple[str, DecisionRule]:
    """Return the chosen model of a study and the rule that left it."""
    path = study / "comparison" / "chosen.yaml"
    try:
        chosen = yaml.safe_load(path.read_text(encoding="utf-8"))
        rule = read_rule(chosen)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing, so that nothing is promised: choose a model with python -m mpox.compare "
            f"study={study.name} select=best"
        ) from error
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is broken ({error}): compare the study again with select=best") from error
    if rule is None:
        raise UserError(f"{path} is of an earlier version, without the rule: compare the study again with select=best")
    return str(chosen["model"]), rule


def run_field(cfg: DictConfig) -> None:
    """Compare, and print the tables."""
    report = evaluate_field(cfg)
    console = results_console()
    console.print(promise_table(report))
    if len(report.months) > 1:
        console.print(month_table(report))
    for caution in report.cautions:
        console.print(f"note: {caution}")
