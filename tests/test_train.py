"""The job through its public entry: the real configuration, CNN, Lightning and files, one epoch on small photos."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from omegaconf import DictConfig
from power_cut import power_cut

from mpox.data.manifest import write_manifest
from mpox.data.sources import folder
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.model.checkpoint import load_checkpoint
from mpox.model.classifier import LesionClassifier
from mpox.stats.predictions import read_predictions, score
from mpox.training.job import train

Configured = Callable[..., DictConfig]


def run_of(tmp_path: Path, fold: int = 0, model: str = "mobilenetv3_small_100") -> Path:
    return tmp_path / "runs" / "default" / model / f"fold-{fold}"


def test_run_directory_holds_all_that_later_stages_need(configured: Configured, tmp_path: Path, photos: Path) -> None:
    result = train(configured())
    run = run_of(tmp_path)
    assert {path.name for path in run.iterdir()} == {
        *("config.yaml", "checkpoint.ckpt", "predictions.parquet", "metrics.json", "environment.json", "train.log"),
        "status.json",
    }
    assert read_json(run / "metrics.json") == result
    assert read_json(run / "status.json")["state"] == "done"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["fold"], config["image_size"], config["optimizer"]["lr"]) == (0, 32, 5e-4)

    table, classes = read_predictions(run / "predictions.parquet")
    assert classes == ["acne", "chickenpox", "healthy", "mpox"]
    splits = read_json(tmp_path / "runs" / "default" / "splits.json")["folds"]
    assert sorted(table.loc[table["split"] == "test", "photo_id"]) == splits[0]
    assert sorted(table.loc[table["split"] == "val", "photo_id"]) == splits[1]
    assert all(label in path for label, path in zip(table["label"], table["path"], strict=True))
    test = table[table["split"] == "test"]
    assert score(test, classes, classes.index("mpox")) == result["test"]

    environment = read_json(run / "environment.json")
    assert environment["seed"] == 0
    assert set(environment["seconds"]) == {"data", "network", "finetune", "predict"}
    assert environment["versions"]["torch"] == torch.__version__


def test_checkpoint_gives_the_predictions_again(configured: Configured, tmp_path: Path, photos: Path) -> None:
    from mpox.data.photos import open_photo
    from mpox.data.store import square

    train(configured("task=binary"))
    run = run_of(tmp_path)
    torch.load(run / "checkpoint.ckpt", weights_only=True)
    network, card = load_checkpoint(run / "checkpoint.ckpt")
    assert (card.classes, card.positive, card.model, card.fold) == (("other", "mpox"), 1, "mobilenetv3_small_100", 0)
    assert card.splits_sha256 == read_json(run / "environment.json")["splits_sha256"]
    table, _ = read_predictions(run / "predictions.parquet")
    pictures = np.stack([square(open_photo(photos / path), 32, card.record.interpolation) for path in table["path"]])
    with torch.inference_mode():
        logits = network(torch.from_numpy(pictures).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(logits, table[["logit_other", "logit_mpox"]].to_numpy(), atol=1e-4)


def test_finished_job_is_only_read(configured: Configured, tmp_path: Path) -> None:
    first = train(configured())
    stamps = {path: path.stat().st_mtime_ns for path in run_of(tmp_path).iterdir()}
    assert train(configured("threads=1", "num_workers=0")) == first
    assert {path: path.stat().st_mtime_ns for path in run_of(tmp_path).iterdir()} == stamps


def test_changed_configuration_is_refused_with_the_difference(configured: Configured, tmp_path: Path) -> None:
    train(configured())
    with pytest.raises(UserError, match=r"optimizer\.lr: \S+ -> 0\.1.*overwrite=true") as raised:
        train(configured("optimizer.lr=0.1"))
    assert "\n" not in str(raised.value)
    before = read_json(run_of(tmp_path) / "metrics.json")
    assert train(configured("optimizer.lr=0.1", "overwrite=true")) != before
    assert yaml.safe_load((run_of(tmp_path) / "config.yaml").read_text())["optimizer"]["lr"] == 0.1


@pytest.mark.parametrize(("epoch", "step"), [(1, 0), (1, 1)], ids=["between epochs", "mid-epoch"])
@pytest.mark.parametrize(
    "extra",
    [(), ("callbacks=early_stopping", "~callbacks.average", "augment=mixup", "balance=sampling")],
    ids=["averaged", "mixed"],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    configured: Configured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
    step: int,
    extra: tuple[str, ...],
) -> None:
    options = (
        "schedule=finetune",
        "schedule.finetune.epochs=3",
        "batch_size=4",
        "dropout=0.2",
        "schedule.finetune.norms=train",
        *extra,
    )
    train(configured(*options, "study=whole"))
    with power_cut(epoch, step):
        train(configured(*options, "study=broken"))
    broken_run = tmp_path / "runs" / "broken" / "mobilenetv3_small_100" / "fold-0"
    assert read_json(broken_run / "status.json")["state"] != "done"
    assert not (broken_run / "predictions.parquet").exists()
    train(configured(*options, "study=broken"))
    assert "resuming" in (broken_run / "train.log").read_text()
    tables = [
        pd.read_parquet(tmp_path / "runs" / study / "mobilenetv3_small_100" / "fold-0" / "predictions.parquet")
        for study in ("whole", "broken")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_failed_job_keeps_its_traceback_and_can_be_run_again(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LesionClassifier, "training_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(configured())
    run = run_of(tmp_path)
    status = read_json(run / "status.json")
    assert (status["state"], status["error"]) == ("failed", "ZeroDivisionError: division by zero")
    assert (
        "training_step" in (run / "traceback.txt").read_text()
        or "ZeroDivisionError" in (run / "traceback.txt").read_text()
    )
    train(configured())
    assert read_json(run / "status.json")["state"] == "done"
    assert not (run / "traceback.txt").exists()


def test_probe_then_finetune_starts_from_the_probe(configured: Configured, tmp_path: Path) -> None:
    probe = train(configured("schedule=probe", "study=probe"))
    both = ("schedule=probe_then_finetune", "schedule.finetune.epochs=1")
    frozen = train(configured(*both, "optimizer.lr=1e-12", "study=frozen"))
    assert frozen["test"]["nll"] == pytest.approx(probe["test"]["nll"], abs=1e-4)
    moved = train(configured(*both, "optimizer.lr=1e-2", "study=moved"))
    assert moved["test"]["nll"] != pytest.approx(probe["test"]["nll"], abs=1e-4)


def test_folds_share_frozen_features(configured: Configured, tmp_path: Path) -> None:
    for fold in (0, 1):
        train(configured("schedule=probe", f"fold={fold}"))
    assert len(list((tmp_path / "runs" / ".cache").glob("features-*.npy"))) == 1


def test_the_probe_learns_from_augmented_views_too_each_computed_once(configured: Configured, tmp_path: Path) -> None:
    options = ("schedule=probe", f"cache_dir={tmp_path}/cache", "schedule.probe.views=2")
    plain = train(configured(*options[:2], "study=plain"))
    kept = set((tmp_path / "cache").glob("features-*.npy"))
    seen = train(configured(*options, "study=views"))
    assert seen != plain
    views = set((tmp_path / "cache").glob("features-*.npy")) - kept
    assert len(views) == 2 and len({path.read_bytes() for path in views}) == 2
    stamps = {path: path.stat().st_mtime_ns for path in views}
    assert train(configured(*options, "study=again")) == seen
    train(configured(*options, "study=views", "fold=1"))  # another fold computes nothing again
    assert {path: path.stat().st_mtime_ns for path in views} == stamps
    assert set((tmp_path / "cache").glob("features-*.npy")) == kept | views


def test_given_splits_are_used(configured: Configured, tmp_path: Path) -> None:
    train(configured())
    splits = tmp_path / "runs" / "default" / "splits.json"
    content = read_json(splits)
    content["folds"] = content["folds"][1:] + content["folds"][:1]
    write_json(tmp_path / "given.json", content)
    train(configured("study=other", f"splits={tmp_path}/given.json"))
    assert read_json(tmp_path / "runs" / "other" / "splits.json")["folds"] == content["folds"]
    with pytest.raises(UserError, match="differs from the study's own"):
        train(configured("fold=1", f"splits={tmp_path}/given.json"))


def test_a_study_keeps_to_its_data_wherever_it_lies(configured: Configured, tmp_path: Path, photos: Path) -> None:
    train(configured())
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    train(configured(f"data.root={moved}", "fold=1"))
    with pytest.raises(UserError, match=r"made of other data \(data\.class_level: 0 -> -1\)"):
        train(configured("fold=2", "data.class_level=-1"))


def test_a_changed_manifest_is_another_study(configured: Configured, tmp_path: Path, photos: Path) -> None:
    table = folder(str(photos)).manifest
    write_manifest(table, tmp_path / "photos.csv")
    options = ["data=manifest", f"data.manifest={tmp_path}/photos.csv", f"data.root={photos}"]
    train(configured(*options))
    write_manifest(table.assign(keep=table.index > 0), tmp_path / "photos.csv")
    with pytest.raises(UserError, match="made of another manifest"):
        train(configured(*options, "fold=1"))


def test_changed_photos_stop_the_study(configured: Configured, tmp_path: Path, photos: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(photos, own)
    train(configured(f"data.root={own}"))
    victim = next(own.glob("acne/*"))
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(UserError, match=f"missing or changed.*{victim.name}"):
        train(configured(f"data.root={own}", "fold=1"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fold=3"], "fold=3 does not exist"),
        (["n_folds=2"], "n_folds=2 leaves nothing to train on"),
        (["n_folds=7"], "7 folds need at least 7 independent groups"),
        (["data.root=/nowhere"], "data.root=/nowhere is not a folder"),
        (["task=binary", "task.positive=[plague]"], "finds no mpox among the classes"),
        (["model.timm_name=resnet51.tv_in1k"], "timm has no model 'resnet51.tv_in1k'"),
        (["balance=often"], "balance=often is unknown"),
        (["weights=file", "weights.path=/nowhere"], "weights.path=/nowhere does not exist"),
        (["splits=/nowhere.json"], "splits=/nowhere.json does not exist"),
        (["optimizer._target_=os.getcwd"], "os.getcwd is refused"),
        (["data.subject_pattern='(('"], "not a regular expression"),
        (["+data.classes={acne: acne}"], "class folders that data.classes does not name: chickenpox, healthy, mpox"),
    ],
)
def test_bad_input_is_one_line_before_training(
    configured: Configured, tmp_path: Path, options: list[str], message: str
) -> None:
    options = [option.replace("+data.classes", "data.classes") for option in options]
    with pytest.raises(UserError) as raised:
        train(configured(*options))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("runs/*/*/*/checkpoint.ckpt"))


@pytest.mark.parametrize(
    "override", ["study=../x", "study=''", "study=.cache", "study=a/b", "model.name=../../x", "model.name=external"]
)
def test_names_stay_below_the_runs(configured: Configured, tmp_path: Path, override: str) -> None:
    with pytest.raises(UserError, match=rf"{override.partition('=')[0]}=.*give"):
        train(configured(override))
    assert list(tmp_path.iterdir()) == []


def test_runs_are_not_written_among_the_photos(configured: Configured, photos: Path) -> None:
    before = sorted(photos.rglob("*"))
    for place in (photos, photos / "mpox"):
        with pytest.raises(UserError, match=r"runs_dir=.*give runs_dir="):
            train(configured(f"runs_dir={place}"))
    assert sorted(photos.rglob("*")) == before


def test_a_trainer_that_is_not_to_be_had_is_refused_before_photos_are_read(
    configured: Configured, tmp_path: Path
) -> None:
    for override in ("trainer.accelerator=tpu", "trainer.devices=-3", "trainer.precision=17"):
        with pytest.raises(UserError, match=r"this machine cannot train as configured.*trainer=default"):
            train(configured(override, "data.root=/nowhere"))
    assert list(tmp_path.iterdir()) == []
