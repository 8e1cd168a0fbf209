"""Files written by `python -m mpox.explain run=…`, and its messages for bad input."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image

from mpox.commands.explain import explain
from mpox.errors import UserError
from mpox.explain import main
from mpox.files import read_json, write_json
from mpox.model.checkpoint import load_checkpoint, save_checkpoint
from mpox.runs.opened import OpenedRun
from mpox.xai.cams import ClassActivation
from mpox.xai.gallery import explain_photos


def test_a_job_is_explained_at_its_end(trained: Path) -> None:
    """The fixture trained with callbacks=gradcam."""
    index = pd.read_parquet(trained / "explained_at_end" / "gradcam" / "index.parquet")
    assert set(index["split"]) == {"test"}
    assert "photos explained" in (trained / "train.log").read_text()
    assert read_json(trained / "status.json")["state"] == "done"


def test_maps_are_written_and_agree_with_the_predictions(
    configured: Callable[..., DictConfig], trained: Path, run: OpenedRun
) -> None:
    result = explain(configured("split=all", "target=recorded"))
    folder = trained / "explain" / "gradcam"
    assert Path(result["folder"]) == folder
    index = pd.read_parquet(folder / "index.parquet").set_index("photo_id")
    predictions = pd.read_parquet(trained / "predictions.parquet").set_index("photo_id")
    assert set(index.index) == set(predictions.index)
    logits = predictions.filter(like="logit_")
    guesses = logits.columns.str.removeprefix("logit_").to_numpy()[logits.to_numpy().argmax(1)]
    pd.testing.assert_series_equal(
        index["predicted"].sort_index(), pd.Series(guesses, predictions.index).sort_index(), check_names=False
    )
    assert (index["label"] == index["target"]).all()
    assert ((index["predicted"] == index["label"]) == index["correct"]).all()
    explainer = ClassActivation(run.network, run.images(np.arange(2)))
    for photo_id, entry in index.iterrows():
        row = int(np.flatnonzero(run.photos["photo_id"] == photo_id)[0])
        assert row == entry["row"]
        with np.load(folder / entry["map"]) as content:
            assert str(content["photo_id"]) == photo_id
            assert str(content["layer"]) == "blocks.5"
            target = torch.tensor([run.card.classes.index(entry["target"])])
            expected = explainer(run.images(np.array([row])), target)[0]
            np.testing.assert_allclose(content["map"], expected, rtol=1e-3, atol=1e-6)
            assert float(content["scale"]) == entry["scale"] == content["map"].max()
        with Image.open(folder / entry["overlay"]) as picture:
            changed = (np.asarray(picture) != run.pixels[row]).any()
        assert changed != entry["blank"]
    for name in ("confident", "mistakes"):
        with Image.open(folder / f"sheet-{name}.png") as sheet:
            assert sheet.width >= 720
    assert read_json(folder / "about.json")["photos"] == len(index)
    # Again, on fewer photos: the folder is replaced, no file of the old one remains.
    explain(configured("split=val"))
    assert len(list((folder / "maps").iterdir())) == len(pd.read_parquet(folder / "index.parquet")) < len(index)
    assert not list((trained / "explain").glob(".*"))
    (folder / "overlays" / "notes.txt").write_text("a person's")
    with pytest.raises(UserError, match=r"did not write \(overlays/notes\.txt\), so it is not replaced"):
        explain(configured())
    (folder / "overlays" / "notes.txt").unlink()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_photos(run: OpenedRun, tmp_path: Path) -> None:
    """Five thousand photos (the run's own, over and over) after the first few hundred."""
    explainer = ClassActivation(run.network, run.images(np.arange(2)))
    rows = np.tile(run.rows("all"), 5000 // len(run.rows("all")))
    explain_photos(run, explainer, rows[:500], tmp_path / "some", target="predicted", batch_size=16)
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    explain_photos(run, explainer, rows, tmp_path / "many", target="predicted", batch_size=16)
    print(f"{len(rows) / (time.perf_counter() - start):.0f} photos a second")
    assert psutil.Process().memory_info().rss - before < 60e6


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run=/nowhere", "/nowhere is not a finished run: give run="),
        ("run=null", "needs a run: give run="),
        ("split=tests", "split=tests is unknown"),
        ("target=smallpox", "target=smallpox is unknown: choose predicted, recorded or a class"),
        ("explain.method=gradcam2", "explain.method=gradcam2 is unknown: choose one of gradcam,"),
        ("explain.layer=top", "no layer 'top'"),
        ("command=maps2", "'maps2' is no command"),
        ("root=/nowhere", "photos are missing or changed in /nowhere"),
        ("device=tpu9", "device=tpu9 cannot be used here"),
    ],
)
def test_bad_input_is_one_clear_line(configured: Callable[..., DictConfig], override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        explain(configured(override))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_changed_splits_are_refused(configured: Callable[..., DictConfig], trained: Path) -> None:
    path = trained.parents[1] / "splits.json"
    kept = path.read_bytes()
    content = read_json(path)
    try:
        write_json(path, {**content, "folds": content["folds"][::-1]})
        with pytest.raises(UserError, match="was changed since"):
            explain(configured())
    finally:
        path.write_bytes(kept)


def test_a_checkpoint_of_another_run_is_refused_for_what_it_is(
    configured: Callable[..., DictConfig], trained: Path
) -> None:
    """Copied here from another fold, or from the same fold of a study with other splits."""
    kept = (trained / "checkpoint.ckpt").read_bytes()
    network, card = load_checkpoint(trained / "checkpoint.ckpt")
    try:
        others: tuple[tuple[dict[str, Any], str], ...] = (
            ({"fold": 2}, r"of another run \(study .*, fold 2\)"),
            ({"splits_sha256": "0" * 64}, r"of another run .*other splits\)"),
        )
        for other, shown in others:
            save_checkpoint(trained / "checkpoint.ckpt", network, replace(card, **other))
            with pytest.raises(UserError, match=rf"checkpoint\.ckpt is {shown}: restore"):
                explain(configured())
    finally:
        (trained / "checkpoint.ckpt").write_bytes(kept)


def test_the_first_word_is_the_command(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*arguments: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["mpox.explain", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    code, printed, _ = typed("maps", f"run={trained}", "split=val")
    assert code == 0
    assert "photos explained by gradcam at blocks.5" in printed
    assert "not a diagnosis" in printed
    code, _, error = typed("audit", "run=gone")
    assert code == 1
    assert error.strip() == "error: gone is not a finished run: give run=<runs_dir>/<study>/<model>/fold-<k>"
