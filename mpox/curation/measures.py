"""The measures of every photo as a table, and which of them a person should check."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpox.curation import quality, skin
from mpox.curation.descriptors import PhotoFeatures
from mpox.curation.kinds import KINDS
from mpox.curation.thresholds import QualityThresholds
from mpox.progress import watched

# Part of every key: raise it when other numbers come out.
VERSION = 2


def measure(manifest: pd.DataFrame, features: PhotoFeatures, embedded: np.ndarray) -> pd.DataFrame:
    """Return sha256 and the columns MEASURES of `mpox.curation.findings`, row for row of the three arguments."""
    rows = []
    for row in watched(range(len(features)), f"measuring {len(features)} photos", len(features)):
        grey, colours = features.grey(row), np.asarray(features.colours[row])
        bright, dark = quality.exposure(grey)
        angle = skin.ita(colours)
        rows.append(
            {
                "ita": angle,
                "ita_bin": skin.ita_bin(angle),
                "sharpness": quality.sharpness(grey),
                "bright_share": bright,
                "dark_share": dark,
                "border_share": quality.border_share(grey),
                "text_share": quality.text_share(grey),
                "colourfulness": quality.colourfulness(colours),
                "skin_share": float(skin.skin_pixels(colours).mean()),
            }
        )
    return pd.DataFrame(rows).assign(sha256=manifest["sha256"], unlike=quality.unlikeness(embedded).astype(float))


def quality_findings(measured: pd.DataFrame, limits: QualityThresholds) -> list[dict[str, Any]]:
    """Return one finding for each measure of a photo beyond its limit."""
    rows = []
    for name, kind in KINDS.items():
        if kind.check is None:
            continue
        flagged, values = kind.check(measured, limits)
        for photo, value in zip(measured.loc[flagged, "photo_id"], values[flagged], strict=True):
            evidence = kind.evidence.format(value)
            rows.append({"photo_id": photo, "kind": name, "evidence": evidence, "score": float(value)})
    return rows


def balance_findings(
    measured: pd.DataFrame, findings: Sequence[dict[str, Any]], limits: QualityThresholds
) -> list[dict[str, Any]]:
    """Return findings about the set as a whole, without a photo: uneven classes and sources, hints at a class."""
    rows = []
    for column, name in (("label", "class"), ("source", "source")):
        counts = measured[column].value_counts()
        if len(counts) > 1 and (ratio := counts.iloc[0] / counts.iloc[-1]) > limits.max_imbalance:
            most, least = f"{counts.index[0]} ({counts.iloc[0]})", f"{counts.index[-1]} ({counts.iloc[-1]})"
            rows.append(_whole(f"{name} {most} has {ratio:.1f} times the photos of {least}", float(ratio)))
    classes = measured.set_index("photo_id")["label"]
    for kind in (name for name, one in KINDS.items() if one.telling):
        flagged = classes.index.isin([row["photo_id"] for row in findings if row["kind"] == kind])
        for label in sorted(classes.unique()):
            members = (classes == label).to_numpy()
            inside, outside = flagged[members].mean(), flagged[~members].mean() if not members.all() else 0.0
            if not members.all() and inside - outside > limits.max_tell:
                text = f"{kind}: {inside:.0%} of {label}, {outside:.0%} of the rest: it may give the class away"
                rows.append(_whole(text, float(inside - outside)))
    if measured["source"].nunique() > 1:
        table = pd.crosstab(measured["source"], measured["label"])
        for label in table.columns[(table > 0).sum() == 1]:
            source = table.index[table[label] > 0][0]
            rows.append(_whole(f"all {table[label].sum()} of {label} come from {source}: that may tell the class"))
    return rows


def _whole(evidence: str, score: float = float("nan")) -> dict[str, Any]:
    return {"photo_id": "", "kind": "imbalance", "evidence": evidence, "score": score}
