"""The command: real configuration, files on disk, words on the terminal."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from generated_study import make_study
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.console import Console
from stowaways import stowaways

from mpox.commands.compare import compare, show
from mpox.errors import UserError
from mpox.options import config_dir
from mpox.study.comparison_options import ComparisonOptions

Compared = Callable[..., DictConfig]


@pytest.fixture
def configured(tmp_path: Path) -> Compared:
    make_study(tmp_path / "runs", "s", {"weak_one": 0.5, "good": 2.5}, n_photos=96, n_folds=4, metrics=False)

    def composed(*overrides: str) -> DictConfig:
        places = (f"runs_dir={tmp_path}/runs", f"exports_dir={tmp_path}/exports")
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose("compare", ["study=s", "resamples=200", *places, *overrides])

    return composed


def test_files_tell_one_story(configured: Compared, tmp_path: Path) -> None:
    comparison = compare(configured("select=best"))
    folder = tmp_path / "runs" / "s" / "comparison"
    assert {"comparison.csv", "comparison.tex", "comparison.json", "chosen.yaml", "index.html"} <= {
        path.name for path in folder.iterdir()
    }
    best = comparison.best
    assert best.name == "good"
    read = json.loads((folder / "comparison.json").read_text())
    assert read["models"][0]["name"] == "good"
    with (folder / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["good", "weak_one"]
    assert float(rows[0]["balanced_accuracy_mean"]) == pytest.approx(best.scores["balanced_accuracy"].mean, rel=1e-5)
    assert rows[1]["versus_best"] == comparison.models[1].verdict
    latex = (folder / "comparison.tex").read_text()
    assert r"\toprule" in latex
    assert r"weak\_one & " in latex
    assert latex.count(r"\\") == 3
    chosen = yaml.safe_load((folder / "chosen.yaml").read_text())
    assert (chosen["study"], chosen["model"]) == ("s", "good")
    assert (chosen["fold"], chosen["run"], chosen["candidates"]) == ("all", "good/fold-all", ["good"])
    rule = comparison.best.decision
    assert (chosen["temperature"], chosen["threshold"]) == (rule.temperature, rule.threshold)
    assert chosen["quantiles"] == list(rule.quantiles)
    assert chosen["commands"][-1] == "python -m mpox.export chosen=chosen.yaml"
    assert not stowaways(folder, tmp_path)
    assert "research" in (folder / "index.html").read_text().lower()

    console = Console(width=80, record=True, file=(tmp_path / "printed").open("w"))
    show(comparison, folder, console)
    printed = console.export_text()
    assert "good is chosen from 2 models and ranks first. Its mean balanced accuracy is" in printed
    lines = printed.replace("\n", "")
    assert f"python -m mpox.train study=s model=good fold=all runs_dir={tmp_path}/runs" in lines
    assert f"python -m mpox.export chosen={folder}/chosen.yaml" in lines
    assert "not a diagnosis" in printed


def test_a_refused_study_leaves_nothing_behind(
    configured: Compared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = configured()
    shutil.rmtree(tmp_path / "runs" / "s" / "good" / "fold-1")
    with pytest.raises(UserError, match="good fold 1"):
        compare(cfg)
    assert not (tmp_path / "runs" / "s" / "comparison").exists()
    chosen = tmp_path / "runs" / "s" / "comparison" / "chosen.yaml"
    chosen.parent.mkdir()
    chosen.write_text("of an earlier comparison")
    comparison = compare(configured("allow_partial=true"))
    assert not chosen.exists()
    words = f"{chosen} of an earlier comparison is removed, as this one chooses no model: select=best does"
    assert words in caplog.text
    console = Console(width=100, record=True, file=(tmp_path / "printed").open("w"))
    show(comparison, tmp_path, console)
    assert "missing" in console.export_text()
    with pytest.raises(UserError, match=r"select\.by=beauty is unknown"):
        compare(configured("allow_partial=true", "select=best", "select.by=beauty"))
    with pytest.raises(UserError, match="is not a folder"):
        compare(configured("allow_partial=true", "photos=/nowhere"))


def test_the_configuration_s_defaults_are_the_options_own(configured: Compared) -> None:
    cfg = configured()
    for name, value in vars(ComparisonOptions()).items():
        if name != "resamples":
            given = tuple(cfg[name]) if isinstance(value, tuple) else cfg[name]
            assert given == value, name


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("subgroups=[sourse]", "subgroups=sourse: the manifest of study s has no such column"),
        ("others=[s]", "others=s names a study twice"),
        ("others=[t,t]", "others=t names a study twice"),
    ],
)
def test_lists_are_not_shortened_in_silence(configured: Compared, typed: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        compare(configured(typed))


def test_two_studies_of_the_same_photos_are_not_two_data_sets(
    configured: Compared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_study(tmp_path / "runs", "t", {"weak_one": 0.5, "good": 2.5}, n_photos=96, n_folds=4, seed=7, metrics=False)
    with pytest.raises(UserError, match=r"studies s and t share 96 photos.*leave t out of others="):
        compare(configured("others=[t]"))
    path = tmp_path / "runs" / "t" / "manifest.parquet"
    manifest = pd.read_parquet(path)
    new = [f"{k:064x}" for k in range(1000, 1000 + len(manifest))]
    manifest.assign(sha256=[*manifest["sha256"][:2], *new[2:]]).to_parquet(path)
    assert "there are 2 with 2 in common" in compare(configured("others=[t]")).datasets_note
    assert "studies s and t share 2 photos" in caplog.text


@pytest.mark.slow
def test_a_subgroup_of_categories_with_gaps(configured: Compared, tmp_path: Path) -> None:
    """A column of pandas' categories in the user's manifest is in the study's as it was."""
    path = tmp_path / "runs" / "s" / "manifest.parquet"
    manifest = pd.read_parquet(path)
    skin = pd.Categorical([("I", "VI", None)[k % 3] for k in range(len(manifest))])
    manifest.assign(skin=skin).to_parquet(path)
    found = compare(configured("subgroups=[skin]")).best.subgroups
    assert {one.value for one in found} == {"I", "VI"}
