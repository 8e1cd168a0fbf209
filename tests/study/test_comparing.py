"""The comparison as a whole, on studies whose answers are known because they were drawn so."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from generated_study import CLASSES, make_study

from mpox.data.folds import read_folds
from mpox.data.manifest import read_manifest, write_manifest
from mpox.errors import UserError
from mpox.external.truth import truth_sha256
from mpox.files import read_json, write_json
from mpox.stats.comparison import BEST, SAME, UNTESTED, WORSE, Comparison
from mpox.stats.intervals import difference
from mpox.stats.metrics import METRICS, classification_metrics
from mpox.stats.pooled import softmax
from mpox.stats.predictions import write_predictions
from mpox.study.choice import Rule, cheapest_candidate, choose
from mpox.study.choice_file import read_choice, write_choice
from mpox.study.comparing import compare
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.costs import costs as costs_of
from mpox.study.results import StudyResults, read_study

QUICK = ComparisonOptions(resamples=200)


def compared(runs: Path, options: ComparisonOptions = QUICK, **reading: object) -> tuple[StudyResults, Comparison]:
    results = read_study(runs, "s", **reading)  # type: ignore[arg-type]
    return results, compare(results, options, exports=runs / "exports", cache=runs.parent / "costs")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five folds of 240 photos: `good` and `alike` are drawn with one skill, `poor` with far less."""
    runs = tmp_path_factory.mktemp("runs")
    make_study(runs, "s", {"poor": 0.6, "good": 2.2, "alike": 2.2}, n_photos=240, n_folds=5)
    return runs


@pytest.fixture(scope="module")
def results(study: Path) -> StudyResults:
    return read_study(study, "s")


@pytest.fixture(scope="module")
def comparison(study: Path, results: StudyResults) -> Comparison:
    return compare(results, QUICK, exports=study / "exports", cache=study.parent / "costs")


def test_scores_are_those_of_the_runs_and_of_all_photos_pooled(
    study: Path, results: StudyResults, comparison: Comparison
) -> None:
    for runs in results.models:
        model = comparison.model(runs.name)
        pooled = classification_metrics(torch.tensor(runs.logits), torch.tensor(results.targets), CLASSES, 3)
        for metric in METRICS:
            score = model.scores[metric]
            assert score.pooled == pytest.approx(pooled[metric], abs=1e-6), metric
            own = [
                json.loads((study / "s" / runs.name / f"fold-{fold}" / "metrics.json").read_text())["test"][metric]
                for fold in comparison.folds
            ]
            assert score.folds == pytest.approx(own, abs=1e-6), metric
            assert (score.mean, score.sd) == pytest.approx((np.mean(own), np.std(own, ddof=1)), abs=1e-6)
            if metric == "ece":
                assert (score.low, score.method) == (None, "none")
            else:
                assert score.low < score.pooled < score.high, metric
        for k, of_class in enumerate(model.per_class):
            assert of_class.recall.value == pytest.approx(pooled[f"recall/{CLASSES[k]}"])
            assert of_class.precision.value == pytest.approx(pooled[f"precision/{CLASSES[k]}"])
            assert of_class.specificity.value == pytest.approx(pooled[f"specificity/{CLASSES[k]}"])
        assert np.array(model.confusion).sum() == 240
        assert np.trace(model.confusion) / 240 == pytest.approx(pooled["accuracy"])
        assert model.mistakes_total == 240 - np.trace(model.confusion)


def test_who_is_worse_and_who_cannot_be_told_apart(comparison: Comparison) -> None:
    verdicts = {model.name: model.verdict for model in comparison.models}
    assert sorted(verdicts) == ["alike", "good", "poor"]
    assert comparison.models[0].verdict == BEST
    assert comparison.models[0].name != "poor"
    assert verdicts[comparison.models[1].name] == SAME
    assert verdicts["poor"] == WORSE
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [
        (comparison.models[0].name, comparison.models[1].name),
        (comparison.models[0].name, "poor"),
        (comparison.models[1].name, "poor"),
    ]
    for pair in comparison.pairs:
        assert pair.p_first_better + pair.p_same + pair.p_second_better == pytest.approx(1)
        assert pair.p <= pair.p_holm
        low, high = pair.difference.low, pair.difference.high
        assert (low > 0 or high < 0) == (pair.p < 0.05)
    printed = " ".join(comparison.conclusion)
    assert "cannot be told apart" in printed
    assert "poor is worse" in printed
    assert "not a diagnosis" in printed
    assert "not distinguishable" in comparison.pairs[0].words


