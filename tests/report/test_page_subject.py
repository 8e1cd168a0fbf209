"""The page of a study with a chosen model: what it says is about that model, and can be read on a phone.

The studies are drawn. `small` gives the answers of `big`, which ranks first, on all photos but four, and is less sure;
it has fewer parameters, so that it is chosen where a difference of 0.3 does not matter.
"""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import LAPTOP, PHONE, start
from generated_study import CLASSES, make_study, manifest_of, write_run
from hydra import compose, initialize_config_dir
from selenium.webdriver.common.by import By

from mpox.commands.compare import compare
from mpox.data.folds import make_folds, write_folds
from mpox.data.manifest import write_manifest
from mpox.files import read_json, write_json
from mpox.options import config_dir
from mpox.report.unbroken import SPACE
from mpox.stats.comparison import Comparison

SMALL, N_PHOTOS, FOLDS = "mobilenetv3_small_050.lamb_in1k", 240, 4
SECTIONS = ("curves", "confusion", "calibration", "threshold", "referral", "subgroups", "failures")


class Sections(HTMLParser):
    """The text of the page by section, that of the figures' captions and descriptions too; `summary` comes first."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if facts.get("id"):
            self.texts[facts["id"] or ""] = ""
        if tag == "img":
            self.handle_data(facts.get("alt") or "")

    def handle_data(self, data: str) -> None:
        if self.texts and self.lasttag != "style":
            self.texts[next(reversed(self.texts))] += data + " "

    def text(self, section: str) -> str:
        return " ".join(self.texts[section].replace(SPACE, " ").split()).replace(" ,", ",")


def draw(runs: Path, models: dict[str, tuple[str, np.ndarray]], **changes: Any) -> None:
    """Write a study of models, name to timm name and logits of all photos."""
    manifest = manifest_of(N_PHOTOS)
    folds = make_folds(manifest, FOLDS, 0)
    write_manifest(manifest, runs / "s" / "manifest.parquet")
    write_folds(folds, runs / "s" / "splits.json")
    write_json(runs / "s" / "data.json", {"root": str(runs), "data": {}})
    for name, (timm_name, logits) in models.items():
        for k in range(FOLDS):
            write_run(runs, "s", name, k, manifest, folds, logits, CLASSES, "mpox", timm_name=timm_name, **changes)


def fold_of(manifest: pd.DataFrame) -> np.ndarray:
    """Return the test fold of each photo."""
    ids = make_folds(manifest, FOLDS, 0).ids
    number = {photo: k for k, photos in enumerate(ids) for photo in photos}
    return manifest["photo_id"].map(number).to_numpy("int64")


def three_models() -> dict[str, tuple[str, np.ndarray]]:
    random, manifest = np.random.default_rng(0), manifest_of(N_PHOTOS)
    targets = manifest["label"].map({name: k for k, name in enumerate(CLASSES)}).to_numpy("int64")
    noise = random.normal(size=(2, N_PHOTOS, len(CLASSES)))
    big, poor = 2.4 * np.eye(4)[targets] + 1.2 * noise[0], 0.5 * np.eye(4)[targets] + noise[1]
    small = 0.4 * big
    fold = fold_of(manifest)
    for k, gained in enumerate((False, True, False, False)):
        rows = np.flatnonzero((fold == k) & (targets == 0) & ((small.argmax(1) == 0) != gained))
        small[rows[:1]] = np.eye(4)[0 if gained else 1]
    return {"big": ("resnet18.a1_in1k", big), "small": (SMALL, small), "poor": ("resnet18.a1_in1k", poor)}


def page_of(runs: Path, *options: str) -> tuple[Comparison, Sections]:
    given = [f"runs_dir={runs}", f"exports_dir={runs}/exports", f"cache_dir={runs}/cache", "study=s", "resamples=200"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        comparison = compare(compose("compare", [*given, *options]))
    return comparison, Sections(runs / "s" / "comparison" / "index.html")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`big`, `small` and the far worse `poor`."""
    runs = tmp_path_factory.mktemp("three") / "runs"
    draw(runs, three_models())
    return runs


@pytest.fixture(scope="module")
def chosen(runs: Path) -> tuple[Comparison, Sections]:
    return page_of(runs, "select=best", "rope=0.3")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    """The comparison and the page of 26 models."""
    runs = tmp_path_factory.mktemp("many") / "runs"
    names = {f"a_model_with_a_long_name_{k:02d}": 2.0 - 0.06 * k for k in range(26)}
    make_study(runs, "s", names, n_photos=120, n_folds=FOLDS)
    return page_of(runs)[0], runs / "s" / "comparison" / "index.html"


