"""External validation as typed: real networks, real files, photos that are new, seen before, or of unknown classes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from scipy.special import softmax

from mpox.commands.compare import compare
from mpox.commands.evaluate import evaluate
from mpox.commands.evaluate import run as run_command
from mpox.data import synthetic
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.model.checkpoint import load_checkpoint
from mpox.options import config_dir
from mpox.runs.run_directory import RunDirectory
from mpox.stats.predictions import read_predictions, score
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rule_of_run
from mpox.training.final import recipe_of_folds
from mpox.training.job import train

MODELS = ("mnasnet_100", "mobilenetv3_small_100")


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained study that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


@pytest.fixture(scope="module")
def elsewhere(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen new synthetic photos, and two that the study has: one as a file, one mirrored and saved again."""
    from PIL import Image, ImageOps

    root = tmp_path_factory.mktemp("elsewhere")
    synthetic.generate(root, subjects_per_class=2, photos_per_subject=2, size=48, seed=7)
    shutil.rmtree(root / "masks")
    first, second = sorted(photos.glob("mpox/*"))[:2]
    shutil.copy(
        first, root / "mpox" / "copied.png" if first.suffix == ".png" else root / "mpox" / f"copied{first.suffix}"
    )
    ImageOps.mirror(Image.open(second).convert("RGB")).save(root / "mpox" / "mirrored.jpg", quality=85)
    return root


def run(runs: Path, root: Path, *overrides: str) -> dict[str, Any]:
    options = [f"runs_dir={runs}", "study=default", f"data.root={root}", "data.source=elsewhere", *overrides]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return evaluate(compose("evaluate", options))


def test_scores_new_photos_and_counts_those_seen(runs: Path, elsewhere: Path) -> None:
    results = run(runs, elsewhere)
    place = runs / "default" / "external" / "elsewhere"
    facts = read_json(place / "external.json")
    left_out = {"not kept": 0, "not mapped": 0, "exact": 1, "perceptual": 1, "same source": 0}
    left_out |= {"same subject": 0, "same group": 0}
    assert facts["flow"] == {"found": 18, **left_out, "scored": 16}
    excluded = pd.read_csv(place / "excluded.csv", keep_default_na=False)
    assert sorted(Path(path).stem for path in excluded["path"]) == ["copied", "mirrored"]
    assert set(excluded["reason"]) == {"exact", "perceptual"}
    assert set(results) == set(MODELS)
    for model in MODELS:
        tables = []
        for fold in range(3):
            folder = place / model / f"fold-{fold}"
            assert read_json(folder / "status.json")["state"] == "done"
            table, classes = read_predictions(folder / "predictions.parquet")
            assert classes == ["acne", "chickenpox", "healthy", "mpox"]
            assert (len(table), set(table["split"]), set(table["fold"])) == (16, {"external"}, {fold})
            metrics = read_json(folder / "metrics.json")
            assert metrics["external"] == score(table, classes, 3) == results[model]["external"][fold]
            internal = read_json(runs / "default" / model / f"fold-{fold}" / "metrics.json")["test"]
            assert results[model]["internal"][fold] == pytest.approx(internal)
            tables.append(softmax(table[[f"logit_{name}" for name in classes]].to_numpy("float64"), axis=1))
        whole, _ = read_predictions(place / model / "ensemble" / "predictions.parquet")
        mean = softmax(whole[[f"logit_{name}" for name in classes]].to_numpy("float64"), axis=1)
        np.testing.assert_allclose(mean, np.mean(tables, axis=0), atol=1e-5)


