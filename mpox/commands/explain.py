"""Explain a finished run, examine the explanations, audit it for shortcuts, and have clinicians rate them.

python -m mpox.explain run=<run>                 maps: overlays, raw maps, contact sheets
python -m mpox.explain faithfulness run=<run>    can the maps be believed?
python -m mpox.explain audit run=<run>           does the model need the lesion at all?
python -m mpox.explain review run=<run>          a page for clinicians; with ratings=<a.csv,b.csv>: their answers merged
"""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from mpox.config import build, plain
from mpox.console import results_console
from mpox.errors import UserError
from mpox.files import read_record, replacing, write_json
from mpox.heap import keep_freed_memory
from mpox.model.checkpoint import load_checkpoint
from mpox.report.wandb import log_explanations
from mpox.report.wandb_run import finish
from mpox.runs.opened import OpenedRun, open_run
from mpox.xai.cams import Explainer
from mpox.xai.examination import as_markdown, examine, sample_rows
from mpox.xai.gallery import explain_photos
from mpox.xai.questions import Question, read_questions
from mpox.xai.rating_files import questions_of, read_ratings
from mpox.xai.rating_page import write_page
from mpox.xai.ratings import as_markdown as ratings_markdown
from mpox.xai.ratings import merge
from mpox.xai.shortcuts import audit as audit_run
from mpox.xai.verdicts import as_markdown as audit_markdown

log = logging.getLogger("mpox")


def maps(cfg: DictConfig) -> dict[str, Any]:
    """Write overlays, raw maps, sheets and index of a run's photos below `<run>/explain/`; log them where it logs."""
    run = _opened(cfg)
    rows = run.rows(cfg.split)
    explainer = build(cfg.explain, allowed=cfg.allow_targets)(run.network, run.images(rows[:2]))
    folder = run.path / "explain" / explainer.method
    index = explain_photos(run, explainer, rows, folder, target=str(cfg.target), batch_size=cfg.batch_size)
    _mirror(cfg, run, index, folder)
    blank = int(index["blank"].sum())
    lines = [f"{len(index)} photos explained by {explainer.method} at {explainer.layer}: {folder}"]
    if blank:
        lines.append(f"{blank} of them have a blank map: nothing speaks for the class explained; the sheets say which")
    return {"folder": str(folder), "photos": len(index), "blank": blank, "lines": [*lines, *_cautions(run)]}


def faithfulness(cfg: DictConfig) -> dict[str, Any]:
    """Measure whether the maps can be believed; `<run>/explain/faithfulness-<method>.json`, `.md` and `.parquet`."""
    run = _opened(cfg)
    rows = _sampled(cfg, run, cfg.faithfulness.photos)
    report, scores = examine(
        run,
        build(cfg.explain, allowed=cfg.allow_targets),
        rows,
        siblings=_siblings(run) if cfg.faithfulness.siblings else (),
        road_photos=cfg.faithfulness.road_photos,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
    )
    stem = run.path / "explain" / f"faithfulness-{report['method']}"
    _write_report(stem, report, as_markdown(report))
    with replacing(stem.with_name(f"{stem.name}.parquet")) as temporary:
        scores.to_parquet(temporary, index=False)
    return {**report, "lines": [*report["verdicts"], *_cautions(run)]}


def audit(cfg: DictConfig) -> dict[str, Any]:
    """Test the model and its photos for shortcuts; writes `<run>/explain/audit.json` and `.md`."""
    run = _opened(cfg)
    rows = _sampled(cfg, run, cfg.audit.photos)
    explainer = build(cfg.explain, allowed=cfg.allow_targets)(run.network, run.images(rows[:2]))
    report = audit_run(
        run, explainer, rows, batch_size=cfg.batch_size, seed=cfg.seed, train_photos=cfg.audit.train_photos
    )
    _write_report(run.path / "explain" / "audit", report, audit_markdown(report))
    lines = [f"{test['level']:>9}  {test['verdict']}" for test in report["tests"]]
    return {**report, "lines": [*lines, report["verdict"], *([report["caution"]] if run.caution else [])]}


def review(cfg: DictConfig) -> dict[str, Any]:
    """Write the page for clinicians, or (`ratings` given) merge what they exported.

    The page is `<run>/explain/review.html`, with `review-page.json` beside it; ratings give `ratings.json` and
    `.md` there, or in the current folder where no run is given, and then without the model's part.
    """
    if cfg.ratings is not None:
        return _merge(cfg)
    run = _opened(cfg)
    rows = run.rows(cfg.split)
    explainer = build(cfg.explain, allowed=cfg.allow_targets)(run.network, run.images(rows[:2]))
    folder = run.path / "explain" / explainer.method
    if not _explained(folder, explainer, rows):
        explain_photos(run, explainer, rows, folder, target="predicted", batch_size=cfg.batch_size)
    entries = plain(cfg)["review"]["questions"]
    questions = read_questions(entries, run.card.classes, cfg.review.blinded)
    page = run.path / "explain" / "review.html"
    facts = write_page(run, folder, page, questions, blinded=cfg.review.blinded, count=cfg.review.photos, seed=cfg.seed)
    write_json(page.with_name("review-page.json"), facts)
    size = page.stat().st_size / 1e6
    lines = [f"{facts['photos']} photos to review: {page} (one file of {size:.1f} MB that holds the photos themselves)"]
    if facts["blank"]:
        lines.append(f"{facts['blank']} of them have a blank map: the page says so and asks nothing about it")
    return {**facts, "page": str(page), "lines": [*lines, *_cautions(run)]}


