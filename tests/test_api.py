"""Studies and comparisons as tables, in Python."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from generated_study import make_study
from hydra import compose, initialize_config_dir

import mpox
from mpox.commands.compare import compare
from mpox.errors import UserError
from mpox.files import read_json
from mpox.options import config_dir


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two models on three folds."""
    runs = tmp_path_factory.mktemp("api") / "runs"
    make_study(runs, "web", {"tf_efficientnet_lite0": 2.0, "mobilenetv3_small_100": 1.0}, n_folds=3)
    return runs / "web"


def test_a_study_is_a_table_of_runs(study: Path) -> None:
    table = mpox.read_study(study)
    assert len(table) == 6 and set(table["model"]) == {"tf_efficientnet_lite0", "mobilenetv3_small_100"}
    assert set(table["state"]) == {"done"}
    one = table.iloc[-1]
    assert one["test/balanced_accuracy"] == read_json(one["path"] / "metrics.json")["test"]["balanced_accuracy"]
    alone = mpox.read_study(one["path"])
    assert alone[["model", "fold"]].to_numpy().tolist() == [[one["model"], one["fold"]]]


def test_predictions_are_one_table(study: Path) -> None:
    table = mpox.read_predictions(study)
    tested = table[(table["split"] == "test") & (table["model"] == "tf_efficientnet_lite0")]
    assert len(tested) == 240 and tested["photo_id"].is_unique
    called = tested.filter(like="logit_").idxmax(axis=1).str.removeprefix("logit_")
    accuracy = mpox.read_study(study).query("model == 'tf_efficientnet_lite0'")["test/accuracy"].mean()
    assert (called == tested["label"]).mean() == pytest.approx(accuracy, abs=0.01)


def test_the_final_network_repeats_no_prediction(study: Path, tmp_path: Path) -> None:
    copied = tmp_path / "web"
    shutil.copytree(study, copied)
    final = copied / "tf_efficientnet_lite0" / "fold-all"
    shutil.copytree(copied / "tf_efficientnet_lite0" / "fold-0", final)
    assert len(mpox.read_study(copied)) == len(mpox.read_study(study)) + 1
    assert mpox.read_predictions(copied).equals(mpox.read_predictions(study))
    assert len(mpox.read_predictions(final)), "asked for by its own path, it has those of its folds"


@pytest.mark.slow
def test_a_comparison_is_a_table_of_models(study: Path) -> None:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        options = ["study=web", f"runs_dir={study.parent}", "logger.mode=disabled", "resamples=100"]
        compare(compose("compare", options))
    table = mpox.read_comparison(study)
    assert table["rank"].tolist() == [1, 2]
    written = read_json(study / "comparison" / "comparison.json")["models"]
    assert table["model"].tolist() == [model["name"] for model in written]
    score = written[0]["scores"]["balanced_accuracy"]["pooled"]
    assert table["balanced_accuracy_pooled"][0] == pytest.approx(score, abs=1e-5)
    assert mpox.read_comparison(study / "comparison").equals(table)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for read in (mpox.read_study, mpox.read_predictions, mpox.read_comparison, mpox.load):
        with pytest.raises(UserError, match=r"no (run|comparison|model)"):
            read(tmp_path / "nowhere")
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = mpox.lod  # type: ignore[attr-defined]


def test_importing_the_package_stays_light() -> None:
    program = "import sys, mpox; print(*{name.partition('.')[0] for name in sys.modules})"
    names = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "numpy", "PIL", "hydra"} & set(names)
