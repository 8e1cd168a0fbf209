"""Try recipes until a file keeps the bound; write its folder, or the figures of all recipes that missed."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mpox.errors import UserError
from mpox.files import write_json
from mpox.mobile.export.original import Request
from mpox.mobile.file.input_tensor import PLANES
from mpox.mobile.file.package import check_free, placed
from mpox.places import folder_name
from mpox.runs.opened import OpenedRun
from mpox.temporary import scratch as scratch_folder

log = logging.getLogger("mpox")


class MissedBoundError(UserError):
    """None of the tried recipes gives a file that keeps the bound."""


class Trial(NamedTuple):
    """The report of one recipe (at least `recipe`, `kept` and `reasons`), and its file."""

    report: dict[str, Any]
    path: Path


def name_of(run: OpenedRun, request: Request, pruned: dict[str, Any] | None) -> str:
    """Return the name of the export's folder: the requested one, or one made of all that distinguishes it.

    Raises UserError for a name that no folder can have: a run, and the study it names, may be somebody else's.
    """
    what = [f"pruned{pruned['ratio']:g}"] if pruned else []
    what += [request.recipe] if request.input == PLANES else [request.recipe, request.input.partition("_")[0]]
    made = "-".join([run.card.study, run.card.model, "final" if run.is_final else f"fold{run.card.fold}", *what])
    return folder_name("name", made if request.name is None else request.name)


def card_of(run: OpenedRun) -> dict[str, Any]:
    """Return the origin of the network for export.json."""
    card = run.card
    return {"study": card.study, "model": card.model, "fold": card.fold, "classes": list(card.classes)}


@contextlib.contextmanager
def scratch(request: Request, name: str) -> Iterator[Path]:
    """Yield a folder for files that are not verified yet, on the disk of the exports; it is removed afterwards.

    Raises UserError where the export `name` exists and may not be overwritten, before anything is made.
    """
    check_free(request.exports_dir / name, overwrite=request.overwrite)
    with scratch_folder(request.exports_dir) as folder:
        yield folder


def first_kept(
    request: Request,
    name: str,
    file: str,
    rounds: Sequence[Sequence[str]],
    try_recipe: Callable[[str], Trial],
    complete: Callable[[Path, dict[str, Any]], None],
    advice: Callable[[dict[str, Any]], str],
    extra: dict[str, Any],
) -> dict[str, Any]:
    """Write a file that keeps the bound as `<name>/<file>`, and return its report.

    It is the smallest of the first of `rounds` with one. The report includes those of all others that were tried. Where
    `auto` tries several, a recipe that cannot be made or run has missed; a requested one raises its UserError.
    `complete(folder, report)` writes the files beside the model. `extra` is added to every report. Raises
    MissedBoundError where none keeps it, with the reason of the last and `advice` for it; the reports are then in
    `<name>.missed.json`, and no folder of that name is made.
    """
    tried: list[dict[str, Any]] = []
    missed = request.exports_dir / f"{name}.missed.json"

    def leave(report: dict[str, Any], reasons: Sequence[str]) -> None:
        tried.append({**report, "kept": False, "reasons": list(reasons)})
        log.warning("%s: %s", report["recipe"], "; ".join(reasons))

    def attempt(recipe: str) -> Trial | None:
        try:
            trial = try_recipe(recipe)
        except UserError as error:
            if request.recipe != "auto":
                raise
            leave({"recipe": recipe}, [str(error)])
            return None
        if not trial.report["kept"]:
            leave(trial.report, trial.report["reasons"])
            return None
        return trial

    for recipes in rounds:
        found = [trial for recipe in recipes if (trial := attempt(recipe))]
        if not found:
            continue
        taken = min(found, key=lambda trial: trial.path.stat().st_size)
        report, path = taken
        for other in found:
            if other is not taken:
                leave(other.report, [f"{report['recipe']} keeps the bound too, and is smaller"])
        report |= {"name": name, "tried": tried, **extra}
        with placed(request.exports_dir / name, overwrite=request.overwrite) as place:
            path.rename(place / file)
            complete(place, report)
        missed.unlink(missing_ok=True)
        return report
    write_json(missed, {"name": name, "tried": tried, **extra})
    last = tried[-1]
    why = "; ".join(last["reasons"])
    raise MissedBoundError(f"recipe={last['recipe']} is not exported: {why}; {advice(last)} (figures: {missed})")
