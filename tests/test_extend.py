"""The walk of docs/howto/extend.md: its blocks go into a copy of the package, which trains, explains and exports."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mpox.data import synthetic

CHECKOUT = Path(__file__).parents[1]
TEXT = (CHECKOUT / "docs" / "howto" / "extend.md").read_text(encoding="utf-8")
COMMANDS = """
import json, sys
from pathlib import Path
from hydra import compose, initialize_config_dir
import mpox
from mpox.options import config_dir

place = Path(sys.argv[1])

def command(name, *options):
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose(name, list(options))
"""
# What is done with the copy; one process, since each would import PyTorch again.
WALK = """
from mpox.commands.compare import compare
from mpox.curation.audit import audit
from mpox.curation.curated import apply_decisions
from mpox.curation.decisions import DECISION_COLUMNS
from mpox.curation.review_page import write_page
from mpox.data import sources
from mpox.commands.explain import explain
from mpox.training.job import train
import pandas as pd

result = train(command("train", "model=resnet10t", "data=ward", f"data.root={place}/photos", "weights=none",
    "image_size=64", "n_folds=3", "schedule=finetune", "schedule.finetune.epochs=1", "logger=none", "trainer=cpu",
    "batch_size=8", f"runs_dir={place}/runs"))
run = place / "runs" / "default" / "resnet10t" / "fold-0"
maps = explain(command("explain", f"run={run}", "explain=xgradcam"))
compare(command("compare", "study=default", f"runs_dir={place}/runs", "allow_partial=true", "logger.mode=disabled",
    "metric=youden", f"exports_dir={place}/exports"))
found = audit([sources.folder(f"{place}/strips", strict=False)], place / "cache")
write_page(found, place / "review.html", title="strips")
decided = apply_decisions(found, pd.DataFrame(columns=list(DECISION_COLUMNS)), undecided="suggested").manifest
print(json.dumps({
    "package": mpox.__file__,
    "classes": result["classes"],
    "maps": maps["folder"],
    "metrics": result,
    "comparison": json.loads((place / "runs/default/comparison/comparison.json").read_text()),
    "csv": (place / "runs/default/comparison/comparison.csv").read_text(),
    "card": (place / "runs/default/comparison/model_card.md").read_text(),
    "page": (place / "runs/default/comparison/index.html").read_text(),
    "review": (place / "review.html").read_text(),
    "findings": found.findings[["photo_id", "kind", "evidence", "action"]].to_dict("records"),
    "dropped": decided.loc[~decided["keep"], "photo_id"].tolist(),
}))
"""
EXPORT = """
from mpox.commands.export import export

report = export(command("export", f"run={place}/runs/default/resnet10t/fold-0", "recipe=int8_nearest",
    "bound.agreement=0", "bound.balanced_accuracy=1", "timing.rounds=0", "capture.photos=0", "calibration.photos=4",
    f"exports_dir={place}/exports"))
