"""The page, the figures, the model card: from a real study of two networks, with photos and with an external set."""

import dataclasses
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image
from stowaways import SECRET, stowaways

from mpox.commands.compare import compare as compare_command
from mpox.commands.evaluate import evaluate
from mpox.commands.explain import explain
from mpox.curation.audit import audit
from mpox.curation.findings import write_audit
from mpox.data import sources, synthetic
from mpox.options import config_dir
from mpox.report import formatting as words
from mpox.report.checklist import ITEMS
from mpox.report.figures import FIGURES, write_figures
from mpox.report.model_card import write_model_card
from mpox.report.page import write_page
from mpox.report.unbroken import SPACE
from mpox.stats import printed
from mpox.stats.comparison import Comparison, DatasetComparison
from mpox.stats.intervals import Interval
from mpox.stats.paired_tests import compare_over_datasets
from mpox.study.comparing import compare
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.results import read_study
from mpox.xai.rating_page import photo_code


class Page(HTMLParser):
    """What a browser would fetch, jump to and show."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str | None] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.tags.append(tag)
        if tag == "img":
            self.sources.append(facts["src"] or "")
            self.alts.append(facts.get("alt"))
        if tag == "a":
            self.links.append(facts["href"] or "")
        if facts.get("id"):
            self.ids.append(facts["id"] or "")

    def handle_data(self, data: str) -> None:
        if self.lasttag not in ("style", "script"):
            self.text += data.replace(SPACE, " ")


@pytest.fixture(scope="module")
def runs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained study with an external evaluation."""
    root = tmp_path_factory.mktemp("new")
    synthetic.generate(root, subjects_per_class=3, photos_per_subject=1, size=48, seed=5)
    shutil.rmtree(root / "masks")
    runs = Path(shutil.copytree(trained, tmp_path_factory.mktemp("report") / "runs"))
    options = [f"runs_dir={runs}", "study=default", f"data.root={root}", "data.source=new"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        evaluate(compose("evaluate", options))
    return runs


@pytest.fixture(scope="module")
def comparison(runs: Path) -> Comparison:
    return compare(
        read_study(runs, "default"), ComparisonOptions(resamples=100), exports=runs / "exports", cache=runs / ".cache"
    )


@pytest.mark.slow
def test_what_is_handed_on_names_no_place_of_this_machine(runs: Path, photos: Path, tmp_path: Path) -> None:
    """Page, JSON, card and the rest, from a configuration full of absolute paths and photos with comments."""
    for path in photos.glob("*/*.jpg"):
        (tmp_path / "photos" / path.parent.name).mkdir(parents=True, exist_ok=True)
        with Image.open(path) as photo:
            photo.save(tmp_path / "photos" / path.parent.name / path.name, quality=92, comment=SECRET)
    moved = Path(shutil.copytree(runs, tmp_path / "runs"))
    options = [f"runs_dir={moved}", "study=default", f"photos={tmp_path}/photos", "select=best", "resamples=100"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        compare_command(compose("compare", options))
    folder = moved / "default" / "comparison"
    assert "data:image/jpeg" in (folder / "index.html").read_text()
    assert not stowaways(folder, tmp_path, photos, runs.parent)


def test_page_stands_alone_and_says_what_the_comparison_says(
    runs: Path, comparison: Comparison, photos: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(runs / "default", tmp_path / "default")) / "comparison"
    page = Page(write_page(comparison, folder, photos))
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "url(" not in (folder / "index.html").read_text().replace("url(#", "")
    assert all(page.alts)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert {item.section for item in ITEMS if item.section} <= set(page.ids)
    assert comparison.headline in page.text
    assert "Nothing on this page is a diagnosis" in page.text
    for model in comparison.models:
        assert model.name in page.text
        assert printed.interval(model.scores["balanced_accuracy"]) in page.text
    best = comparison.best
    embedded = [source for source in page.sources if source.startswith("data:image/jpeg")]
    assert len(embedded) == len(best.mistakes) > 0
    assert f"{best.mistakes_total} of 24 test photos wrongly" in page.text
    external = comparison.external[0]
    change = next(score.change for score in external.scores if score.metric == "balanced_accuracy")
    low, high = printed.number(change.low, signed=True), printed.number(change.high, signed=True)
    assert f"{printed.number(change.value, signed=True)}{low} to {high}" in page.text
    assert comparison.splits_sha256[:16] in page.text
    assert "schedule.probe.penalties" in page.text
    assert f"torch{comparison.versions['torch']}" in page.text
    assert (folder / "index.html").stat().st_size < 3_000_000


@pytest.mark.slow
def test_what_was_explained_rated_and_curated_is_shown(
    runs: Path, comparison: Comparison, photos: Path, tmp_path: Path
) -> None:
    study = Path(shutil.copytree(runs, tmp_path / "runs")) / "default"
    best, mistake = comparison.best, comparison.best.mistakes[0]
    run = study / best.name / f"fold-{mistake.fold}"

    def explained(*options: str) -> dict[str, Any]:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return explain(compose("explain", [f"run={run}", *options]))

    explained("batch_size=8")
    explained("command=faithfulness", "faithfulness.photos=2", "faithfulness.road_photos=1")
    facts = explained("command=review")
    (tmp_path / "ratings.csv").write_text(ratings(facts, pd.read_parquet(run / "explain/gradcam/index.parquet")))
    explained("command=review", f"ratings={tmp_path / 'ratings.csv'}")
    found = audit([sources.folder(photos)], tmp_path / "cache")
    write_audit(found, tmp_path / "audit")
    config = {**best.config, "data": {"manifest": str(tmp_path / "audit" / "manifest.parquet")}}
    best = dataclasses.replace(best, config=config)
    changed = dataclasses.replace(comparison, models=(best, *comparison.models[1:]))
    page = Page(write_page(changed, study / "comparison", photos))
    assert page.alts.count(f"where the model looked: gradcam of {mistake.predicted}") >= 1
    text = " ".join(page.text.split())
    assert f"{best.name}, fold {mistake.fold}" in text
    assert "Can maps of gradcam" in text
    assert "8 photos rated by 2 people" in text
    assert "What does the photo show?" in text
    assert f"{comparison.data.n_photos} are scored, in {comparison.data.n_groups} groups" in text
    for kind, count in found.summary["findings"].items():
        assert f"{kind.replace('_', ' ')}{count}" in text


def ratings(facts: dict[str, Any], index: pd.DataFrame) -> str:
    """Return what a review page exports: two raters, who give each photo the same first or second option."""
    rows = [
        f"{facts['id']},{rater},{photo_code(photo)},{question['id']},{question['options'][k % 2]},2026"
        for rater in ("anna", "ben")
        for k, photo in enumerate(index["photo_id"])
        for question in facts["questions"]
    ]
    return "\n".join(["page,rater,photo_id,question,answer,at", *rows])


def test_names_of_classes_cannot_become_markup(comparison: Comparison, tmp_path: Path) -> None:
    names = ("a$b$_^{", "<i>b", "\\c", "$\\frac$")
    evil = dataclasses.replace(comparison, study="<script>alert(1)</script>", classes=names, headline="<b>x</b> & $y$")
    page = Page(write_page(evil, tmp_path / "comparison", None))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_every_figure_is_drawn_and_shows_something(comparison: Comparison, tmp_path: Path) -> None:
    scores = pd.DataFrame(np.random.default_rng(0).random((6, 4)), columns=list("abcd"))
    ranks = DatasetComparison(tuple("stuvwx"), *dataclasses.astuple(compare_over_datasets(scores, 0.05)))
    comparison = dataclasses.replace(comparison, datasets=ranks)
    written = write_figures(comparison, tmp_path)
    assert set(written) == set(FIGURES)
    for name, path in written.items():
        assert "<svg" in path.read_text()
        pixels = np.asarray(Image.open(path.with_suffix(".png")).convert("L"))
        assert (pixels < 128).mean() > 0.002, name
        assert pixels.shape[1] == 1440, name
    before = {name: path.read_bytes() for name, path in written.items()}
    write_figures(comparison, tmp_path)
    assert {name: path.read_bytes() for name, path in written.items()} == before


def test_a_study_without_mpox_external_photos_or_a_second_model(comparison: Comparison, tmp_path: Path) -> None:
    best = dataclasses.replace(comparison.best, operating_point=None, decision_curve=None)
    calibration = dataclasses.replace(best.calibration, bins_positive=())
    referral = dataclasses.replace(best.referral, sensitivity=(None,) * len(best.referral.sensitivity))
    scores = {name: score for name, score in best.scores.items() if name not in ("sensitivity", "specificity")}
    best = dataclasses.replace(best, calibration=calibration, referral=referral, scores=scores)
    less = dataclasses.replace(comparison, positive=None, models=(best,), pairs=(), external=())
    page = Page(write_page(less, tmp_path / "comparison", None))
    assert "nothing to test it against" in page.text
    assert not [source for source in page.sources if source.startswith("data:image/jpeg")]
    assert "The photos were not available" in page.text
    assert "Not done. Figures on photos of the same collection" in " ".join(page.text.split())
    assert "Not done. A network can be right for reasons" in " ".join(page.text.split())
    assert "threshold" not in page.ids
    assert not (tmp_path / "comparison" / "figures" / "decision.svg").exists()
    write_model_card(less, tmp_path / "comparison")


def test_model_card(comparison: Comparison, tmp_path: Path) -> None:
    text = write_model_card(comparison, tmp_path).read_text()
    assert text.startswith(f"# Model card: {comparison.best.name}")
    assert "nothing it prints is a diagnosis" in text
    assert f"| balanced accuracy | {words.over_folds(comparison.best.scores['balanced_accuracy'])} |" in text
    assert text.count("- [ ]") == sum(item.section is None for item in ITEMS)
    for line in text.splitlines():
        assert "{{" not in line
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)


def test_what_is_not_defined_is_a_dash() -> None:
    nothing = Interval(None, None, None, 0)
    assert printed.interval(nothing) == printed.percent_interval(nothing) == printed.number(None) == printed.DASH
    assert printed.interval(Interval(0.5, None, None, 3)) == "0.500"
    assert printed.interval(Interval(-0.25, -0.5, 0.125, 3), signed=True) == "-0.250 (-0.500 to +0.125)"
    assert printed.p_value(0.0004) == "< 0.001"
    assert words.count(5_288_548, 1e6, " M") == "5.29 M"