def test_every_section_is_about_the_chosen_model(chosen: tuple[Comparison, Sections]) -> None:
    comparison, page = chosen
    assert (comparison.best.name, comparison.focus.name) == ("big", "small")
    small, big = comparison.focus, comparison.best
    assert page.text("summary").startswith("Research software.")
    assert "small is chosen from 3 models." in comparison.headline
    assert comparison.headline in page.text("summary")
    assert f"The highest mean is that of big: {big.scores['balanced_accuracy'].mean:.3f}" in comparison.headline
    for section in SECTIONS:
        assert "small, the chosen model" in page.text(section), section
        assert "poor" not in page.text(section), section
    assert small.calibration.ece != pytest.approx(big.calibration.ece, abs=1e-3)
    assert f"{small.calibration.ece:.3f}" in page.text("calibration")
    assert f"{big.calibration.ece:.3f}" not in page.text("calibration")
    point = small.operating_point
    assert point is not None
    assert f"{point.true_positive} of {point.true_positive + point.false_negative} photos" in page.text("threshold")
    reached = [sentence for sentence in comparison.conclusion if "small reaches" in sentence]
    assert len(reached) == 1
    assert f"small answers {small.mistakes_total} of 240 test photos wrongly" in page.text("failures")


def test_subgroups_have_their_sensitivity_at_the_threshold(chosen: tuple[Comparison, Sections]) -> None:
    comparison, page = chosen
    point = comparison.focus.operating_point
    sources = [one for one in comparison.focus.subgroups if one.column == "source"]
    assert point is not None
    assert len(sources) == 2
    found = [one.sensitivity_at_threshold for one in sources if one.sensitivity_at_threshold is not None]
    assert sum(round((one.value or 0) * one.n) for one in found) == point.true_positive
    for one in found:
        assert f"{one.value:.3f}" in page.text("subgroups")


def test_pictures_are_of_the_chosen_model(runs: Path, chosen: tuple[Comparison, Sections]) -> None:
    figures = runs / "s" / "comparison" / "figures"
    comparison, _ = chosen
    drawn = {path.stem: path.read_text() for path in figures.glob("*.svg")}
    assert "ROC: small<" in drawn["classes"]
    assert f"ECE {comparison.focus.calibration.ece:.3f}" in drawn["reliability"]
    assert ">small<" in drawn["decision"]
    assert "big (first-ranked)" in drawn["decision"]
    assert "small: sensitivity for mpox" in drawn["referral"]
    assert drawn["confusion"].index(">small<") < drawn["confusion"].index(">big<")


@pytest.mark.slow
def test_without_a_choice_the_first_ranked_is_the_subject(runs: Path) -> None:
    comparison, page = page_of(runs)
    assert comparison.focus is comparison.best
    assert comparison.headline.startswith("big has the highest mean")
    for section in SECTIONS:
        assert "big, which ranks first" in page.text(section), section
        assert "chosen" not in page.text(section), section


@pytest.mark.slow
def test_differences_are_a_complete_table_with_marks(many: tuple[Comparison, Path]) -> None:
    comparison, path = many
    page = Sections(path)
    table = page.raw[page.raw.index('class="stack differences"') :]
    rows = re.findall(r"<tr[ >].*?</tr>", table[: table.index("</table>")].replace("<wbr>", ""), re.DOTALL)[1:]
    assert len(rows) == 25
    for model, row in zip(comparison.models[1:], rows, strict=True):
        pair = next(pair for pair in comparison.pairs if pair.second == model.name)
        assert model.name in row
        assert f"{pair.difference.value:+.3f}" in row
        assert row.count('class="interval"') == row.count('class="mark"') == 1
        assert pair.p_holm is not None
    assert page.text("tests").count("not distinguishable") + page.text("tests").count("worse ") >= 25
    assert "<li>" not in page.raw[page.raw.index('<section id="tests">') : page.raw.index('<section id="curves">')]
    assert len(" ".join(comparison.conclusion)) < 2500


