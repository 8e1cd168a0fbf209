"""Audit photos, decide about them, release them: `python -m mpox.curate [audit|merge|apply|release] …`.

See `python -m mpox.curate --help` and conf/curate.yaml.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.table import Table

from mpox.command_line import command
from mpox.config import build, plain
from mpox.console import results_console, shown
from mpox.curation.about import About
from mpox.curation.audit import audit as look_over
from mpox.curation.curated import Curated, apply_decisions, is_of
from mpox.curation.decisions import DECISION_COLUMNS, merge, read_decisions, write_decisions
from mpox.curation.findings import Audit, is_audit, read_audit, write_audit
from mpox.curation.flow import Step, flow
from mpox.curation.kinds import KINDS
from mpox.curation.release import write_release
from mpox.curation.review_page import write_page
from mpox.data.manifest import read_manifest, write_manifest
from mpox.errors import UsageError, UserError
from mpox.files import read_record, write_json
from mpox.heap import keep_freed_memory
from mpox.places import check_apart, claim

CAPTION = "research use only; not a diagnosis"
CURATED, RECORD, PAGE = "curated.parquet", "curated.json", "review.html"
console = results_console()


def audit(cfg: DictConfig) -> Audit:
    """Audit the configured photo sets; write the audit's four files and the review page into `output`.

    Raises UserError as the sources and `mpox.curation.audit` do.
    """
    keep_freed_memory()
    output = _audit_folder(cfg)
    sets = [build(node, strict=False, allowed=cfg.allow_targets) for node in (cfg.data, *cfg.more.values())]
    result = look_over(
        sets,
        Path(cfg.cache_dir),
        pairs=build(cfg.pairs, allowed=cfg.allow_targets),
        quality=build(cfg.quality, allowed=cfg.allow_targets),
        same_labels=plain(cfg.same_labels),
    )
    write_audit(result, output)
    sources = ", ".join(sorted(result.manifest["source"].unique()))
    title = cfg.page.title or f"{sources}, {len(result.manifest)} photos"
    size = write_page(
        result, output / PAGE, title=title, thumbnail=cfg.page.thumbnail, link_photos=cfg.page.link_photos
    )
    console.print(_findings_table(result))
    for note in result.findings.loc[result.findings["photo_id"] == "", "evidence"]:
        console.print(f"note: {note}")
    if left := result.summary["no_photos"]["count"]:
        console.print(f"{left} other files in the folders are not photos: see no_photos in {output / 'audit.json'}")
    console.print(f"{output / PAGE} ({size / 1e6:.1f} MB): open it in a browser, decide, export decisions.csv. Then:")
    console.print(f"  {command('mpox.curate', 'apply', decisions='decisions.csv', output=cfg.output)}")
    return result


def _audit_folder(cfg: DictConfig) -> Path:
    """Return the folder of the audit, marked as this tool's. Raises UserError for one that holds anything else."""
    output = Path(cfg.output)
    for node in (cfg.data, *cfg.more.values()):
        table = node.get("manifest")
        root = node.get("root") or (table and Path(table).parent)
        check_apart("output", output, root, listed=table is not None)
    claim(output, "audit", "output", is_audit)
    return output


def merge_reviews(cfg: DictConfig) -> pd.DataFrame:
    """Merge two reviewers' files into `output`/decisions.csv; conflicts go to conflicts.csv and are reported.

    Raises UserError unless two files are given, and where decisions.csv is there already.
    """
    given, output = cfg.decisions, Path(cfg.output)
    if not isinstance(given, ListConfig) or len(given) != 2:
        raise UserError(f"merge takes two files, not decisions={given}: give decisions=[one.csv,two.csv]")
    target, disputed = output / "decisions.csv", output / "conflicts.csv"
    merged = merge(*(read_decisions(Path(path)) for path in given))
    claim(output, "audit", "output", is_audit)
    for path in (target, disputed):
        if path.exists() and not cfg.overwrite:
            raise UserError(f"{path} exists: move it away, or give overwrite=true")
    write_decisions(merged.decisions, target)
    write_decisions(merged.conflicts, disputed)
    kappa = (
        "undefined (they gave one same answer, or share no photo)" if merged.kappa is None else f"{merged.kappa:.3f}"
    )
    console.print(f"{merged.both} photos decided by both; Cohen's kappa {kappa}")
    console.print(f"{target}: {len(merged.decisions)} decisions (agreed, or made by one alone)")
    if len(merged.conflicts):
        console.print(f"{len(merged.conflicts)} conflicts are in {disputed} and in no decision: settle them together,")
        console.print(f"  add them to {target}, and only then apply it")
    return merged.decisions


