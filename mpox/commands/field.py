"""`python -m mpox.evaluate field=…`: what was seen after deployment against what the study promised."""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from mpox.config import plain
from mpox.console import results_console
from mpox.errors import UserError
from mpox.field.evidence import evidence
from mpox.field.given import read_given
from mpox.field.report import FieldReport, field_report
from mpox.files import write_json
from mpox.places import folder_name
from mpox.report.field_table import month_table, promise_table
from mpox.study.choice_file import check_current, read_choice
from mpox.study.results import read_study

CONFIDENCE = 0.95


def evaluate_field(cfg: DictConfig) -> FieldReport:
    """Compare files of phones and clinics with the study of their model; write runs/<study>/field/<name>/field.json.

    Raises UserError for files that cannot be read, and for a study without a chosen model and its rule.
    """
    field = plain(cfg)["field"]
    study = Path(cfg.runs_dir) / folder_name("study", cfg.study)
    paths = [Path(path).expanduser() for path in (field if isinstance(field, list) else [field])]
    given = read_given(paths, str(cfg.study))
    path = study / "comparison" / "chosen.yaml"
    chosen = read_choice(path)
    rule = chosen.rule
    if rule is None:
        raise UserError(f"{path} is of an earlier version, without the rule: compare the study again with select=best")
    check_current(chosen, path, study / chosen.model)
    results = read_study(cfg.runs_dir, cfg.study, models=[chosen.model])
    positive = results.positive
    if positive is None:
        raise UserError(f"study {study.name} has no class of mpox, so that no answer is right or wrong by its rule")
    found = evidence(given, study.name, results.classes, results.classes[positive])
    held_out = rule.outcomes(rule.probabilities(np.asarray(results.models[0].logits, "float64")), positive)
    report = field_report(found, rule, held_out, CONFIDENCE, results.codes)
    place = study / "field" / folder_name("name", cfg.name or "all")
    write_json(place / "field.json", report.plain())
    return report


def run_field(cfg: DictConfig) -> None:
    """Compare, and print the tables."""
    report = evaluate_field(cfg)
    console = results_console()
    console.print(promise_table(report))
    if len(report.months) > 1:
        console.print(month_table(report))
    for caution in report.cautions:
        console.print(f"note: {caution}")
