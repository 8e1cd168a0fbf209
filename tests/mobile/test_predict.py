"""`python -m mpox.predict`: a file and its run decide the same; imported packages; bad input."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from mpox.commands.predict import open_model, predict
from mpox.errors import UserError
from mpox.mobile.run.decision_rule import ANSWER, REFER, decide
from mpox.options import config_dir
from mpox.stats.decision import DecisionRule


@pytest.fixture(scope="module")
def float_file(exported: Path) -> Path:
    """The float32 file that the exporter keeps: it decides exactly as the run does."""
    return next((exported.parent / ".fp32").glob("*.pte"))


@pytest.fixture
def asked(photos: Path) -> Callable[..., DictConfig]:
    """Compose the real predict.yaml for the synthetic photos."""

    def composed(model: Path, *overrides: str) -> DictConfig:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose("predict", [f"of={model}", f"photos={photos}", *overrides])

    return composed


def test_file_and_run_decide_the_same(float_file: Path, phone_run: Path, asked: Callable[..., DictConfig]) -> None:
    of_file, of_run = (predict(asked(model))["photos"] for model in (float_file, phone_run))
    assert len(of_file) == 24
    assert [(one["path"], one["label"], one["action"], one["why"]) for one in of_file] == [
        (one["path"], one["label"], one["action"], one["why"]) for one in of_run
    ]
    for one, other in zip(of_file, of_run, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-4)
    rule = open_model(str(float_file), sensitivity=0.5, threads=1).rule
    assert rule.threshold is not None and rule.quantiles is not None
    labels = list(of_file[0]["probabilities"])
    for one in of_file:
        chances = one["probabilities"]
        largest = max(chances, key=chances.__getitem__)
        called = largest == "mpox" or chances["mpox"] >= rule.threshold
        assert one["label"] == ("mpox" if called else largest)
        within = [name for name, limit in zip(labels, rule.quantiles, strict=True) if 1 - chances[name] <= limit + 1e-6]
        assert (one["action"] == "refer") == (called or within != [largest])


@pytest.mark.parametrize(
    ("chances", "rule", "label", "action", "why"),
    [  # of mpox, acne, healthy
        ((0.93, 0.05, 0.02), DecisionRule(1.0, 0.95, (0.9, 0.9, 0.9)), "mpox", REFER, "mpox is suspected"),
        ((0.20, 0.05, 0.75), DecisionRule(1.0, 0.15, (0.9, 0.9, 0.9)), "mpox", REFER, "mpox cannot be ruled out"),
        ((0.02, 0.03, 0.95), DecisionRule(1.0, 0.15, (0.9, 0.9, 0.9)), "healthy", ANSWER, ""),
        ((0.02, 0.40, 0.58), DecisionRule(1.0, 0.15, (0.9, 0.9, 0.9)), "healthy", REFER, "may be acne or healthy"),
        ((0.02, 0.40, 0.58), DecisionRule(1.0, 0.15, (0.1, 0.1, 0.1)), "healthy", REFER, "none of the known classes"),
        ((0.02, 0.55, 0.43), DecisionRule(1.0, 0.15), "acne", ANSWER, ""),
        ((0.10, 0.46, 0.44), DecisionRule(1.0, 0.15), "acne", REFER, "0.46 is below 0.5"),
        ((0.40, 0.30, 0.30), DecisionRule(1.0, None), "mpox", REFER, "mpox is suspected"),
    ],
)
def test_one_rule_that_never_contradicts_itself(
    chances: tuple[float, ...], rule: DecisionRule, label: str, action: str, why: str
) -> None:
    decision = decide(np.array(chances, "float32"), ("mpox", "acne", "healthy"), 0, rule, 0.5)
    assert (decision.label, decision.action) == (label, action)
    assert why in decision.why and bool(why) == bool(decision.why)


def test_it_runs_without_training_code(exported: Path, photos: Path) -> None:
    photo = next(photos.rglob("*.png"), None) or next(photos.rglob("*.jpg"))
    program = (
        "import sys, mpox.predict as p\n"
        f"sys.argv = ['predict', 'model={exported}', 'photos={photo}', 'format=json']\n"
        "try: p.main()\n"
        "finally: print(sorted({n.partition('.')[0] for n in sys.modules} & "
        "{'timm', 'lightning', 'torchvision', 'wandb', 'pandas', 'sklearn', 'matplotlib'}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
    result = json.loads(done.stdout)
    assert "not a diagnosis" in result["notice"]
    assert sum(result["photos"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_unreadable_photos_are_named_and_the_others_classified(exported: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(next(photos.rglob("*.png"), None) or next(photos.rglob("*.jpg")), tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    out = tmp_path / "decisions.csv"
    shutil.copy(next(photos.rglob("*.png"), None) or next(photos.rglob("*.jpg")), tmp_path / "=1+1.jpg")
    command = [sys.executable, "-m", "mpox.predict", f"model={exported}", "photos=.", f"out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and "not a diagnosis" in rows[0]["notice"]
    assert min(row["path"] for row in rows) == "'=1+1.jpg"  # a spreadsheet would run =1+1.jpg


def test_every_picture_of_a_folder_is_answered_or_named(
    exported: Path, asked: Callable[..., DictConfig], photos: Path, tmp_path: Path
) -> None:
    new, photo = tmp_path / "new", next(photos.rglob("*.png"), None) or next(photos.rglob("*.jpg"))
    new.mkdir()
    wanted = {f"0{photo.suffix}", f"{'x' * 230}{photo.suffix}", f"a\u202fb{photo.suffix}", "photo.heic"}
    shutil.copy(Path(__file__).parents[1] / "data" / "formats" / "photo.heic", new)
    for name in [*wanted - {"photo.heic"}, f"._0{photo.suffix}", ".hidden.png", "Thumbs.db"]:
        shutil.copy(photo, new / name)
    (new / ".thumbnails").mkdir()
    shutil.copy(photo, new / ".thumbnails")
    (new / "raw.dng").write_bytes(b"II*\0")
    shutil.copy(photo, new / os.fsdecode(b"latin\xe9.jpg"))
    for _ in range(2):  # the second time with the first one's maps in the folder
        told = predict(asked(exported, f"photos={new}", f"maps={new}/maps"))
        assert {Path(one["path"]).name for one in told["photos"]} == wanted
        assert {Path(path).name for path in told["unreadable"]} == {"raw.dng", "latin\\xe9.jpg"}
        assert all(Path(one["map"]).is_file() for one in told["photos"])


def test_a_map_that_cannot_be_written_costs_no_answer(
    exported: Path, asked: Callable[..., DictConfig], tmp_path: Path
) -> None:
    (tmp_path / "maps").touch()
    told = predict(asked(exported, f"maps={tmp_path}/maps"))
    assert len(told["photos"]) == len(told["unreadable"]) == 24


def test_maps_are_drawn_where_the_file_has_them(
    exported: Path, asked: Callable[..., DictConfig], tmp_path: Path
) -> None:
    entries = predict(asked(exported, f"maps={tmp_path}/maps"))["photos"]
    assert len({one["map"] for one in entries}) == len(entries) == 24
    scales = 0
    for one in entries:
        with Image.open(one["map"]) as picture:
            # The photo, enlarged so that what is below can be read, and a caption of several lines.
            assert picture.width == 448 and 500 < picture.height < 700
            below = np.asarray(picture.convert("RGB"))[448:].astype(int)
        yellow = (below[..., 0] > 200) & (below[..., 1] > 180) & (below[..., 2] < 120)
        scales += bool(yellow.any())  # the end of the scale; a blank map has none
    assert scales > 12


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"of": "{tmp}/nothing"}, "no model at"),
        ({"of": "{tmp}"}, "no exported model"),
        ({"of": "{tmp}/cut.pte"}, "cut short"),
        ({"photos": "{tmp}/nothing"}, "no photo at"),
        ({"photos": "{tmp}/empty"}, "no photos in"),
        ({"format": "xml"}, "format=xml is unknown"),
        ({"photos": "{tmp}/empty", "maps": "{tmp}/empty"}, "maps=.*empty is the folder of the photos"),
        ({"out": "{tmp}/p01.jpg", "format": "csv"}, "out=.*p01.jpg is named as a photo is"),
    ],
)
def test_bad_input_is_one_line(
    overrides: dict[str, str], message: str, exported: Path, asked: Callable[..., DictConfig], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.pte").write_bytes((exported / "model.pte").read_bytes()[:20_000])
    given: list[Any] = [f"{name}={value.format(tmp=tmp_path)}" for name, value in overrides.items()]
    with pytest.raises(UserError, match=message) as raised:
        predict(asked(exported, *given))
    assert "\n" not in str(raised.value)