def test_operating_point_and_sets_keep_what_validation_promised(comparison: Comparison) -> None:
    best = comparison.best
    point = best.operating_point
    assert point is not None
    assert point.true_positive + point.false_negative == 60
    assert point.sensitivity.value > 0.9  # fitted for .95 on other photos
    assert best.conformal.coverage.value == pytest.approx(0.95, abs=0.04)
    assert sum(best.conformal.sizes) == pytest.approx(1)
    assert len(best.calibration.temperatures) == 5
    assert best.calibration.ece_scaled < 0.08
    assert best.referral.accuracy[0] == pytest.approx(best.scores["accuracy"].pooled)
    wrong = [mistake.probability for mistake in best.mistakes]
    assert wrong == sorted(wrong, reverse=True)
    assert all(mistake.label != mistake.predicted for mistake in best.mistakes)


def test_subgroups_add_up_to_all_photos(comparison: Comparison) -> None:
    for column in ("source", "resolution"):
        parts = [part for part in comparison.best.subgroups if part.column == column]
        assert sum(part.n for part in parts) == 240
        hits = sum(part.n * part.accuracy.value for part in parts)
        assert hits / 240 == pytest.approx(comparison.best.scores["accuracy"].pooled)
    assert [part.value for part in comparison.best.subgroups if part.column == "resolution"] == [
        *("under 256 px", "512 to 1023 px", "1024 px and more")
    ]
    assert not any(part.column == "ita_bin" for part in comparison.best.subgroups)


def test_costs_and_data_are_counted(comparison: Comparison) -> None:
    costs = comparison.best.costs
    # timm's own table has 2.54 M for 1000 classes; the classifier has 1025 weights a class
    assert costs.parameters == 2_542_856 - 1025 * 1000 + 1025 * 4
    assert costs.macs == pytest.approx(56.5e6, rel=0.05)
    assert (costs.train_seconds, costs.export_size_mb) == (2.0, None)
    data = comparison.data
    assert (data.n_photos, data.n_groups, data.n_subjects, sum(data.per_fold)) == (240, 120, 120, 240)
    assert data.per_class == dict.fromkeys(CLASSES, 60)
    assert data.train_size == pytest.approx(144)


def test_everything_is_plain_json(comparison: Comparison) -> None:
    read = json.loads(json.dumps(comparison.plain(), allow_nan=False))
    assert read["models"][0]["scores"]["accuracy"]["pooled"] == comparison.best.scores["accuracy"].pooled


def test_the_same_twice(comparison: Comparison, study: Path) -> None:
    _, again = compared(study)
    first, second = comparison.plain(), again.plain()
    del first["created"], second["created"]
    assert first == second


def test_the_cheapest_of_those_as_good_as_the_best_is_chosen(comparison: Comparison, results: StudyResults) -> None:
    made = choose(comparison, results, Rule())
    choice = made.choice
    assert choice is not None
    assert choice.model in {one.model for one in choice.candidates}
    assert choice.model == comparison.best.name  # of one size: the better one
    assert "poor" not in {one.model for one in choice.candidates}
    for one in choice.candidates[1:]:
        pair = next(pair for pair in comparison.pairs if (pair.first, pair.second) == (choice.model, one.model))
        assert one.probability == pair.p_same + pair.p_second_better >= 0.9
    assert choice.decision == comparison.best.decision
    assert choice.corrected is not None
    assert choice.corrected.low < choice.corrected.estimate < choice.corrected.high
    assert f"{choice.corrected.estimate:.3f}" in made.headline
    assert "not a diagnosis" in made.conclusion[-1]
    with pytest.raises(UserError, match="max_size_mb=1"):
        choose(comparison, results, Rule(max_size_mb=1))
    for rule in (Rule(max_latency_ms=5), Rule(by="latency")):
        with pytest.raises(UserError, match="cannot be applied"):
            choose(comparison, results, rule)
    for wrong in ({"confidence": 1.0}, {"by": "beauty"}):
        with pytest.raises(UserError, match=f"select.{next(iter(wrong))}"):
            Rule(**wrong)