print(json.dumps({"package": mpox.__file__, "recipe": report["recipe"], "layers": report["contents"]["layers"]}))
"""


@dataclass(frozen=True)
class Block:
    """Text of the documentation, the file it goes into, and the line it goes `after` or `before` (none: a new file)."""

    path: str
    where: str
    line: str
    text: str

    def put_into(self, root: Path) -> None:
        place = root / self.path
        if not self.line:
            assert not place.exists(), f"{self.path} is there already"
            place.write_text(self.text, encoding="utf-8")
            return
        content, line = place.read_text(encoding="utf-8"), f"{self.line}\n"
        assert content.count(line) == 1, f"{self.path} has not one line that ends in '{self.line}'"
        both = line + self.text if self.where == "after" else self.text + line
        place.write_text(content.replace(line, both), encoding="utf-8")


def documented() -> dict[str, list[Block]]:
    """The blocks of each section, by its heading as the table has it."""
    block = r"^```\w+\n(?:#|<!--) (\S+?)(?:, (after|before): (.*?))?(?: -->)?\n(.*?)^```$"
    found = {}
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        title, _, content = section.partition("\n")
        blocks = re.findall(block, content, flags=re.MULTILINE | re.DOTALL)
        found[title[0].lower() + title[1:]] = [Block(*parts) for parts in blocks]
    return found


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package into which every block of the documentation was put, and photos."""
    place = tmp_path_factory.mktemp("extended")
    for name in ("mpox", "conf", "hydra_plugins"):
        shutil.copytree(CHECKOUT / name, place / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for blocks in documented().values():
        for block in blocks:
            block.put_into(place / "copy")
    synthetic.generate(place / "photos", subjects_per_class=3, photos_per_subject=2, size=64, seed=0)
    shutil.rmtree(place / "photos" / "masks")
    shutil.copytree(place / "photos", place / "strips")
    strip = place / "strips" / "mpox" / "strip.png"
    Image.open(next(strip.parent.glob("*.jpg"))).resize((800, 200)).save(strip)
    return place


@pytest.fixture(scope="module")
def walked(extended: Path) -> dict[str, Any]:
    """What came of the walk."""
    return run_in(extended, WALK)


def run_in(place: Path, script: str) -> dict[str, Any]:
    """Run a script with the copy in place of the package; returns the JSON it prints last."""
    environment = {**os.environ, "PYTHONPATH": str(place / "copy"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMANDS + script, str(place)]
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["package"].startswith(str(place))
    return result


def test_the_table_counts_the_places() -> None:
    counted = {name: int(count) for name, count in re.findall(r"^\| (an? [\w ]+?) \| (\d) \|", TEXT, re.MULTILINE)}
    blocks = documented()
    assert set(counted) == set(blocks)
    for name in counted:
        assert len(blocks[name]) == counted[name], name


@pytest.mark.slow
def test_a_cnn_and_a_data_set(walked: dict[str, Any]) -> None:
    assert walked["classes"] == ["chickenpox", "healthy", "mpox", "other rash"]


@pytest.mark.slow
def test_a_cam_method(walked: dict[str, Any]) -> None:
    assert Path(walked["maps"]).name == "xgradcam"
    assert list(Path(walked["maps"]).glob("overlays/*.png"))


@pytest.mark.slow
def test_an_int8_recipe(extended: Path, walked: dict[str, Any]) -> None:
    exported = run_in(extended, EXPORT)
    assert exported["recipe"] == "int8_nearest"
    assert exported["layers"]["int8"] > 5


@pytest.mark.slow
def test_a_report_section(walked: dict[str, Any]) -> None:
    assert '<a href="#collections">' in walked["page"]
    assert re.search(
        r'<section id="collections">\s*<h2>Collections</h2>\s*<ul>\s*<li>ward: \d+\sphotos', walked["page"]
    )


@pytest.mark.slow
def test_a_finding(walked: dict[str, Any]) -> None:
    strips = [finding for finding in walked["findings"] if finding["kind"] == "strip"]
    assert [(strip["photo_id"], strip["action"]) for strip in strips] == [("strips/mpox/strip.png", "drop")]
    assert "200 pixels wide" in strips[0]["evidence"]
    assert "Far longer than wide" in walked["review"]
    assert "strips/mpox/strip.png" in walked["dropped"]


@pytest.mark.slow
def test_a_metric(walked: dict[str, Any]) -> None:
    """One entry is scored in the run, ranked by, tested, given an interval, and named in words."""
    of_run, comparison = walked["metrics"]["test"], walked["comparison"]
    (model,) = comparison["models"]
    score = model["scores"]["youden"]
    assert of_run["youden"] == pytest.approx(of_run["sensitivity"] + of_run["specificity"] - 1)
    assert score["folds"] == [pytest.approx(of_run["youden"])]
    assert score["method"] == "bootstrap"
    assert comparison["metric"] == "youden"
    assert "highest mean Youden's J (the only model)" in comparison["headline"]
    assert "Youden&#39;s J" in walked["page"]
    assert "youden_pooled" in walked["csv"]
    assert "Youden's J" in walked["card"]
