"""W&B offline: what a run writes, read back with wandb's own message types."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import DictConfig
from wandb_records import records

from mpox.errors import UserError
from mpox.report.loggers import log_result
from mpox.report.wandb import make_logger
from mpox.report.wandb_mode import resolve_mode, run_id
from mpox.report.wandb_run import finish
from mpox.training.job import train


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_offline_run_is_complete(configured: Callable[..., DictConfig], tmp_path: Path, no_key: None) -> None:
    result = train(configured("logger=wandb", "study=w", "fold=1", "logger.project=trial"))
    run = tmp_path / "runs" / "w" / "mobilenetv3_small_100" / "fold-1"
    folders = list(run.glob("wandb/offline-run-*"))
    assert len(folders) == 1
    found = records(folders[0])
    started = next(record.run for record in found if record.WhichOneof("record_type") == "run")
    assert started.run_id == run_id("w", "mobilenetv3_small_100", 1)
    assert (started.project, started.job_type, started.run_group) == ("trial", "train", "w/mobilenetv3_small_100")
    config, summary, history, files = {}, {}, set(), set()
    for record in found:
        for change in [*record.run.config.update, *record.config.update]:
            config[change.key or "/".join(change.nested_key)] = json.loads(change.value_json)
        for change in record.summary.update:
            summary[change.key or "/".join(change.nested_key)] = json.loads(change.value_json)
        history |= {item.key or "/".join(item.nested_key) for item in record.history.item}
        files |= {item.path for item in record.files.files}
    assert config["fold"] == 1
    assert str(tmp_path) not in json.dumps(config) and config["data"]["root"].startswith("…/")
    whole = b"".join(path.read_bytes() for path in folders[0].rglob("*.json"))
    assert str(tmp_path).encode() not in whole  # the tables
    assert not any("metadata" in path for path in files) and not started.host  # the machine's name, the command line
    assert config["optimizer"]["weight_decay"] == 0.05
    assert {"train/loss", "val/nll", "val/balanced_accuracy"} <= history
    assert summary["test_final/balanced_accuracy"] == pytest.approx(result["test"]["balanced_accuracy"])
    assert any("predictions" in path for path in files)
    assert any("confusion_matrix" in path for path in files)
    assert any(record.WhichOneof("record_type") == "exit" for record in found)


def test_a_network_of_every_photo_sends_the_figures_of_its_folds(
    tmp_path: Path, no_key: None, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = make_logger(run_dir=str(tmp_path), study="w", model="m", fold="all", project="p", entity=None, mode="auto")
    result = {"classes": ["a", "b"], "cross_validated": {"accuracy": 0.5}}
    held_out = pd.DataFrame({"photo_id": ["1"], "split": "test", "label": "a", "logit_a": 1.0, "logit_b": 0.0})
    log_result(logger, result, held_out, tmp_path)
    finish()
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    changed = [change for record in records(folder) for change in record.summary.update]
    assert "cross_validated_final/accuracy" in {change.key or "/".join(change.nested_key) for change in changed}
    assert "the run directory has it all" not in caplog.text
    assert "anonymous" not in capfd.readouterr().err


def test_without_a_key_it_is_offline_and_never_asks(no_key: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert resolve_mode("auto") == "online"
    assert resolve_mode("disabled") == "disabled"
    with pytest.raises(UserError, match=r"logger\.mode=sometimes"):
        resolve_mode("sometimes")


def test_ids_are_stable_distinct_and_safe() -> None:
    ids = {run_id(study, model, fold) for study in ("a", "a/b", "a-b") for model in ("m", "n") for fold in (0, 1)}
    assert len(ids) == 12
    assert run_id("a", "m", 0) == run_id("a", "m", 0)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for name in ids)


def test_csv_logger(configured: Callable[..., DictConfig], tmp_path: Path) -> None:
    train(configured("logger=csv"))
    text = (tmp_path / "runs" / "default" / "mobilenetv3_small_100" / "fold-0" / "metrics.csv").read_text()
    assert "val/nll" in text.splitlines()[0]