def test_where_every_answer_is_right_no_interval_has_no_width(tmp_path: Path) -> None:
    make_study(tmp_path, "s", {"one": 60.0, "two": 60.0}, n_photos=48, n_folds=3, metrics=False)
    results, comparison = compared(tmp_path)
    chosen = choose(comparison, results, Rule())
    assert chosen.choice is not None and chosen.choice.corrected is not None
    corrected = chosen.choice.corrected
    assert (corrected.estimate, corrected.low, corrected.high) == (1.0, None, None)
    assert "Allowing for the choice, its balanced accuracy is 1.000 (interval not defined)." in chosen.headline
    assert "1.000 to 1.000" not in " ".join(chosen.conclusion)
    write_choice(chosen, results, tmp_path / "chosen.yaml")
    assert read_choice(tmp_path / "chosen.yaml").model == chosen.choice.model


def test_the_rule_of_a_resample_is_that_of_the_study(comparison: Comparison, results: StudyResults) -> None:
    """On the study's own scores the fast form of the rule takes what the pairs' posteriors say."""
    scores = np.array([model.scores[comparison.metric].folds for model in comparison.models], float)
    cheap_last = np.arange(len(scores))[::-1].astype(float)
    for confidence in (0.05, 0.5, 0.9, 0.999):
        made = choose(comparison, results, Rule(confidence=confidence)).choice
        assert made is not None
        names = [model.name for model in comparison.models]
        taken = cheapest_candidate(scores, cheap_last, comparison.rope, confidence, 0.25 / 0.75)
        allowed = {one.model for one in made.candidates}
        assert names[taken] in allowed


def test_models_that_share_the_highest_mean_are_all_the_best() -> None:
    """Which of equals comes first is chance: a cheap twin of either of them qualifies."""
    random = np.random.default_rng(1)
    first = np.round(0.85 + 0.08 * random.normal(size=10), 3)
    second = first[::-1].copy()
    twin = second + np.array([0.001, -0.001] * 5)
    scores = np.stack([first, second, twin])
    for order in ((0, 1, 2), (1, 0, 2)):
        taken = cheapest_candidate(scores[list(order)], np.array([3.0, 3.0, 1.0]), 0.01, 0.9, 1 / 8)
        assert taken == 2
    alone = cheapest_candidate(scores[[0, 2]] - np.array([[0.0], [1e-6]]), np.array([3.0, 1.0]), 0.01, 0.9, 1 / 8)
    assert alone == 0  # against the first alone, the twin of the second is not shown to be as good


def test_the_rule_that_leaves_the_study_rests_on_all_held_out_photos(
    comparison: Comparison, results: StudyResults
) -> None:
    rule = comparison.best.decision
    runs = next(runs for runs in results.models if runs.name == comparison.best.name)
    chances = softmax(runs.logits, rule.temperature)[results.targets == results.positive, results.positive]
    groups = len(chances) // 2  # of two photos each, which share a vote
    assert (chances >= rule.threshold).sum() == math.ceil(2 * 0.95 * (groups + 1))
    assert rule.threshold_low <= rule.threshold <= rule.threshold_high
    assert rule.fitted_on == "240 held-out photos of 5 folds"


def test_an_export_of_a_network_that_was_trained_again_is_no_cost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study, exports = make_study(tmp_path, "s", {"a": 2.0}, n_photos=60, n_folds=3), tmp_path / "exports"
    for name, fold, made_of in (("old", 1, "old"), ("new", 1, "new"), ("unknown", 2, "other"), ("earlier", 1, None)):
        write_json(exports / name / "export.json", {"card": {"study": "s", "model": "a", "fold": fold}})
        constants = {} if made_of is None else {"checkpoint_sha256": made_of}
        write_json(exports / name / "contract.json", {"constants": constants})
        (exports / name / "model.pte").write_bytes(bytes({"old": 10, "new": 30}.get(name, 50)))
    status = study / "a" / "fold-1" / "status.json"
    noted = read_json(status)
    write_json(status, {**noted, "files": {**noted["files"], "checkpoint.ckpt": {"bytes": 1, "sha256": "new"}}})
    results = read_study(tmp_path, "s")
    found = costs_of(results.models[0], results, exports, tmp_path / "costs")
    assert (found.export_name, found.export_size_mb) == ("new", 30 / 1e6)
    assert caplog.text.count("left out of the costs of a") == 1 and "exports/old" in caplog.text
    shutil.rmtree(exports / "new")  # the others are not known to be of another network
    assert costs_of(results.models[0], results, exports, tmp_path / "costs").export_size_mb == 50 / 1e6


