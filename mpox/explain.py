"""Explain a finished run, examine the explanations, audit it for shortcuts, and let clinicians answer.

python -m mpox.explain run=<run>                 maps: overlays, raw maps, contact sheets
python -m mpox.explain faithfulness run=<run>    can the maps be believed?
python -m mpox.explain audit run=<run>           does the model need the lesion at all?
python -m mpox.explain review run=<run>          a page for clinicians; with ratings=<a.csv,b.csv>: what they said
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mpox.config import build, config_dir, plain
from mpox.errors import UserError
from mpox.files import replacing, write_json
from mpox.jobs import one_line, quieten
from mpox.model.checkpoint import load_checkpoint
from mpox.report import wandb as wandb_report
from mpox.xai.examination import as_markdown, examine, sample_rows
from mpox.xai.gallery import explain_photos
from mpox.xai.run import OpenedRun, open_run

log = logging.getLogger("mpox")
exit_code = 0


def maps(cfg: DictConfig) -> dict[str, Any]:
    """Write overlays, raw maps, sheets and index of a run's photos below `<run>/explain/`; log them where it logs."""
    run = _opened(cfg)
    rows = run.rows(cfg.split)
    explainer = build(cfg.explain)(run.network, run.images(rows[:2]))
    folder = run.path / "explain" / explainer.method
    index = explain_photos(run, explainer, rows, folder, target=cfg.target, batch_size=cfg.batch_size)
    _mirror(cfg, run, index, folder)
    blank = int(index["blank"].sum())
    said = [f"{len(index)} photos explained by {explainer.method} at {explainer.layer}: {folder}"]
    if blank:
        said.append(f"{blank} of them have nothing that speaks for the class explained; the sheets say which")
    return {"folder": str(folder), "photos": len(index), "blank": blank, "said": said}


def faithfulness(cfg: DictConfig) -> dict[str, Any]:
    """Measure whether the maps can be believed; writes `<run>/explain/faithfulness-<method>.json` and `.md`."""
    run = _opened(cfg)
    rows = sample_rows(run, run.rows(cfg.split), cfg.faithfulness.photos, cfg.seed)
    if not len(rows):
        raise UserError(f"{run.path} has no photos of split={cfg.split}: choose another")
    report = examine(
        run,
        build(cfg.explain),
        rows,
        siblings=_siblings(run) if cfg.faithfulness.siblings else (),
        road_photos=cfg.faithfulness.road_photos,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
    )
    _write_report(run.path / "explain" / f"faithfulness-{report['method']}", report, as_markdown(report))
    return {**report, "said": report["verdicts"]}


COMMANDS = {"maps": maps, "faithfulness": faithfulness}


def explain(cfg: DictConfig) -> dict[str, Any]:
    """Do what `cfg.command` says and return its result; `said` are the lines to print. Raises UserError."""
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


def _siblings(run: OpenedRun) -> list[Any]:
    """Networks of the same model's other finished folds."""
    paths = sorted(run.path.resolve().parent.glob("fold-*/checkpoint.ckpt"))
    return [load_checkpoint(path)[0].to(run.device) for path in paths if path.parent != run.path.resolve()]


def _write_report(stem: Path, report: dict[str, Any], text: str) -> None:
    write_json(stem.with_name(f"{stem.name}.json"), report)
    with replacing(stem.with_name(f"{stem.name}.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _mirror(cfg: DictConfig, run: OpenedRun, index: Any, folder: Path) -> None:
    """Add the table to the W&B run of the job, where the job had one."""
    node = OmegaConf.create(run.config.get("logger") or {})
    if not cfg.wandb or "mode" not in node:
        return
    try:
        logger = build(OmegaConf.merge(node, {"run_dir": str(run.path)}))
        wandb_report.log_explanations(logger, index, folder)
    finally:
        wandb_report.finish(failed=sys.exc_info()[0] is not None)


@hydra.main(version_base="1.3", config_path=config_dir(), config_name="explain")
def _hydra_main(cfg: DictConfig) -> None:
    global exit_code
    try:
        result = explain(cfg)
    except Exception as error:
        exit_code = 1
        if not isinstance(error, UserError):
            traceback.print_exc()
        Console(stderr=True, soft_wrap=True).print(f"error: {one_line(error, '.')}", markup=False, highlight=False)
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in result["said"]:
        console.print(line, markup=False)
    console.print("Research use only; not a diagnosis.", style="dim")


def main() -> None:
    """Run `python -m mpox.explain [maps|faithfulness|audit|review] …`; exit code 0 only where it was done."""
    quieten()
    if len(sys.argv) > 1 and "=" not in sys.argv[1] and not sys.argv[1].startswith("-"):
        sys.argv[1] = f"command={sys.argv[1]}"
    _hydra_main()
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
