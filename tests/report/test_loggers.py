"""TensorBoard's files read back by TensorBoard, MLflow's runs by a real server; what is missing is said."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests
from omegaconf import DictConfig

from mpox.errors import UserError
from mpox.report.mlflow import TAG, make_logger
from mpox.report.wandb_mode import run_id
from mpox.training.job import train

Configured = Callable[..., DictConfig]
MODEL = "mobilenetv3_small_100"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server of this machine, with its database and artifacts in a temporary folder."""
    if find_spec("mlflow") is None or find_spec("flask") is None:
        pytest.skip("no MLflow server here: pip install -e '.[mlflow]'")
    place = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", address.rpartition(":")[2], "--workers", "1"]
    stores = [f"--backend-store-uri=sqlite:///{place}/runs.db", f"--artifacts-destination={place}/artifacts"]
    with (place / "log").open("wb") as log, subprocess.Popen([*command, *stores], stdout=log, stderr=log) as process:
        try:
            for _ in range(240):
                try:
                    if requests.get(f"{address}/health", timeout=5).ok:
                        break
                except requests.ConnectionError:
                    time.sleep(0.5)
            else:
                pytest.fail((place / "log").read_text()[-2000:])
            yield address
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_job_is_one_run_of_an_mlflow_server(configured: Configured, tmp_path: Path, server: str) -> None:
    from mlflow.tracking import MlflowClient

    typed = ["logger=mlflow", f"logger.tracking_uri={server}", "study=m", "callbacks=gradcam"]
    result = train(configured(*typed))
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("mpox")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags[TAG] == run_id("m", MODEL, 0) and run.data.tags["mlflow.user"] == ""
    assert run.data.metrics["test_final/balanced_accuracy"] == pytest.approx(result["test"]["balanced_accuracy"])
    assert {"train/loss", "val/nll"} <= set(run.data.metrics)
    assert run.data.params["optimizer/weight_decay"] == "0.05"
    assert str(tmp_path) not in str(run.data.params) + str(run.data.tags)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        *("metrics.json", "predictions.parquet", "explain"),
    }
    sheets = client.list_artifacts(run.info.run_id, "explain/gradcam")
    assert {Path(file.path).name for file in sheets} >= {"sheet-confident.png"}

    shutil.rmtree(tmp_path / "runs" / "m" / MODEL / "fold-0")
    train(configured(*typed, "schedule=probe"))  # the same job again, and one without a training
    (again,) = client.search_runs([experiment.experiment_id])
    assert again.info.run_id == run.info.run_id and again.info.status == "FINISHED"


def test_a_server_that_is_gone_costs_a_warning(
    configured: Configured, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if find_spec("mlflow") is None:
        pytest.skip("no MLflow here: pip install -e '.[mlflow]'")
    with caplog.at_level("WARNING"):
        train(configured("logger=mlflow", "logger.tracking_uri=http://127.0.0.1:9", "schedule=probe"))
    assert "nothing is logged to mpox.report.mlflow" in caplog.text


def test_mlflow_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"pip install 'mpox\[mlflow\]'"):
        make_logger(run_dir="r", study="s", model="m", fold=0, experiment="e", tracking_uri=None, local="l")


@pytest.mark.slow
def test_tensorboard_reads_curves_figures_and_maps(configured: Configured, tmp_path: Path) -> None:
    if find_spec("tensorboard") is None:
        pytest.skip("no TensorBoard here: pip install -e '.[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(configured("logger=tensorboard", "callbacks=gradcam"))
    folder = tmp_path / "runs" / "default" / MODEL / "fold-0" / "tensorboard"
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert {"train/loss", "val/nll"} <= set(events.Tags()["scalars"])
    (final,) = events.Scalars("test_final/balanced_accuracy")
    assert final.value == pytest.approx(result["test"]["balanced_accuracy"])
    assert "explain/gradcam/sheet-confident" in events.Tags()["images"]