def test_numbers_stay_with_their_units_and_costs_are_in_g(chosen: tuple[Comparison, Sections]) -> None:
    comparison, page = chosen
    text = re.sub(r"<(style|code)\b.*?</\1>|<[^>]*>", "|", page.raw, flags=re.DOTALL)
    for broken in (
        r"\d %",
        r"\d (M|G|MB|ms|s|px)\b",
        r"± ",
        r" ±",
        r"\d to [+-]?\d",
        r"p = ?\d",
        r"\d photos",
        r"\d\n%",
    ):
        assert not re.search(broken, text), (broken, re.findall(rf".{{20}}{broken}", text)[:3])
    macs = comparison.best.costs.macs
    assert macs
    assert f"{macs / 1e9:.3g}{SPACE}G" in text
    for command in comparison.choice.commands if comparison.choice else ():
        assert f'<code class="line">{command}</code>' in page.raw  # as it is typed


def test_the_auroc_shown_is_that_of_mpox(chosen: tuple[Comparison, Sections]) -> None:
    comparison, page = chosen
    tile = re.search(r"AUROC of mpox (\d\.\d+)", " ".join(" ".join(page.texts.values()).split()))
    assert tile
    assert tile[1] == f"{comparison.focus.scores['auroc_mpox'].pooled:.3f}"
    assert not re.search(r"AUROC(?! of mpox|, mean over classes)", page.text("models"))


@pytest.mark.slow
def test_photos_and_groups_are_counted_the_same_everywhere(tmp_path: Path) -> None:
    """Two photos were left out after the audit, which had counted them."""
    counted = {"photos": 242, "kept": 242, "groups": 122, "findings": {"blurred": 2}, "pairs": {}}
    (tmp_path / "audit.json").write_text(json.dumps(counted))
    draw(tmp_path / "runs", three_models(), data={"manifest": str(tmp_path / "manifest.parquet")})
    comparison, page = page_of(tmp_path / "runs")
    assert (comparison.data.n_photos, comparison.data.n_groups) == (240, 120)
    text = " ".join(page.text(section) for section in page.texts)
    assert set(re.findall(r"(\d+) groups", text)) == {"120"}
    assert "242 photos were looked over" in page.text("audit")
    assert "240 are scored, in 120 groups" in page.text("audit")


def test_promises_that_are_not_kept_are_read_first(tmp_path: Path) -> None:
    """Logits that say nothing of the class, and photos of mpox that get less and less probable from fold to fold."""
    manifest = manifest_of(N_PHOTOS)
    logits = np.random.default_rng(0).normal(size=(N_PHOTOS, len(CLASSES)))
    last = (fold_of(manifest) == FOLDS - 1) & (manifest["label"] == "mpox").to_numpy()
    logits[last, 3] -= 9
    draw(tmp_path / "runs", {"one": (SMALL, logits), "two": (SMALL, logits + 0.1 * logits[::-1])})
    comparison, page = page_of(tmp_path / "runs")
    first = page.raw[page.raw.index("Read this first") : page.raw.index('class="tiles"')].replace(SPACE, " ")
    for caution in (*comparison.cautions, *comparison.warnings):
        assert caution in first
    point = comparison.focus.operating_point
    assert point is not None
    assert point.sensitivity.value is not None
    assert point.sensitivity.value < 0.9
    assert f"95 % asked, {100 * point.sensitivity.value:.1f} %" in first
    assert comparison.focus.conformal.sizes[4] > 0.5
    assert "holds all 4 classes" in first


@pytest.mark.slow
def test_paths_within_errors_are_not_shown(runs: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(runs, tmp_path / "runs"))
    status = moved / "s" / "poor" / "fold-1" / "status.json"
    error = f"OSError: cannot read '{tmp_path}/photos of anna/1.jpg', nor {tmp_path}/other.jpg: see there"
    write_json(status, {**read_json(status), "state": "failed", "error": error})
    _, page = page_of(moved, "allow_partial=true")
    assert "OSError: cannot read" in page.text("photos")
    assert "other.jpg: see there" in page.text("photos")
    assert str(tmp_path) not in page.raw
    assert str(tmp_path) not in (moved / "s" / "comparison" / "comparison.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_tables_need_no_sideways_scrolling(
    many: tuple[Comparison, Path], size: tuple[int, int], tmp_path: Path
) -> None:
    """Every mark, name and cell of the tables lies within the screen; the page itself never scrolls sideways."""
    with start(tmp_path, size) as browser:
        browser.get(many[1].as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        beyond = browser.execute_script(
            "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        )
        assert beyond == 0
        marks = browser.find_elements(By.CSS_SELECTOR, ".ranking tbody .mark")
        assert len(marks) == 26
        for mark in marks:
            assert mark.is_displayed()
            assert 0 <= mark.rect["x"] <= size[0] - mark.rect["width"]
