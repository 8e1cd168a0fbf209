"""Recipe after recipe until a file keeps the bound: its folder, or the figures of all that missed."""

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
    """No file of the recipes that were tried keeps the bound."""


class Attempt(NamedTuple):
    """What was found of one recipe (at least `recipe`, `kept` and `reasons`), and its file."""

    report: dict[str, Any]
    path: Path


def name_of(run: OpenedRun, request: Request, pruned: dict[str, Any] | None) -> str:
    """Return the name of the export's folder: the one asked for, or one of all that tells it from others.

    Raises UserError for one that is no folder's name: a run may be somebody else's, and so may its study's name.
    """
    what = [f"pruned{pruned['ratio']:g}"] if pruned else []
    what += [request.recipe] if request.input == PLANES else [request.recipe, request.input.partition("_")[0]]
    made = "-".join([run.card.study, run.card.model, f"fold{run.card.fold}", *what])
    return folder_name("name", made if request.name is None else request.name)


def card_of(run: OpenedRun) -> dict[str, Any]:
    """Return what export.json says of where the network comes from."""
    card = run.card
    return {"study": card.study, "model": card.model, "fold": card.fold, "classes": list(card.classes)}


@contextlib.contextmanager
def scratch(request: Request, name: str) -> Iterator[Path]:
    """Yield a folder for files that are not proven yet, on the disk of the exports; it is gone afterwards.

    Raises UserError where the export `name` exists and may not be overwritten, before anything is made.
    """
    check_free(request.exports_dir / name, overwrite=request.overwrite)
    with scratch_folder(request.exports_dir) as folder:
        yield folder


def first_kept(
    request: Request,
    name: str,
    file: str,
    recipes: Sequence[str],
    attempt: Callable[[str], Attempt],
    complete: Callable[[Path, dict[str, Any]], None],
    advice: Callable[[dict[str, Any]], str],
    extra: dict[str, Any],
) -> dict[str, Any]:
    """Place the first file that keeps the bound under `name` as `file`; return its report, which holds those before it.

    A recipe that cannot be made or run has missed, where `auto` tries several; one asked for raises its UserError.
    `complete(folder, report)` writes what goes beside the file. `extra` belongs to every outcome. Raises
    MissedBoundError where none keeps it, with the reason of the last and `advice` of its report; what was found is then
    in `<name>.missed.json`, and no folder of that name is made.
    """
    tried: list[dict[str, Any]] = []
    missed = request.exports_dir / f"{name}.missed.json"
    for recipe in recipes:
        try:
            report, path = attempt(recipe)
        except UserError as error:
            if request.recipe != "auto":
                raise
            report = {"recipe": recipe, "kept": False, "reasons": [str(error)]}
        if report["kept"]:
            report |= {"name": name, "tried": tried, **extra}
            with placed(request.exports_dir / name, overwrite=request.overwrite) as place:
                path.rename(place / file)
                complete(place, report)
            missed.unlink(missing_ok=True)
            return report
        tried.append(report)
        log.warning("%s: %s", recipe, "; ".join(report["reasons"]))
    write_json(missed, {"name": name, "tried": tried, **extra})
    last = tried[-1]
    why = "; ".join(last["reasons"])
    raise MissedBoundError(f"recipe={last['recipe']} is not placed: {why}; {advice(last)} (figures: {missed})")
