"""Reading a study whose directories have been spoilt in every way a sweep can spoil them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from generated_study import CLASSES, make_study, write_run

from mpox.data.folds import read_folds
from mpox.data.manifest import read_manifest
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.runs.run_directory import RunDirectory
from mpox.study.results import StudyResults, read_study

FOLDS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    make_study(runs, "s", {"a": 2.0, "b": 1.0}, n_photos=96, n_folds=FOLDS)
    return runs


@pytest.fixture
def noted(whole: Path, tmp_path: Path) -> Path:
    """A study whose runs note the hashes of their files."""
    return Path(shutil.copytree(whole, tmp_path / "runs"))


@pytest.fixture
def runs(noted: Path) -> Path:
    """A study of a release that did not, so that nothing but the files' content can tell."""
    for status in noted.glob("s/*/*/status.json"):
        write_json(status, {name: value for name, value in read_json(status).items() if name != "files"})
    return noted


def rewrite(run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = run / "predictions.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_what_is_read_is_aligned(runs: Path) -> None:
    results = read_study(runs, "s")
    assert (results.classes, results.positive, results.folds, results.n_folds) == (CLASSES, 3, (0, 1, 2, 3), FOLDS)
    assert [model.name for model in results.models] == ["a", "b"]
    splits = read_json(runs / "s" / "splits.json")["folds"]
    assert list(results.photos["photo_id"]) == [photo for fold in splits for photo in fold]
    for model in results.models:
        for k, fold in enumerate(results.folds):
            table = pd.read_parquet(runs / "s" / model.name / f"fold-{fold}" / "predictions.parquet")
            test = table[table["split"] == "test"].set_index("photo_id").loc[splits[fold]]
            columns = [f"logit_{name}" for name in CLASSES]
            np.testing.assert_array_equal(model.logits[results.fold_index == k], test[columns])
            assert list(test["label"]) == list(results.photos.loc[results.fold_index == k, "label"])
            val = table[table["split"] == "val"]
            assert len(model.val[k][0]) == len(val) == len(splits[(fold + 1) % FOLDS])
    # both photos of a subject are in one group
    assert results.codes.max() + 1 == 48
    assert all(job.used and job.state == "done" for job in results.jobs)
    assert results.warnings == ()
    assert results.config["optimizer.lr"] == 1e-4
    assert not {"fold", "model.name", "image_size"} & set(results.config)


def missing(runs: Path) -> None:
    shutil.rmtree(runs / "s" / "b" / "fold-2")


def failed(runs: Path) -> None:
    RunDirectory(runs, "s", "b", 2).fail("Traceback ...", "out of memory")


def broken_off(runs: Path) -> None:
    RunDirectory(runs, "s", "b", 2).write_status("running")


def copied(runs: Path) -> None:
    missing(runs)
    shutil.copytree(runs / "s" / "b" / "fold-1", runs / "s" / "b" / "fold-2")


def photos_twice(runs: Path) -> None:
    rewrite(runs / "s" / "b" / "fold-2", lambda table: pd.concat([table, table.tail(1)]))


def photos_gone(runs: Path) -> None:
    rewrite(runs / "s" / "b" / "fold-2", lambda table: table.iloc[1:])


def other_splits(runs: Path) -> None:
    path = runs / "s" / "b" / "fold-2" / "environment.json"
    write_json(path, {**read_json(path), "splits_sha256": "0" * 64})


def not_a_number(runs: Path) -> None:
    rewrite(runs / "s" / "b" / "fold-2", lambda table: table.assign(logit_mpox=np.nan))


def other_classes(runs: Path) -> None:
    run = runs / "s" / "b" / "fold-2"
    rewrite(run, lambda table: table.rename(columns={"logit_acne": "logit_eczema"}).replace("acne", "eczema"))
    path = run / "metrics.json"
    write_json(path, {**read_json(path), "classes": ["eczema", *CLASSES[1:]]})


def half_written(runs: Path) -> None:
    (runs / "s" / "b" / "fold-2" / "metrics.json").write_text("{")


def no_predictions(runs: Path) -> None:
    (runs / "s" / "b" / "fold-2" / "predictions.parquet").unlink()


def other_figures(runs: Path) -> None:
    one, two = (runs / "s" / model / "fold-2" / "predictions.parquet" for model in ("a", "b"))
    shutil.copy(one, two)


SPOILT = [
    (missing, "missing", "typing the sweep again"),
    (failed, "failed", "out of memory"),
    (broken_off, "running", "resumes"),
    (copied, "duplicated", "a copy of b fold 1"),
    (photos_twice, "duplicated", "twice"),
    (photos_gone, "other photos", "not those of fold 2|not those of fold 3"),
    (other_splits, "other splits", "hash 00000000"),
    (not_a_number, "not finite", "NaN"),
    (other_classes, "other classes", "eczema"),
    (half_written, "damaged", "metrics.json cannot be read"),
    (other_figures, "damaged", "they are not of one run"),
    (no_predictions, "unreadable", "lacks predictions.parquet"),
]


@pytest.mark.parametrize(("spoil", "state", "words"), SPOILT, ids=[spoil.__name__ for spoil, _, _ in SPOILT])
def test_a_spoilt_job_is_refused_or_shown(runs: Path, spoil: Callable[[Path], None], state: str, words: str) -> None:
    spoil(runs)
    with pytest.raises(UserError, match=rf"study s: 1 of 8 runs .*'{state}': b fold 2.*allow_partial=true") as refused:
        read_study(runs, "s")
    assert "\n" not in str(refused.value)
    results = read_study(runs, "s", allow_partial=True)
    assert results.folds == (0, 1, 3)
    by_job = {(job.model, job.fold): job for job in results.jobs}
    assert (by_job["b", 2].state, by_job["b", 2].used) == (state, False)
    # the other model's sound fold is not used either: none is ranked on different folds
    assert (by_job["a", 2].state, by_job["a", 2].used) == ("done", False)
    assert all(len(model.logits) == len(results.photos) < 96 for model in results.models)
    assert "only 3 of 4 folds" in results.warnings[0]
    shown = f"{refused.value} {by_job['b', 2].note}"
    assert any(part in shown for part in words.split("|"))


def test_a_model_without_a_sound_run_is_left_out_and_named(runs: Path) -> None:
    for fold in range(FOLDS):
        RunDirectory(runs, "s", "b", fold).fail("Traceback ...", "no weights")
    results = read_study(runs, "s", allow_partial=True)
    assert [model.name for model in results.models] == ["a"]
    assert results.folds == (0, 1, 2, 3)
    assert results.warnings == ("b is left out: no sound run (4 failed)",)


def test_models_without_a_common_fold_are_not_ranked(runs: Path) -> None:
    for model, kept in (("a", (0, 1)), ("b", (2, 3))):
        for fold in set(range(FOLDS)) - set(kept):
            shutil.rmtree(runs / "s" / model / f"fold-{fold}")
    with pytest.raises(UserError, match=r"no fold of study s is done for all of its 2 models.*models=\[…\]"):
        read_study(runs, "s", allow_partial=True)
    assert read_study(runs, "s", allow_partial=True, models=["b"]).folds == (2, 3)


def test_a_fold_that_the_splits_do_not_have(runs: Path) -> None:
    shutil.copytree(runs / "s" / "a" / "fold-0", runs / "s" / "a" / "fold-7")
    status = runs / "s" / "a" / "fold-7" / "status.json"
    write_json(status, {**read_json(status), "fold": 7})
    with pytest.raises(UserError, match=r"'other splits': a fold 7 .*folds 0 to 3"):
        read_study(runs, "s")


def test_nothing_to_compare(runs: Path) -> None:
    with pytest.raises(UserError, match="there is no study"):
        read_study(runs, "other")
    (runs / "empty").mkdir()
    with pytest.raises(UserError, match="has no models"):
        read_study(runs, "empty")
    with pytest.raises(UserError, match="has no model c: it has a, b"):
        read_study(runs, "s", models=["a", "c"])
    for model in ("a", "b"):
        for fold in range(FOLDS):
            RunDirectory(runs, "s", model, fold).write_status("running")
    with pytest.raises(UserError, match="no finished run"):
        read_study(runs, "s", allow_partial=True)
    (runs / "s" / "splits.json").unlink()
    with pytest.raises(UserError, match=r"splits\.json is missing"):
        read_study(runs, "s")


def test_runs_told_different_things_are_compared_with_a_warning(runs: Path) -> None:
    def retold(results_of: str, **changes: object) -> StudyResults:
        manifest = read_manifest(runs / "s" / "manifest.parquet")
        folds = read_folds(runs / "s" / "splits.json", manifest, FOLDS)
        for fold in range(FOLDS):
            shutil.rmtree(runs / "s" / results_of / f"fold-{fold}")
            logits = np.random.default_rng(fold).normal(size=(len(manifest), 4))
            write_run(runs, "s", results_of, fold, manifest, folds, logits, CLASSES, "mpox", **changes)
        return read_study(runs, "s")

    assert retold("b", image_size=192, augment={"size": 192}).warnings == ()
    (warning,) = retold("b", seed=3).warnings
    assert warning == "the runs differ in more than the model: seed"


def test_folds_of_other_weights_are_compared_with_a_warning(runs: Path) -> None:
    for fold in range(FOLDS):
        path = runs / "s" / "a" / f"fold-{fold}" / "environment.json"
        place = f"file: /disk{fold}/{'mine' if fold == 2 else 'a'}.safetensors"
        write_json(path, {**read_json(path), "weights": place})
    found = [one for one in read_study(runs, "s").warnings if "different weights" in one]
    assert found == ["the folds of a started from different weights: file a.safetensors, file mine.safetensors"]


@pytest.mark.parametrize("name", ["config.yaml", "predictions.parquet", "metrics.json", "environment.json"])
def test_a_flipped_byte_is_named_whatever_it_changes(noted: Path, name: str) -> None:
    path = noted / "s" / "b" / "fold-2" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"'damaged': b fold 2 \({name} is not what was written"):
        read_study(noted, "s")


@pytest.mark.parametrize("content", [b"", b"study: s\nmodel: {na", b"\xff\xfe\x00"], ids=["empty", "cut", "noise"])
@pytest.mark.parametrize("name", ["config.yaml", "status.json"])
def test_a_broken_file_of_a_run_is_named(runs: Path, name: str, content: bytes) -> None:
    (runs / "s" / "b" / "fold-2" / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"b fold 2 \({name} (is|cannot be read).*overwrite=true"):
        read_study(runs, "s")


def test_a_configuration_cut_at_the_end_of_a_line_is_named(runs: Path) -> None:
    (runs / "s" / "b" / "fold-2" / "config.yaml").write_text("study: s\nfold: 2\n")
    with pytest.raises(UserError, match=r"b fold 2 \(config.yaml lacks model and image_size"):
        read_study(runs, "s")