def test_an_export_gives_size_and_latency(study: Path, results: StudyResults) -> None:
    exports = study / "exported"
    for name, model, size, latency in (
        ("x", "alike", 1_500_000, 7.5),
        ("y", "alike", 900_000, 9.0),
        ("z", "new", 1, 1),
    ):
        core = {"instructions": {"loads": 40, "other": 60}, "ratio": 0.5}
        arm = {"passed": True, "cores": {"dotprod": core}}
        report = {"card": {"study": "s", "model": model}, "latency_ms": latency, "arm": arm}
        write_json(exports / name / "export.json", report)
        (exports / name / "model.pte").write_bytes(bytes(size))
    comparison = compare(results, QUICK, exports=exports, cache=study.parent / "costs")
    costs = comparison.model("alike").costs
    assert (costs.export_name, costs.export_size_mb, costs.export_latency_ms) == ("y", 0.9, 9.0)
    assert (costs.export_instructions, costs.export_instruction_ratio) == (100, 0.5)
    wrong = {"card": {"study": "s", "model": "alike"}, "latency_ms": 9.0, "arm": arm | {"passed": False}}
    write_json(exports / "y" / "export.json", wrong)
    runs = next(runs for runs in results.models if runs.name == "alike")
    again = costs_of(runs, results, exports, study.parent / "costs")
    assert (again.export_size_mb, again.export_instructions) == (0.9, None)
    assert comparison.model("good").costs.export_name is None
    certain = Rule(confidence=0.001, max_latency_ms=20, by="size")
    assert choose(comparison, results, certain).choice.model == "alike"  # type: ignore[union-attr]
    counted = Rule(confidence=0.001, by="instructions")
    assert choose(comparison, results, counted).choice.model == "alike"  # type: ignore[union-attr]


def test_one_model_only(study: Path) -> None:
    _, comparison = compared(study, models=["good"])
    assert comparison.pairs == ()
    assert comparison.best.verdict == BEST
    assert "there is one model only: nothing to compare it with" in comparison.warnings
    assert "(the only model)" in comparison.headline


def test_two_classes_only(tmp_path: Path) -> None:
    make_study(tmp_path, "s", {"a": 2.0, "b": 1.5}, n_photos=160, n_folds=4, classes=("mpox", "other"), metrics=False)
    _, comparison = compared(tmp_path)
    best = comparison.best
    assert comparison.classes == ("mpox", "other")
    assert best.scores["auroc"].pooled == pytest.approx(best.scores["auroc_mpox"].pooled)
    assert best.scores["sensitivity"].pooled == pytest.approx(best.per_class[0].recall.value)
    assert len(best.conformal.sizes) == 3


def test_no_class_means_mpox(tmp_path: Path) -> None:
    make_study(tmp_path, "s", {"a": 2.0}, n_photos=96, n_folds=4, positive=None, metrics=False)
    _, comparison = compared(tmp_path)
    assert comparison.best.operating_point is None
    assert "sensitivity" not in comparison.best.scores
    assert any("no class means mpox" in warning for warning in comparison.warnings)
    with pytest.raises(UserError, match="auroc_mpox"):
        compared(tmp_path, ComparisonOptions(resamples=200, metric="auroc_mpox"))


def test_a_class_absent_in_a_fold(tmp_path: Path) -> None:
    """Splits edited by hand so that fold 0 has no mpox: its figures are of the classes it has, and a note says so."""
    make_study(tmp_path, "s", {"a": 2.0, "b": 1.5}, n_photos=96, n_folds=4, metrics=False, absent=("mpox", 0))
    _, comparison = compared(tmp_path)
    sensitivity = comparison.best.scores["sensitivity"]
    assert sensitivity.folds[0] is None
    assert all(value is not None for value in sensitivity.folds[1:])
    assert comparison.best.scores["balanced_accuracy"].folds[0] is not None
    assert "fold 0 has no mpox among its test photos: its figures leave it out" in comparison.warnings
    point = comparison.best.operating_point  # of each fold from the others, which have some
    assert point is not None
    assert not any(limit is None for limit in point.thresholds)


