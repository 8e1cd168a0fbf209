"""The audit: photo sets in; an audited manifest with groups, and findings to review, out."""

import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mpox.curation import measures
from mpox.curation.cached_table import kept_table
from mpox.curation.candidates import embeddings
from mpox.curation.copies import cached_pairs
from mpox.curation.descriptors import open_features
from mpox.curation.duplicates import unique_photos
from mpox.curation.findings import AUDIT_VERSION, MEASURES, Audit, findings_table
from mpox.curation.inventory import combine, file_findings
from mpox.curation.kinds import KINDS
from mpox.curation.thresholds import PairThresholds, QualityThresholds
from mpox.data.audited import AUDITED, marks
from mpox.data.groups import merge_groups
from mpox.data.sources import PhotoSet

log = logging.getLogger(__name__)
# Packages whose versions are recorded with the audit.
PACKAGES = ("imagehash", "opencv-python-headless", "pillow", "scikit-learn", "timm", "torch")
# How many of the files that are not photos the summary names; the count is always whole.
NAMED = 100


def audit(
    sets: Sequence[PhotoSet],
    cache: Path,
    *,
    pairs: PairThresholds | None = None,
    quality: QualityThresholds | None = None,
    same_labels: Mapping[str, str] | None = None,
) -> Audit:
    """Audit photo sets and return the findings; nothing is changed or dropped.

    `sets` come from `mpox.data.sources` with `strict=False`, so that bad files are listed instead of raised; paths
    become relative to the folder that holds them all. Photos that their manifest leaves out stay so and are not
    read. `same_labels` says which labels of different sets mean the same (`{"Monkeypox": "mpox"}`), for label conflicts
    only. What is computed from pixels is kept in `cache`: a second run takes seconds.
    """
    pair_limits, limits = pairs or PairThresholds(), quality or QualityThresholds()
    start = time.perf_counter()
    photos = combine(sets)
    rows = file_findings(photos)
    # A manifest that was audited before is measured again.
    manifest = photos.manifest.drop(columns=[*MEASURES, AUDITED], errors="ignore")
    kept = manifest[manifest["keep"]].reset_index(drop=True)
    unique = unique_photos(kept)
    features = open_features(unique, photos.root, cache)
    embedded = embeddings(unique, photos.root, cache, torch.device("cpu"))
    found = cached_pairs(kept, cache, pair_limits, lambda: (features, embedded))
    measured = kept_table(
        *(cache, "measures", [measures.VERSION, unique["sha256"].tolist()]),
        lambda: measures.measure(unique, features, embedded),
    )
    measured = kept.merge(measured, on="sha256", validate="many_to_one")
    rows += measures.quality_findings(measured, limits)
    rows += pair_findings(found, kept, same_labels or {})
    rows += measures.balance_findings(measured, rows, limits)
    manifest["group"] = merge_groups(manifest, found[["photo_id", "other"]].itertuples(index=False))
    extra = measured.set_index("photo_id")[list(MEASURES)].reindex(manifest["photo_id"])
    manifest[list(MEASURES)] = extra.to_numpy()
    manifest = manifest.astype({name: "float64" for name in MEASURES if name != "ita_bin"})
    manifest["ita_bin"] = manifest["ita_bin"].fillna("").astype(str)
    manifest[AUDITED] = marks(manifest)
    findings = findings_table(rows)
    summary = {
        "version": AUDIT_VERSION,
        "root": str(photos.root),
        "roots": [str(each.root.resolve()) for each in sets],
        "photos": len(manifest),
        "kept": len(kept),
        "groups": int(manifest.loc[manifest["keep"], "group"].nunique()),
        "groups_of_several": int((manifest.loc[manifest["keep"], "group"].value_counts() > 1).sum()),
        "findings": {kind: int(count) for kind in KINDS if (count := (findings["kind"] == kind).sum())},
        "pairs": {str(kind): int(count) for kind, count in found["kind"].value_counts().items()},
        "by_class": _counts(kept, findings, "label"),
        "by_source": _counts(kept, findings, "source"),
        "no_photos": {"count": len(photos.left), "named": list(photos.left[:NAMED])},
        "thresholds": {"pairs": asdict(pair_limits), "quality": asdict(limits)},
        "same_labels": dict(same_labels or {}),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seconds": round(time.perf_counter() - start, 1),
    }
    counts = (len(manifest), len(findings), len(found), summary["groups"])
    log.info("%d photos audited: %d findings, %d pairs, %d groups", *counts)
    return Audit(manifest, findings, found, summary)


def pair_findings(pairs: pd.DataFrame, manifest: pd.DataFrame, same_labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return findings of the pairs: a photo has one of each kind, with its strongest partner; each conflict is one.

    Of exact duplicates, all but the first (by photo_id) have the finding.
    """
    photos = manifest.set_index("photo_id")
    label, source = photos["label"].replace(dict(same_labels)), photos["source"]
    rows: list[dict[str, Any]] = []
    best: dict[tuple[str, str], tuple[str, float, str]] = {}
    for one, other, kind, score, evidence in pairs.itertuples(index=False):
        kinds = [kind]
        if source[one] != source[other]:
            kinds.append("cross_dataset_duplicate")
        if label[one] != label[other]:
            what = f"{photos.label[one]} here, {photos.label[other]} there: {evidence}"
            rows.append(_finding(one, "label_conflict", what, score, other))
        for photo, partner in ((one, other), (other, one)):
            for each in kinds:
                if each == "exact_duplicate" and photo == one:
                    continue
                if (photo, each) not in best or score > best[photo, each][1]:
                    best[photo, each] = partner, score, evidence
    rows += [_finding(photo, kind, what, score, other) for (photo, kind), (other, score, what) in best.items()]
    return rows


def _finding(photo: str, kind: str, evidence: str, score: float, other: str) -> dict[str, Any]:
    return {"photo_id": photo, "kind": kind, "evidence": evidence, "score": score, "other": other}


def _counts(kept: pd.DataFrame, findings: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Return for each class or source how many photos it has, groups, and photos with each kind of finding."""
    of = kept.set_index("photo_id")[column]
    about = findings[findings["photo_id"].isin(of.index)]
    table = pd.crosstab(about["photo_id"].map(of), about["kind"]) if len(about) else pd.DataFrame()
    out: dict[str, dict[str, int]] = {}
    for name, photos in kept.groupby(column):
        seen = table.loc[name] if name in table.index else pd.Series(dtype=int)
        out[str(name)] = {"photos": len(photos), **{str(kind): int(count) for kind, count in seen.items() if count}}
    return out
