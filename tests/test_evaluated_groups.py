"""External validation of photos that are not independent: copies among them, and kin of what the study has."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from mpox.commands.evaluate import evaluate
from mpox.data import synthetic
from mpox.files import read_json, write_json
from mpox.options import config_dir
from mpox.stats.predictions import read_predictions


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained study that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen new synthetic photos."""
    root = tmp_path_factory.mktemp("elsewhere")
    synthetic.generate(root, subjects_per_class=2, photos_per_subject=2, size=48, seed=7)
    shutil.rmtree(root / "masks")
    return root


def run(runs: Path, root: Path, *overrides: str) -> None:
    options = [f"runs_dir={runs}", "study=default", f"data.root={root}", "models=[mnasnet_100]", *overrides]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        evaluate(compose("evaluate", options))


def test_copies_among_the_photos_count_once(runs: Path, elsewhere: Path, tmp_path: Path) -> None:
    """Also where they were scored before that: an earlier version took each for a photo of its own."""
    other = Path(shutil.copytree(elsewhere, tmp_path / "other"))
    for k, path in enumerate(sorted((other / "acne").iterdir())):
        Image.open(path).resize((96 - 8 * k, 96 - 8 * k)).save(path.with_name(f"{path.stem}_again.jpg"), quality=80)
    run(runs, other, "duplicates=off")
    place = runs / "default" / "external" / "other"
    assert read_json(place / "external.json")["groups"] == 20
    assert read_json(place / "external.json")["copies"]["not_searched"] == "copies of one picture"
    run(runs, other, "duplicates=exact", "overwrite=true")
    facts = read_json(place / "external.json")
    assert (facts["flow"]["scored"], facts["groups"], facts["copies"]["search"]) == (20, 16, "full")
    tables = [place / "mnasnet_100" / name / "predictions.parquet" for name in ("fold-0", "fold-2", "ensemble")]
    assert [read_predictions(path)[0]["group"].nunique() for path in tables] == [16] * 3
    fold = tables[0].parent
    table = read_predictions(tables[0])[0]
    table.assign(group=table["photo_id"], label="mpox").to_parquet(tables[0], index=False)
    status = read_json(fold / "status.json")
    write_json(fold / "status.json", {key: value for key, value in status.items() if key != "files"})
    run(runs, other, "duplicates=exact")
    assert read_predictions(tables[0])[0].equals(table)


def test_one_source_left_out_of_groups_that_hold_several(runs: Path, elsewhere: Path, tmp_path: Path) -> None:
    """What a group of the whole list joins with a photo of the study is none that it never saw."""
    study = pd.read_parquet(runs / "default" / "manifest.parquet")
    kin = study["photo_id"].iloc[0]
    rows = [{"path": f"{path.parent.name}/{path.name}", "label": path.parent.name, "source": "b", "group": ""}
            for path in sorted(elsewhere.glob("*/*"))]  # fmt: skip
    rows[0]["group"] = rows[1]["group"] = "one family"
    seen = {"photo_id": kin, "path": "elsewhere.jpg", "label": "acne", "source": "a", "group": "one family"}
    pd.DataFrame([*rows, seen]).to_csv(tmp_path / "all.csv", index=False)
    options = (f"data.manifest={tmp_path}/all.csv", "data=manifest", "data.only=b")
    run(runs, elsewhere, *options)
    flow = read_json(runs / "default" / "external" / "b" / "external.json")["flow"]
    assert (flow["same group"], flow["scored"]) == (2, 14)