def test_photos_left_out_are_counted_by_kind_of_reason(tmp_path: Path) -> None:
    study = make_study(tmp_path, "s", {"a": 2.0}, n_photos=96, n_folds=4, metrics=False)
    manifest = read_manifest(study / "manifest.parquet")
    reasons = ["the same picture", "0.98 of the pixels", "0.91 of the pixels", "", "a hand: in front"]
    kinds = ["label_conflict", "near_duplicate", "near_duplicate", "", ""]
    names = [f"out/{k}.jpg" for k in range(5)]
    out = manifest.head(5).assign(photo_id=[f"web/{name}" for name in names], path=names, keep=False)
    out = out.assign(reason=reasons, reason_kind=kinds)
    write_manifest(pd.concat([manifest, out], ignore_index=True), study / "manifest.parquet")
    _, comparison = compared(tmp_path)
    assert (comparison.data.n_manifest, comparison.data.n_left_out, comparison.data.n_photos) == (101, 5, 96)
    words = {"no reason given": 1, "a hand: in front": 1}
    assert comparison.data.left_out == {"near duplicate": 2, "label conflict": 1, **words}


def test_one_fold_is_scored_and_not_tested(tmp_path: Path) -> None:
    study = make_study(tmp_path, "s", {"a": 2.0, "b": 1.5}, n_photos=96, n_folds=4, metrics=False)
    for model in ("a", "b"):
        for fold in (1, 2, 3):
            (study / model / f"fold-{fold}" / "status.json").unlink()
    results, comparison = compared(tmp_path, allow_partial=True)
    assert comparison.folds == (0,)
    assert comparison.models[1].verdict == UNTESTED
    assert (comparison.pairs[0].p, comparison.pairs[0].difference.value) == (None, None)
    assert comparison.best.scores["accuracy"].sd is None
    choice = choose(comparison, results, Rule()).choice
    assert choice is not None
    assert choice.model == comparison.best.name


def test_internal_and_external(tmp_path: Path) -> None:
    """Predictions of photos from elsewhere, on which every network is worse, scored as mpox against the rest."""
    study = make_study(tmp_path, "s", {"a": 2.5, "b": 0.5}, n_photos=160, n_folds=4, metrics=False)
    folder, random = study / "external" / "elsewhere", np.random.default_rng(0)
    truth = np.arange(80) % 2
    facts = {"classes": ["other", "mpox"], "positive": "mpox", "flow": {"found": 90, "exact": 4, "not mapped": 6}}
    facts |= {"photos_sha256": "of these photos"}
    write_json(folder / "external.json", {**facts, "flow": {**facts["flow"], "scored": 80}})
    splits = read_folds(study / "splits.json", read_manifest(study / "manifest.parquet"), 4).sha256
    means = []
    for fold in range(4):
        logits = random.normal(size=(80, 2)) + 0.8 * np.eye(2)[truth]
        table = pd.DataFrame({"photo_id": [f"e{i:02d}" for i in range(80)], "path": "", "source": "e", "fold": fold})
        table = table.assign(group=table["photo_id"], split="external", label=np.array(["other", "mpox"])[truth])
        place = folder / "a" / f"fold-{fold}"
        table = table.assign(logit_other=logits[:, 0], logit_mpox=logits[:, 1])
        write_predictions(table, place / "predictions.parquet")
        (place / "config.yaml").write_text("photos_sha256: of these photos\n")
        write_json(place / "environment.json", {"splits_sha256": splits})
        means.append(np.mean(logits.argmax(1) == truth))
    _, comparison = compared(tmp_path)
    (external,) = comparison.external
    assert (external.name, external.model, external.n) == ("elsewhere", "a", 80)
    assert external.left_out == {"exact": 4, "not mapped": 6}
    accuracy = next(score for score in external.scores if score.metric == "accuracy")
    assert accuracy.external.value == pytest.approx(np.mean(means))
    assert accuracy.internal.value > comparison.best.scores["accuracy"].pooled  # two classes are easier than four
    assert accuracy.change.value == pytest.approx(accuracy.external.value - accuracy.internal.value)
    assert accuracy.change.high < 0
    assert accuracy.change == difference(accuracy.external, accuracy.internal)  # of two independent shares
    auroc = next(score for score in external.scores if score.metric == "auroc_mpox")
    assert auroc.change == difference(auroc.external, auroc.internal)
    assert np.array(external.confusion).sum() == 80
    assert any("On 80 photos of elsewhere" in sentence for sentence in comparison.conclusion)
    assert "b has no figures on the photos of elsewhere: mpox.evaluate has not scored them" in comparison.warnings
    # Networks that were trained again since; one of an earlier version noted neither.
    status, scored = study / "a" / "fold-3" / "status.json", folder / "a" / "fold-3" / "config.yaml"
    facts_of_run = read_json(status)
    noted = {**facts_of_run, "files": {**facts_of_run["files"], "checkpoint.ckpt": {"bytes": 1, "sha256": "new"}}}
    write_json(status, noted)
    compared(tmp_path)
    scored.write_text("photos_sha256: of these photos\ncheckpoint_sha256: new\n")
    compared(tmp_path)
    scored.write_text("photos_sha256: of these photos\ncheckpoint_sha256: old\n")
    with pytest.raises(UserError, match=r"fold-3 was scored by a network that was trained again since.*overwrite=true"):
        compared(tmp_path)
    scored.write_text("photos_sha256: of these photos\ncheckpoint_sha256: new\n")
    # Labels that were corrected since.
    described = read_json(folder / "external.json")
    write_json(folder / "external.json", {**described, "truth_sha256": truth_sha256(table)})
    compared(tmp_path)
    write_json(
        folder / "external.json",
        {**described, "truth_sha256": truth_sha256(table.assign(label=table["label"].to_numpy()[::-1]))},
    )
    with pytest.raises(UserError, match=r"fold-0 was scored with other labels or groups.*overwrite=true"):
        compared(tmp_path)
    write_json(folder / "external.json", described)
    write_json(folder / "a" / "fold-1" / "environment.json", {"splits_sha256": "others"})
    with pytest.raises(UserError, match=r"fold-1 was scored by a network of other splits.*overwrite=true"):
        compared(tmp_path)
    (folder / "a" / "fold-0" / "config.yaml").write_text("photos_sha256: others\n")
    with pytest.raises(UserError, match=r"fold-0 was scored on other photos.*overwrite=true"):
        compared(tmp_path)
    (folder / "a" / "fold-2" / "predictions.parquet").unlink()
    with pytest.raises(UserError, match=r"fold-2.*is missing: type the same python -m mpox.evaluate"):
        compared(tmp_path)


