"""A study, its runs and an export that an earlier release wrote (tests/before_the_move) are read by this one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mpox.commands.compare import compare
from mpox.commands.explain import explain
from mpox.commands.predict import open_model, predict
from mpox.data import sources
from mpox.data.working_picture import ONE_STEP
from mpox.files import read_json
from mpox.mobile.check import check
from mpox.options import config_dir
from mpox.runs.opened import logits_of, open_run
from mpox.stats.predictions import PREFIX, read_predictions
from mpox.training.job import train

BEFORE = Path(__file__).parent / "before_the_move"
# What the study was trained with, as its README says.
TRAINED = (
    *("study=old", "image_size=64", "n_folds=3", "data.size=64", "data.subjects_per_class=4", "batch_size=8"),
    *("data.photos_per_subject=2", "model=mobilenetv3_small_100", "model.name=tiny", "logger=none", "weights=none"),
    *("model.timm_name=test_efficientnet.r160_in1k", "schedule=finetune", "schedule.finetune.epochs=1"),
    "model.features=last",  # which the files of then do not record, nor the next
    "resize=one_step",
)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs directory, copied to another place than it was written in; its photos are not there."""
    shutil.copytree(BEFORE / "study", tmp_path / "runs" / "old")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic photos of the study, generated again elsewhere."""
    recipe = {"subjects_per_class": 4, "photos_per_subject": 2, "size": 64, "seed": 0}
    return sources.generated(str(tmp_path_factory.mktemp("again")), **recipe).root


def command(name: str, *options: str) -> DictConfig:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose(name, list(options))


def test_an_old_study_is_compared(runs: Path, photos: Path) -> None:
    compare(command("compare", "study=old", f"runs_dir={runs}", f"photos={photos}", "logger.mode=disabled"))
    before = read_json(BEFORE / "study" / "comparison" / "comparison.json")
    again = read_json(runs / "old" / "comparison" / "comparison.json")
    assert again["splits_sha256"] == before["splits_sha256"]
    (old,), (new,) = before["models"], again["models"]
    assert len(old["scores"]) >= 8
    for name, score in old["scores"].items():
        # Matthews' correlation of answers of one class was a made-up 0; it is not defined.
        folds = [None if name == "mcc" and value == 0 else value for value in score["folds"]]
        assert new["scores"][name]["folds"] == pytest.approx(folds, nan_ok=True), name
    assert (runs / "old" / "comparison" / "index.html").stat().st_size > 10_000


def test_an_old_run_is_opened_and_explained(runs: Path, photos: Path) -> None:
    run = open_run(runs / "old" / "tiny" / "fold-0", root=str(photos))
    table = read_predictions(run.path / "predictions.parquet")[0].set_index("photo_id")
    rows = run.rows("test")
    own = table.loc[run.photos["photo_id"].to_numpy()[rows]]
    assert run.card.record.resize == ONE_STEP  # as it was trained
    assert own["label"].tolist() == [run.card.classes[k] for k in run.photos["target"].to_numpy()[rows]]
    logits = logits_of(run.network, run.images(rows), 8)
    recorded = own[[f"{PREFIX}{name}" for name in run.card.classes]].to_numpy()
    torch.testing.assert_close(logits, torch.from_numpy(recorded.copy()), atol=1e-4, rtol=1e-4)
    result = explain(command("explain", f"run={run.path}", f"root={photos}"))
    assert len(pd.read_parquet(Path(result["folder"]) / "index.parquet")) == len(rows)


@pytest.mark.parametrize("place", [lambda runs: "runs", str], ids=["as it was named", "by its full path"])
def test_an_old_run_is_finished_to_the_command_that_made_it(runs: Path, place: Callable[[Path], str]) -> None:
    status = runs / "old" / "tiny" / "fold-0" / "status.json"
    before = status.read_bytes()
    result = train(command("train", *TRAINED, "fold=0", f"runs_dir={place(runs)}"))
    assert result == read_json(BEFORE / "study" / "tiny" / "fold-0" / "metrics.json")
    assert status.read_bytes() == before


def test_an_old_export_is_whole_and_answers(photos: Path) -> None:
    export = BEFORE / "export"
    findings = check(export)
    assert len(findings) == 2 and all(finding.passed for finding in findings)
    answers = predict(command("predict", f"of={export}", f"photos={photos}/mpox"))
    assert len(answers["photos"]) == 8 and not answers["unreadable"]
    model = open_model(str(export), sensitivity=0.5, threads=1)
    assert set(answers["photos"][0]["probabilities"]) == set(model.labels) and model.resize == ONE_STEP
