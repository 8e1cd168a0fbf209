"""A rule is that of the networks it was fitted to: folds that were trained again since are told from those before."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from generated_study import CLASSES, make_study, write_run

from mpox.data.folds import read_folds
from mpox.data.manifest import read_manifest
from mpox.errors import UserError
from mpox.files import read_yaml
from mpox.runs.run_directory import RunDirectory
from mpox.stats.predictions import read_predictions, write_predictions
from mpox.study.choice import Rule, choose
from mpox.study.choice_file import check_current, read_choice, write_choice
from mpox.study.comparing import compare
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.final_network import check_final
from mpox.study.held_out import rule_of_run, rules_of_runs
from mpox.study.results import read_study

FOLDS = 3
OPTIONS = ComparisonOptions(resamples=200)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a model of three folds and the final network that was fitted after them."""
    folder = make_study(tmp_path / "runs", "s", {"a": 2.0}, n_photos=96, n_folds=FOLDS) / "a"
    run = RunDirectory(tmp_path / "runs", "s", "a", "all", ("predictions.parquet", "metrics.json"))
    run.path.mkdir()
    run.begin({**read_yaml(folder / "fold-0" / "config.yaml"), "fold": "all"}, overwrite=True)
    tables = [read_predictions(folder / f"fold-{k}" / "predictions.parquet")[0] for k in range(FOLDS)]
    held_out = pd.concat([table[table["split"] == "test"] for table in tables], ignore_index=True)
    write_predictions(held_out, run.path / "predictions.parquet")
    shutil.copy(folder / "fold-0" / "metrics.json", run.path)
    run.finish()
    return folder


def trained_again(model: Path, fold: int, seed: int = 9, **changes: Any) -> None:
    """Replace a fold by one whose network gives other answers."""
    study = model.parent
    manifest = read_manifest(study / "manifest.parquet")
    folds = read_folds(study / "splits.json", manifest, FOLDS)
    shutil.rmtree(model / f"fold-{fold}", ignore_errors=True)
    logits = np.random.default_rng(seed + fold).normal(size=(len(manifest), len(CLASSES)))
    write_run(study.parent, study.name, model.name, fold, manifest, folds, logits, CLASSES, "mpox", **changes)


def chosen(model: Path) -> Path:
    results = read_study(model.parents[1], "s")
    comparison = choose(
        compare(results, OPTIONS, exports=model.parents[1] / "exports", cache=model.parents[2] / "costs"),
        results,
        Rule(),
    )
    path = model.parent / "comparison" / "chosen.yaml"
    write_choice(comparison, results, path)
    return path


def test_a_final_network_keeps_the_rule_of_its_own_folds_alone(model: Path) -> None:
    final = model / "fold-all"
    assert rule_of_run(final, OPTIONS) == rule_of_run(model / "fold-1", OPTIONS)
    for fold in range(FOLDS):
        trained_again(model, fold, image_size=160, augment={"size": 160})
    with pytest.raises(UserError, match=r"fold-0 was trained again.*image_size: 224 -> 160.*fold=all overwrite=true"):
        rule_of_run(final, OPTIONS)
    with pytest.raises(UserError, match=r"fold=all overwrite=true"):  # as evaluate asks, for all of a model at once
        rules_of_runs([model / "fold-0", final], OPTIONS)


def test_folds_that_answer_otherwise_by_the_same_recipe_are_others(model: Path) -> None:
    check_final(model / "fold-all")
    trained_again(model, 2)
    with pytest.raises(UserError, match=r"fold-2 was trained again since \(its answers are others\).*overwrite=true"):
        check_final(model / "fold-all")


def test_what_an_earlier_version_did_not_record_is_no_difference(model: Path) -> None:
    fold = model / "fold-1"
    table = read_predictions(fold / "predictions.parquet")[0]
    trained_again(model, 1, pace=None, optimizer={"lr": 1e-4, "later": 1}, resize="one_step")
    shutil.rmtree(model / "fold-2")  # a final network that was handed on without its folds
    write_predictions(table, fold / "predictions.parquet")
    check_final(model / "fold-all")
    (model / "fold-all" / "predictions.parquet").unlink()
    check_final(model / "fold-all")
    trained_again(model, 1, resize="two_step")
    with pytest.raises(UserError, match="resize: one_step -> two_step"):
        check_final(model / "fold-all")


def test_folds_of_two_recipes_share_no_rule(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained_again(model, 1, schedule={"probe": {"views": 0}})
    trained_again(model, 2, schedule={"finetune": {"epochs": 2}})
    trained_again(model, 0, schedule={"probe": {"views": 0}}, seed=4)
    results = read_study(model.parents[1], "s")
    assert any("folds of a were not trained alike (fold 0 to fold 2: schedule." in one for one in results.warnings)
    with caplog.at_level(logging.WARNING):
        rules = rules_of_runs([model / f"fold-{k}" for k in range(FOLDS)], OPTIONS)
    assert caplog.text.count("validation photos of one fold alone") == 1 and "not trained alike" in caplog.text
    assert [rule.fitted_on for rule in rules] == [f"the 32 validation photos of fold {k}" for k in range(FOLDS)]
    with pytest.raises(UserError, match="not trained alike"):
        rule_of_run(model / "fold-all", OPTIONS)


def test_a_fold_that_replaces_one_of_another_recipe_has_a_rule_of_its_own(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As an export at the end of its job asks for it: what it replaces is still in its place."""
    kept = shutil.copytree(model / "fold-0", model.parent / "kept")
    trained_again(model, 0, image_size=160)
    (model / "fold-0").rename(model / "fold-0.next")
    shutil.move(kept, model / "fold-0")
    assert rule_of_run(model / "fold-0", OPTIONS).fitted_on == "96 held-out photos of 3 folds"
    assert "validation photos of fold" in rule_of_run(model / "fold-0.next", OPTIONS).fitted_on
    assert "trained otherwise (image_size: 224 -> 160)" in caplog.text


def test_a_choice_is_of_the_folds_that_were_compared(model: Path) -> None:
    path = chosen(model)
    assert set(read_choice(path).answers) == set(range(FOLDS))
    check_current(read_choice(path), path, model)
    trained_again(model, 1)
    with pytest.raises(UserError, match=r"rests on another network than that of .*fold-1 now.*mpox\.compare"):
        check_current(read_choice(path), path, model)
    shutil.rmtree(model / "fold-1")
    check_current(read_choice(path), path, model)  # by what the final network keeps of it
    content = yaml.safe_load(path.read_text())
    del content["answers_sha256"]
    path.write_text(yaml.safe_dump(content))  # as an earlier version wrote it
    trained_again(model, 1)
    check_current(read_choice(path), path, model)