def apply(cfg: DictConfig) -> Curated:
    """Apply decisions to the audit in `output`; write curated.parquet and curated.json there.

    Raises UserError for decisions that do not fit, and where neither decisions nor undecided=suggested is given.
    """
    output = Path(cfg.output)
    result = read_audit(output)
    if isinstance(cfg.decisions, ListConfig):
        raise UserError("apply takes one file of decisions: merge two with `python -m mpox.curate merge` first")
    if cfg.decisions is None and cfg.undecided != "suggested":
        raise UserError("give decisions=<file.csv>, or undecided=suggested to follow the audit's suggestions alone")
    decisions = pd.DataFrame(columns=list(DECISION_COLUMNS), dtype=str)
    if cfg.decisions is not None:
        decisions = read_decisions(Path(cfg.decisions))
    curated = apply_decisions(
        result, decisions, undecided=cfg.undecided, conflicts=cfg.conflicts, new_labels=list(cfg.new_labels)
    )
    write_manifest(curated.manifest, output / CURATED)
    record = {
        "audit": result.key,
        "audit_state": result.state,
        "root": str(result.root),
        "decisions": cfg.decisions and str(cfg.decisions),
        "decisions_sha256": cfg.decisions and hashlib.sha256(Path(cfg.decisions).read_bytes()).hexdigest(),
        "decided": len(decisions),
        "reviewers": sorted({name for names in decisions["reviewer"] for name in names.split("; ") if name}),
        "undecided": cfg.undecided,
        "conflicts": cfg.conflicts,
        "remarks": curated.remarks,
    }
    write_json(output / RECORD, record)
    console.print(_flow_table(flow(curated.manifest)))
    for remark in curated.remarks:
        console.print(f"note: {remark}")
    console.print(f"{output / CURATED} holds the curated manifest. Train on it, or release it:")
    places = {"data.manifest": output / CURATED, "data.root": result.root}
    console.print(f"  {command('mpox.train', data='manifest', **places, study='curated')}")
    example = {"to": "dataset", "about.name": "mine", "output": cfg.output}
    console.print(f"  {command('mpox.curate', 'release', **example)}")
    return curated


def release(cfg: DictConfig) -> Path:
    """Write the curated photos of `output` as a data set into the folder `to`; returns that folder.

    Raises UserError where nothing was applied yet, for a missing `to` or name, and as `write_release` does.
    """
    output = Path(cfg.output)
    if not (output / RECORD).is_file():
        raise UserError(f"{output} holds no curated manifest: run `python -m mpox.curate apply` first")
    if cfg.to is None:
        raise UserError("release needs a folder to write: give to=<folder>")
    record = read_record(output / RECORD, audit=str, root=str)
    curated, audited = read_manifest(output / CURATED), read_audit(output)
    # Earlier versions recorded no state.
    same = record["audit_state"] == audited.state if "audit_state" in record else is_of(curated, audited)
    if record["audit"] != audited.key or not same:
        raise UserError(f"{output / CURATED} is of an earlier audit: apply the decisions again")
    facts = plain(cfg.about)
    about = About(**facts | {"name": facts["name"] or "", "creators": tuple(facts["creators"])})
    folder, key = Path(cfg.to), output / "release_key.csv"
    check_apart("to", folder, record["root"])
    unfilled = write_release(
        curated,
        Path(record["root"]),
        folder,
        key,
        about,
        build(cfg.pictures, allowed=cfg.allow_targets),
        reviewers=len(record["reviewers"]),
        overwrite=cfg.overwrite,
    )
    console.print(f"{folder} holds the data set; {key} maps its photos to the originals: do not publish it")
    console.print(f"{unfilled} places of {folder / 'datasheet.md'} wait for a person: fill them in before publishing.")
    console.print("Train on it:")
    console.print(f"  {command('mpox.train', **{'data': 'manifest', 'data.manifest': folder / 'manifest.csv'})}")
    return folder


def _findings_table(result: Audit) -> Table:
    view = Table(title=f"{len(result.manifest)} photos, {result.summary['groups']} groups", caption=CAPTION)
    for name in ("finding", "photos", "suggested"):
        view.add_column(name, justify="right" if name == "photos" else "left")
    for kind, rows in result.findings[result.findings["photo_id"] != ""].groupby("kind", sort=False):
        view.add_row(
            KINDS[str(kind)].title, str(rows["photo_id"].nunique()), ", ".join(sorted(rows["action"].unique()))
        )
    return view


def _flow_table(steps: list[Step]) -> Table:
    view = Table(title="from photos to data set", caption=CAPTION)
    for name in ("step", "photos", "removed after it"):
        view.add_column(name, justify="right" if name == "photos" else "left")
    for step in steps:
        removed = f"{step.removed} {step.why}: {'; '.join(step.reasons)}" if step.removed else ""
        title = f"{step.title} ({'; '.join(step.details)})" if step.details else step.title
        view.add_row(shown(title), str(step.count), shown(removed))
    return view


COMMANDS: dict[str, Callable[[DictConfig], Any]] = {
    "audit": audit,
    "merge": merge_reviews,
    "apply": apply,
    "release": release,
}


def run(cfg: DictConfig) -> None:
    """Do the step that `command` names."""
    if cfg.command not in COMMANDS:
        raise UsageError(f"command={cfg.command} is unknown: choose {', '.join(COMMANDS)}")
    if OmegaConf.is_missing(cfg, "output"):
        raise UsageError("give output=<folder of the audit>")
    COMMANDS[cfg.command](cfg)