def test_ranks_over_data_sets_need_data_sets(study: Path, results: StudyResults, comparison: Comparison) -> None:
    assert comparison.datasets is None
    assert "folds of one data set share" in comparison.datasets_note
    others = {f"other{k}": results for k in range(4)}
    found = compare(results, QUICK, exports=study / "exports", cache=study.parent / "costs", others=others)
    assert found.datasets is not None
    assert found.datasets.mean_ranks["poor"] == 3
    assert found.datasets.studies == ("s", *others)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"metric": "nll"}, "metric=nll cannot rank"),
        ({"confidence": 95}, "confidence=95 must be between 0 and 1"),
        ({"prevalences": (0.1, 2.0)}, r"prevalences=2\.0"),
        ({"resamples": 5}, "resamples=5"),
        ({"rope": -0.1}, r"rope=-0\.1"),
    ],
)
def test_options_that_mean_nothing_are_refused(option: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ComparisonOptions(**option)  # type: ignore[arg-type]


def test_a_column_named_fold_in_the_manifest_is_the_users_own(tmp_path: Path) -> None:
    make_study(tmp_path, "s", {"a": 1.0, "b": 2.0}, n_photos=60, n_folds=3)
    path = tmp_path / "s" / "manifest.parquet"
    write_manifest(read_manifest(path).assign(fold="7"), path)
    _, comparison = compared(tmp_path)
    assert [model.name for model in comparison.models] == ["b", "a"]


@pytest.mark.slow
def test_forty_models_ten_folds_thousand_photos(tmp_path: Path) -> None:
    """In a process of its own: what it takes is its own, whatever was tested before and whatever else runs."""
    models = {f"m{k:02d}": 1.5 + 0.05 * k for k in range(40)}
    make_study(tmp_path, "s", models, n_photos=1000, metrics=False)
    options = ["study=s", f"runs_dir={tmp_path}", f"cache_dir={tmp_path}/costs", "logger.mode=disabled"]
    # VmHWM is of the program alone; a process's ru_maxrss would count what forked it.
    report = "atexit.register(lambda: print(pathlib.Path('/proc/self/status').read_text(), time.process_time()))"
    program = f"import atexit, pathlib, time; {report}; from mpox.compare import main; main()"
    run = subprocess.run([sys.executable, "-c", program, *options], capture_output=True, text=True, check=True)
    assert len(read_json(tmp_path / "s" / "comparison" / "comparison.json")["pairs"]) == 780
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", run.stdout)
    assert float(run.stdout.split()[-1]) < 120  # seconds of a processor
    assert int(peak) / 1024 < 2000  # MB