@pytest.mark.slow
def test_at_the_threshold_that_leaves_the_study(
    runs: Path,
    elsewhere: Path,
    configured: Callable[..., DictConfig],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each network, that of every photo too, by the rule of its held-out photos; in two classes the calls are alike."""
    typed = ["fold=all", "model=mnasnet_100", "schedule=probe"]
    train(recipe_of_folds(configured(*typed), typed))
    with initialize_config_dir(config_dir(), version_base="1.3"):
        options = [f"runs_dir={runs}", "study=default", f"data.root={elsewhere}", "models=[mnasnet_100]"]
        run_command(compose("evaluate", [*options, "data.source=elsewhere"]))
    printed = capsys.readouterr().out
    assert printed.count("every photo") == 2
    place = runs / "default" / "external" / "elsewhere" / "mnasnet_100"
    found = read_json(place / "at_threshold.json")
    rule = rule_of_run(runs / "default" / "mnasnet_100" / "fold-all", ComparisonOptions())
    assert set(found["networks"]) == {"fold-0", "fold-1", "fold-2", "fold-all"}
    assert rule.threshold is not None
    assert f" {rule.threshold:.3f} " in printed and f" {found['folds']['sensitivity']['value']:.3f} " in printed
    shares = []
    for name, figures in found["networks"].items():
        assert (figures["threshold"], figures["temperature"]) == (rule.threshold, rule.temperature)
        table, classes = read_predictions(place / name / "predictions.parquet")
        chances = softmax(table[[f"logit_{label}" for label in classes]].to_numpy("float64") / rule.temperature, axis=1)
        called = (chances[:, 3] >= rule.threshold) | (chances.argmax(1) == 3)
        sick = (table["label"] == "mpox").to_numpy()
        assert figures["sensitivity"]["value"] == pytest.approx(called[sick].mean())
        assert figures["specificity"]["value"] == pytest.approx((~called[~sick]).mean())
        assert figures["sensitivity"]["low"] < figures["sensitivity"]["high"]
        shares.append((called[sick].mean(), (~called[~sick]).mean()))
    assert found["folds"]["sensitivity"]["value"] == pytest.approx(np.mean([one[0] for one in shares[:3]]))
    assert found["folds"]["specificity"]["value"] == pytest.approx(np.mean([one[1] for one in shares[:3]]))

    two = run(runs, elsewhere, "binary=true", "name=two", "models=[mnasnet_100]")["mnasnet_100"]
    assert two["at_threshold"] == found
    assert len(two["external"]) == len(two["internal"]) == 3
    with initialize_config_dir(config_dir(), version_base="1.3"):
        comparison = compare(compose("compare", [f"runs_dir={runs}", "study=default", "resamples=100"]))
    assert {one.name for one in comparison.external} == {"elsewhere", "two"}
    for one in comparison.external:
        assert one.at_threshold is not None
        assert [asdict(side) for side in one.at_threshold] == list(found["folds"].values())

    for old in (runs / "default" / "external" / "two" / "mnasnet_100").glob("fold-*"):  # as an earlier version left it
        table, _ = read_predictions(old / "predictions.parquet")
        table.loc[:, ~table.columns.str.startswith("study_")].to_parquet(old / "predictions.parquet", index=False)
        status = read_json(old / "status.json")
        write_json(old / "status.json", {key: value for key, value in status.items() if key != "files"})
    two = run(runs, elsewhere, "binary=true", "name=two", "models=[mnasnet_100]")["mnasnet_100"]
    assert two["at_threshold"]["folds"] is None
    assert "scored by an earlier version" in caplog.text


def test_logits_are_those_of_the_network_itself(runs: Path, elsewhere: Path) -> None:
    import torch

    from mpox.data.photos import open_photo
    from mpox.data.store import square

    run(runs, elsewhere, "models=[mobilenetv3_small_100]", "threads=1")
    network, card = load_checkpoint(runs / "default" / "mobilenetv3_small_100" / "fold-1" / "checkpoint.ckpt")
    table, classes = read_predictions(
        runs / "default" / "external" / "elsewhere" / "mobilenetv3_small_100" / "fold-1" / "predictions.parquet"
    )
    pictures = np.stack([square(open_photo(elsewhere / path), 32, card.record.interpolation) for path in table["path"]])
    with torch.no_grad():
        logits = network(torch.from_numpy(pictures).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(logits, table[[f"logit_{name}" for name in classes]].to_numpy(), atol=1e-4)


def test_typed_again_it_is_read_and_a_changed_network_is_refused(runs: Path, elsewhere: Path) -> None:
    first = run(runs, elsewhere, "models=[mnasnet_100]")
    place = runs / "default" / "external" / "elsewhere" / "mnasnet_100" / "fold-0" / "predictions.parquet"
    stamp = place.stat().st_mtime_ns
    assert run(runs, elsewhere, "models=[mnasnet_100]", "threads=1") == first
    assert place.stat().st_mtime_ns == stamp
    study = runs / "default" / "mnasnet_100"
    shutil.copy(study / "fold-1" / "checkpoint.ckpt", study / "fold-0" / "checkpoint.ckpt")
    described = runs / "default" / "external" / "elsewhere" / "external.json"
    before = described.read_bytes()
    with pytest.raises(UserError, match=r"checkpoint_sha256.*overwrite=true"):
        run(runs, elsewhere, "models=[mnasnet_100]", "duplicates=exact")
    assert described.read_bytes() == before  # what was refused says nothing of what is there
    run(runs, elsewhere, "models=[mnasnet_100]", "overwrite=true")
    assert place.stat().st_mtime_ns != stamp


def test_labels_and_groups_that_were_corrected_are_not_those_scored(
    runs: Path, elsewhere: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.DataFrame({"path": sorted(path.relative_to(elsewhere).as_posix() for path in elsewhere.glob("*/*"))})
    table = table.assign(label=table["path"].str.partition("/")[0], subject="")
    listed = tmp_path / "photos.csv"
    options = ["data=manifest", f"data.manifest={listed}", "models=[mnasnet_100]"]

    def scored(path: str, *more: str, **changes: str) -> dict[str, Any]:
        changed = table.copy()
        for column, value in changes.items():
            changed.loc[changed["path"] == path, column] = value
        changed.to_csv(listed, index=False)
        found: dict[str, Any] = run(runs, elsewhere, *options, *more)["mnasnet_100"]
        return found

    one = table["path"][table["label"] == "acne"].iloc[0]
    before = scored(one)
    assert scored(one) == before
    caplog.set_level("INFO")
    scored(one, subject="s1")
    assert "fold-0: done, but labels or groups were corrected since: it is scored again" in caplog.text
    after = scored(one, label="healthy")
    place = runs / "default" / "external" / "elsewhere" / "mnasnet_100"
    labels = [
        read_predictions(place / name / "predictions.parquet")[0]["label"].tolist() for name in ("fold-0", "ensemble")
    ]
    assert labels[0] == labels[1] and labels[0].count("healthy") == 5
    assert after["external"] != before["external"]


def test_mpox_against_the_rest_from_a_study_of_four_classes(runs: Path, elsewhere: Path) -> None:
    results = run(runs, elsewhere, "binary=true", "name=two", "models=[mnasnet_100]")
    place = runs / "default" / "external" / "two" / "mnasnet_100" / "fold-0"
    table, classes = read_predictions(place / "predictions.parquet")
    assert classes == ["other", "mpox"]
    assert set(table["label"]) == {"other", "mpox"}
    inside = results["mnasnet_100"]["internal"][0]
    four = read_json(runs / "default" / "mnasnet_100" / "fold-0" / "metrics.json")["test"]
    assert inside["auroc_mpox"] == pytest.approx(four["auroc_mpox"])
    config = yaml.safe_load((place / "config.yaml").read_text())
    assert (config["binary"], config["fold"], config["model"]) == (True, 0, "mnasnet_100")


def test_classes_pairs_and_places(
    runs: Path, elsewhere: Path, tmp_path: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Path(shutil.copytree(elsewhere, tmp_path / "other"))
    (other / "acne").rename(other / "measles")
    with pytest.raises(UserError, match=r"does not know measles.*map=\{measles: <class>\}"):
        run(runs, other)
    run(runs, other, "map={measles: null}", "models=[mnasnet_100]")
    flow = read_json(runs / "default" / "external" / "elsewhere" / "external.json")["flow"]
    assert (flow["not mapped"], flow["scored"]) == (4, 12)
    seen = sorted(pd.read_parquet(runs / "default" / "manifest.parquet")["photo_id"])[0]
    fresh = sorted((elsewhere / "healthy").iterdir())[0].name
    pd.DataFrame({"photo_id": [seen], "other": [f"elsewhere/healthy/{fresh}"]}).to_parquet(tmp_path / "pairs.parquet")
    run(runs, elsewhere, f"pairs={tmp_path / 'pairs.parquet'}", "name=linked", "models=[mnasnet_100]")
    flow = read_json(runs / "default" / "external" / "linked" / "external.json")["flow"]
    assert (flow["same source"], flow["scored"]) == (1, 15)
    assert "pairs=" not in caplog.text
    pd.DataFrame({"photo_id": [seen], "other": [f"other/healthy/{fresh}"]}).to_csv(tmp_path / "pairs.csv", index=False)
    run(runs, elsewhere, f"pairs={tmp_path / 'pairs.csv'}", "name=unlinked", "models=[mnasnet_100]")
    assert "pairs= names none of the photos of unlinked (such as elsewhere/acne/" in caplog.text
    assert "the study's photos" not in caplog.text
    with pytest.raises(UserError, match=r"none of the 24 photos of .* is new to the study \(24 found, 24 exact\)"):
        run(runs, photos)
    with pytest.raises(UserError, match=r"missing or changed.*study_root=<folder>, or duplicates=exact"):
        run(runs, elsewhere, f"study_root={tmp_path}")
    with pytest.raises(UserError, match="no finished run of resnet50"):
        run(runs, elsewhere, "models=[resnet50]")
    with pytest.raises(UserError, match="duplicates=sometimes is unknown"):
        run(runs, elsewhere, "duplicates=sometimes")


@pytest.mark.slow
def test_a_class_without_photos_leaves_no_mean_over_the_classes(
    runs: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Healthy skin is left out: the mean recall of the other three is not the balanced accuracy of all four."""
    options = [f"runs_dir={runs}", "study=default", f"data.root={elsewhere}", "data.source=elsewhere"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        run_command(compose("evaluate", [*options, "map={healthy: null}", "models=[mnasnet_100]"]))
    printed = " ".join(capsys.readouterr().out.split())
    assert "sensitivity" in printed
    assert "balanced" not in printed
    assert "AUROC" not in printed
    place = runs / "default" / "external" / "elsewhere" / "mnasnet_100"
    for name in ("fold-0", "ensemble"):
        metrics = read_json(place / name / "metrics.json")["external"]
        assert metrics["balanced_accuracy"] is metrics["auroc"] is metrics["f1_macro"] is None
        assert metrics["sensitivity"] is not None
    compare_options = [f"runs_dir={runs}", "study=default", "resamples=100"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        comparison = compare(compose("compare", compare_options))
    (external,) = comparison.external
    assert external.absent == ("healthy",)
    assert {"balanced_accuracy", "auroc"}.isdisjoint(score.metric for score in external.scores)
    page = (runs / "default" / "comparison" / "index.html").read_text()
    section = page[page.index('<section id="external">') : page.index('<section id="failures">')]
    assert "none of healthy" in section
    assert external.at_threshold is not None
    assert "sensitivity at the threshold" in section
    assert f"{external.at_threshold[0].value:.3f}" in section
    assert "sensitivity" in section
    assert "balanced accuracy" not in section
    assert not [sentence for sentence in comparison.conclusion if "never saw" in sentence]


def test_the_command(runs: Path, elsewhere: Path) -> None:
    environment = {**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mpox.evaluate", "study=default", f"runs_dir={runs}", f"data.root={elsewhere}"]
    good = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert good.returncode == 0, good.stderr
    assert "18 found, 1 exact, 1 perceptual, 16 scored" in good.stderr
    assert "not a diagnosis" in good.stdout


def test_networks_that_are_not_scored_are_named_with_the_reason(
    runs: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(runs, elsewhere)
    assert "not scored" not in caplog.text
    one, other = MODELS
    for fold in range(3):
        RunDirectory(runs, "default", one, fold).fail("a trace", "MemoryError: no\nmore")
    RunDirectory(runs, "default", other, 1).write_status("interrupted", error="stopped by SIGTERM")
    shutil.rmtree(runs / "default" / other / "fold-2")
    assert set(run(runs, elsewhere)) == {other}
    assert [record.getMessage() for record in caplog.records if "not scored" in record.getMessage()] == [
        f"{one}: not scored (fold-0, fold-1, fold-2: failed (MemoryError: no more)): its traceback.txt says why; "
        "typing the sweep again trains it again",
        f"{other}: some networks are not scored, and figures are those of the others (fold-1: interrupted (stopped by "
        "SIGTERM); fold-2: missing): typing the sweep again resumes it",
    ]
    caplog.clear()
    run(runs, elsewhere, f"models=[{other}]")
    assert one not in caplog.text  # which was not asked for


def test_leave_one_source_out_composes() -> None:
    with initialize_config_dir(config_dir("sweeps"), version_base="1.3"):
        search = f"hydra.searchpath=[file://{config_dir()}]"
        cfg = compose("leave_one_source_out", [search, "data.without=a"], return_hydra_config=True)
    assert (cfg.study, cfg.data.without, cfg.task._target_) == ("without_a", "a", "mpox.data.task.binary")
    assert set(cfg.hydra.sweeper.params) == {"fold"}


@pytest.mark.slow
def test_a_mistake_is_one_line_and_exit_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mpox.evaluate", "study=nothing", f"runs_dir={tmp_path}"]
    bad = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, timeout=300)
    assert bad.returncode == 1
    assert bad.stderr.startswith("error: there is no study at")
    assert "Traceback" not in bad.stderr