def _merge(cfg: DictConfig) -> dict[str, Any]:
    given = [cfg.ratings] if isinstance(cfg.ratings, str) else list(cfg.ratings)
    paths = [Path(str(one)).expanduser() for one in given]
    files = [file for path in paths for file in (sorted(path.glob("*.[cC][sS][vV]")) if path.is_dir() else [path])]
    ratings = read_ratings(files)
    if cfg.run is None:
        place, report = Path(), merge(ratings, questions_of(ratings))
    else:
        place = Path(cfg.run).expanduser() / "explain"
        if not (place / "review-page.json").is_file():
            raise UserError(f"{place} has no review page: make it with review run={cfg.run}, or leave run= out")
        facts = read_record(place / "review-page.json", id=str, folder=str, questions=list)
        if facts["id"] != ratings["page"].iloc[0]:
            raise UserError(
                f"the ratings are of page {ratings['page'].iloc[0]}, {place} holds page {facts['id']}: give its run"
            )
        questions = [Question(**{**one, "options": tuple(one["options"])}) for one in facts["questions"]]
        index = pd.read_parquet(place / facts["folder"] / "index.parquet")
        scores = place / f"faithfulness-{facts['folder']}.parquet"
        report = merge(ratings, questions, index, pd.read_parquet(scores) if scores.is_file() else None)
        report |= {"caution": facts["caution"]} if "caution" in facts else {}
    _write_report(place / "ratings", report, ratings_markdown(report))
    lines = [f"{len(report['raters'])} raters, {report['photos']} photos: {place / 'ratings.md'}"]
    if cfg.run is None:
        lines.append("Agreement only: give run= too to compare the answers with model and map.")
    return {**report, "lines": lines}


COMMANDS = {"maps": maps, "faithfulness": faithfulness, "audit": audit, "review": review}


def explain(cfg: DictConfig) -> dict[str, Any]:
    """Run `cfg.command` and return its result; `lines` are those to print. Raises UserError."""
    if cfg.command not in COMMANDS:
        raise UserError(f"'{cfg.command}' is no command of mpox.explain: choose {', '.join(COMMANDS)}")
    plain(cfg)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    return COMMANDS[cfg.command](cfg)


def _opened(cfg: DictConfig) -> OpenedRun:
    if cfg.run is None:
        raise UserError(f"{cfg.command} needs a run: give run=<runs_dir>/<study>/<model>/fold-<k>")
    return open_run(cfg.run, device=cfg.device, root=cfg.root, cache=cfg.cache_dir)


def _cautions(run: OpenedRun) -> list[str]:
    return [run.caution] if run.caution else []


def _sampled(cfg: DictConfig, run: OpenedRun, count: int) -> np.ndarray:
    rows = sample_rows(run.rows(cfg.split), count, cfg.seed)
    if not len(rows):
        raise UserError(f"{run.path} has no photos of split={cfg.split}: choose another")
    return rows


def _explained(folder: Path, explainer: Explainer, rows: np.ndarray) -> bool:
    """Whether `folder` holds maps of the model's own answers to (at least) these photos, at this layer."""
    about = folder / "about.json"
    if not about.is_file():
        return False
    facts = read_record(about)
    if facts["target"] != "predicted" or facts["layer"] != explainer.layer:
        return False
    return set(rows) <= set(pd.read_parquet(folder / "index.parquet", columns=["row"])["row"])


def _siblings(run: OpenedRun) -> list[Any]:
    """Networks of the same model's other finished folds."""
    paths = sorted(run.path.resolve().parent.glob("fold-[0-9]*/checkpoint.ckpt"))
    return [load_checkpoint(path)[0].to(run.device) for path in paths if path.parent != run.path.resolve()]


def _write_report(stem: Path, report: dict[str, Any], text: str) -> None:
    write_json(stem.with_name(f"{stem.name}.json"), report)
    with replacing(stem.with_name(f"{stem.name}.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _mirror(cfg: DictConfig, run: OpenedRun, index: Any, folder: Path) -> None:
    """Add the table to the W&B run of the job, where the job had one."""
    node = OmegaConf.create(run.config.get("logger") or {})
    # The run may come from elsewhere: nothing but this project's logger is built from its configuration.
    if not cfg.wandb or node.get("_target_") != "mpox.report.wandb.make_logger":
        return
    try:
        logger = build(OmegaConf.create({**node, "run_dir": str(run.path)}))
        log_explanations(logger, index, folder)
    finally:
        finish(failed=sys.exc_info()[0] is not None)


def run(cfg: DictConfig) -> None:
    """Run the command and print its lines."""
    keep_freed_memory()
    console = results_console()
    for line in explain(cfg)["lines"]:
        console.print(line)
    console.print("Research use only; not a diagnosis.", style="dim")
