"""Compare the models of a study, from its run directories alone. See `python -m mpox.compare --help`."""

import logging
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mpox.command_line import command
from mpox.config import plain
from mpox.console import results_console
from mpox.errors import UsageError, UserError
from mpox.files import write_json
from mpox.places import folder_name
from mpox.report.model_card import write_model_card
from mpox.report.page import write_page
from mpox.report.score_table import completeness_view, score_view, write_csv, write_latex
from mpox.report.wandb_mode import resolve_mode
from mpox.runs.portable import portable
from mpox.runs.preparation import recorded_root
from mpox.stats.comparison import Comparison
from mpox.study.choice import Rule, choose
from mpox.study.choice_file import write_choice
from mpox.study.comparing import compare as compare_study
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.final_network import final_command
from mpox.study.results import StudyResults, read_study

log = logging.getLogger("mpox")
# Share of a study's pictures that may be in another one, which is still taken for a data set of its own.
SHARED = 0.1
# Options of the command that are options of the comparison itself.
OPTIONS = (
    *("metric", "confidence", "rope", "resamples", "seed", "target_sensitivity", "prevalences", "coverage"),
    *("subgroups", "mistakes"),
)


def compare(cfg: DictConfig) -> Comparison:
    """Compare a study and write runs/<study>/comparison/; return what is in its comparison.json.

    Files: comparison.csv, .tex and .json, index.html with figures/, model_card.md, and chosen.yaml with select=best (an
    earlier one is removed without it). Raises UserError for whatever the user can fix; of a study that cannot be
    compared nothing is written.
    """
    config = plain(cfg)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value := config[name], list) else value for name in OPTIONS
    }
    options = ComparisonOptions(**values)
    rule = _rule(config)
    for name in (cfg.study, *config["others"]):
        folder_name("study", name)
    if repeated := sorted({name for name in config["others"] if [cfg.study, *config["others"]].count(name) > 1}):
        raise UserError(f"others={repeated[0]} names a study twice: its data set would count twice, leave it out")
    results = read_study(cfg.runs_dir, cfg.study, allow_partial=cfg.allow_partial, models=config["models"])
    others = {
        name: read_study(cfg.runs_dir, name, allow_partial=cfg.allow_partial, models=config["models"])
        for name in config["others"]
    }
    _check_independent({results.name: results, **others})
    photos = _photo_root(cfg.photos, results.path)
    comparison = compare_study(
        results, options, exports=Path(cfg.exports_dir), cache=Path(cfg.cache_dir), others=others
    )
    if rule is not None:
        comparison = choose(comparison, results, rule)
    folder = results.path / "comparison"
    write_json(folder / "comparison.json", portable(comparison.plain()))
    write_csv(comparison, folder / "comparison.csv")
    write_latex(comparison, folder / "comparison.tex")
    chosen = folder / "chosen.yaml"
    if comparison.choice is not None:
        write_choice(comparison, results, chosen)
    elif chosen.exists():  # its threshold is that of other runs, or other options, than are compared now
        chosen.unlink()
        log.warning("%s of an earlier comparison is removed, as this one chooses no model: select=best does", chosen)
    write_page(comparison, folder, photos)
    write_model_card(comparison, folder)
    return comparison


def _check_independent(studies: Mapping[str, StudyResults]) -> None:
    """Ranks over data sets count each as one of its own: warn of pictures in two; raise UserError where it is many."""
    pictures = {name: set(study.manifest.loc[study.manifest["keep"], "sha256"]) for name, study in studies.items()}
    for one, other in combinations(studies, 2):
        shared = len(pictures[one] & pictures[other])
        words = f"studies {one} and {other} share {shared} photos, and ranks over data sets need independent ones"
        if shared > SHARED * min(len(pictures[one]), len(pictures[other])):
            raise UserError(f"{words}: leave {other} out of others=")
        if shared:
            log.warning("%s", words)


def _rule(config: dict[str, Any]) -> Rule | None:
    """Return the rule of `select`; None where no model is to be chosen. Raises UserError for wrong values."""
    given = {**config["select"]}
    if given.pop("rule") is None:
        return None
    return Rule(**given, max_size_mb=config["max_size_mb"], max_latency_ms=config["max_latency_ms"])


def _photo_root(given: str | None, study: Path) -> Path | None:
    """Return the folder of the study's photos, None where it is no longer there; UserError where a given one is not."""
    if given is not None:
        if not Path(given).is_dir():
            raise UserError(f"photos={given} is not a folder: give the folder of the study's photos")
        return Path(given)
    root = recorded_root(study) if (study / "data.json").exists() else None
    return root if root is not None and root.is_dir() else None


def show(comparison: Comparison, folder: Path, console: Console) -> None:
    """Print the tables, the conclusion in words and the next commands."""
    if not all(job.used for job in comparison.completeness):
        console.print(completeness_view(comparison.completeness))
    console.print(score_view(comparison))
    for caution in (*comparison.cautions, *comparison.warnings):
        console.print(f"note: {caution}")
    for sentence in comparison.conclusion:
        console.print(f"• {sentence}")
    if comparison.choice is not None:
        choice = comparison.choice
        console.print(f"{choice.why} The final network is one fitted on every photo. Next:")
        console.print(f"  {final_command(comparison.study, choice.model, folder.parent.parent)}")
        console.print(f"  {command('mpox.export', chosen=folder / 'chosen.yaml')}")
    console.print(f"{folder / 'index.html'} shows it all.")


def run(cfg: DictConfig) -> None:
    """Compare, print, and send the summary to W&B."""
    if OmegaConf.is_missing(cfg, "study"):
        raise UsageError("give study=<name>: which study of runs_dir is compared")
    folder = Path(cfg.runs_dir) / cfg.study / "comparison"
    comparison = compare(cfg)
    show(comparison, folder, results_console())
    if resolve_mode(cfg.logger.mode) != "disabled":
        from mpox.report.wandb_study import log_study  # starts W&B

        log_study(comparison, folder, **cfg.logger)
