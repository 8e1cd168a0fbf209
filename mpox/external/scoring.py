"""External validation: the networks of a study on photos that neither their training nor its choices have seen.

runs/<study>/external/<name>/
    external.json                      what was scored, in which classes, and the flow of photos
    excluded.csv                       each photo left out, why, and which photo of the study it repeats
    <model>/fold-<k>/                  as a run of the study: config, predictions (split `external`), metrics, status
    <model>/fold-all/                  the same of the final network, where there is one
    <model>/ensemble/predictions.parquet, metrics.json    mean probability of the folds' networks, fold -1
    <model>/at_threshold.json          sensitivity and specificity by the rule that leaves the study

Predictions scored in fewer classes than the study's (mpox against the rest) keep the logits of those in columns
`study_logit_<class>`: the rule is of them.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mpox.data.groups import merge_groups
from mpox.data.module import as_they_are
from mpox.data.sources import PhotoSet
from mpox.data.store import open_store, store_key
from mpox.errors import UserError
from mpox.external.kin import SAME_GROUP, SAME_SUBJECT, group_mates
from mpox.external.mapping import STUDY_PREFIX, collapse, ensemble, map_labels
from mpox.external.seen_before import duplicates
from mpox.files import replacing, write_json
from mpox.model.backbone import PhotoClassifier
from mpox.model.checkpoint import Card
from mpox.model.frozen import cached_features
from mpox.stats.predictions import PREFIX, predictions_table

log = logging.getLogger(__name__)
# How to mend subjects that are taken for those of the study by their names alone.
RENAME = "where they are other people, give data.source=<a name of its own>"
# Values of the column `split` for these photos, and of `fold` for the ensemble's predictions.
SPLIT, ENSEMBLE_FOLD = "external", -1
CHECKS = ("perceptual", "exact", "off")
# Why a photo counts as seen: the same file or picture, cut from one, of a person or a group that the study has.
SEEN = ("exact", "perceptual", "same source", SAME_SUBJECT, SAME_GROUP)


@dataclass(frozen=True)
class ExternalSet:
    """Photos to score, their classes, and what happened to the others.

    `photos.manifest` holds only those to score; `targets` (int64) is in its order. `excluded` has photo_id, path,
    label, reason (`not mapped` or one of SEEN) and other (a photo of the study, or empty).
    `flow` counts: found, not kept by the manifest, one number a reason, scored.
    """

    name: str
    photos: PhotoSet
    classes: tuple[str, ...]
    positive: int | None
    targets: np.ndarray
    excluded: pd.DataFrame
    flow: dict[str, int]


def external_set(
    name: str,
    photos: PhotoSet,
    study: PhotoSet,
    classes: Sequence[str],
    positive: int | None,
    *,
    mapping: Mapping[str, str | None],
    names: Sequence[str],
    check: str = "perceptual",
    pairs: pd.DataFrame | None = None,
    kin: pd.DataFrame | None = None,
) -> ExternalSet:
    """Leave out what the study has seen or does not know, and give the rest the study's classes.

    `mapping` and `names` go to `map_labels`, `check` is how photos of the study are found (`perceptual` opens the
    photos of both, `exact` compares files, `off` does not search). `pairs` (columns photo_id, other) are known matches,
    such as those of `mpox.curate`; those of which both are among the photos share a group. `kin` (columns photo_id,
    other, reason) are photos that belong to one of the study's. With a photo that was seen goes the rest of its group.
    Raises UserError for another check, and where no photo is left.
    """
    if check not in CHECKS:
        raise UserError(f"duplicates={check} is unknown: choose one of {', '.join(CHECKS)}")
    kept = photos.manifest[photos.manifest["keep"]].reset_index(drop=True)
    kept["group"] = merge_groups(kept, _among(pairs, kept["photo_id"]))
    labels = map_labels(kept["label"], classes, positive, mapping=mapping, names=names)
    mapped = labels.notna().to_numpy()
    # Photos of classes left out too: the same person's others are no news to the study.
    seen = _seen(PhotoSet(kept, photos.root), study, check, pairs, kin)
    reasons = pd.Series("", index=kept["photo_id"]).mask(~mapped, "not mapped")
    new = reasons == ""
    reasons = reasons.mask(new, seen["reason"].reindex(reasons.index, fill_value=""))
    others = seen["other"].reindex(reasons.index, fill_value="").where(new, "")
    _check_pairs(pairs, name, kept["photo_id"], study.manifest["photo_id"])
    out = kept.assign(reason=reasons.to_numpy(), other=others.to_numpy())
    excluded = out.loc[out["reason"] != "", ["photo_id", "path", "label", "reason", "other"]]
    flow = {"found": len(photos.manifest), "not kept": len(photos.manifest) - len(kept)}
    for reason in ("not mapped", *SEEN):
        flow[reason] = int((out["reason"] == reason).sum())
    scored = (out["reason"] == "").to_numpy()
    flow["scored"] = int(scored.sum())
    if not scored.any():
        raise UserError(
            f"none of the {len(kept)} photos of {name} is new to the study ({_counted(flow)}): give other photos"
            + f", or, {RENAME}" * bool(flow[SAME_SUBJECT])
        )
    if flow[SAME_SUBJECT]:
        words = "%s: %d photos are of subjects that the study has in a source of the same name, and left out; %s"
        log.warning(words, name, flow[SAME_SUBJECT], RENAME)
    index = {label: k for k, label in enumerate(classes)}
    targets = labels[scored].map(index).to_numpy("int64")
    left = PhotoSet(kept[scored].reset_index(drop=True), photos.root)
    return ExternalSet(name, left, tuple(classes), positive, targets, excluded.reset_index(drop=True), flow)


def _seen(
    photos: PhotoSet, study: PhotoSet, check: str, pairs: pd.DataFrame | None, kin: pd.DataFrame | None
) -> pd.DataFrame:
    """Return what the study has seen of the photos: other (a photo of it) and reason (one of SEEN), by photo_id."""
    found = []
    if check != "off":
        found.append(duplicates(photos, study, perceptual=check == "perceptual").rename(columns={"kind": "reason"}))
    linked = pd.DataFrame(_linked(pairs, study.manifest["photo_id"]), columns=["photo_id", "other"], dtype=object)
    found += [linked.assign(reason="same source"), *([] if kin is None else [kin])]
    every = pd.concat([frame[["photo_id", "other", "reason"]].astype(object) for frame in found])
    every = every[every["photo_id"].isin(photos.manifest["photo_id"])]
    seen = every.drop_duplicates("photo_id").set_index("photo_id")
    mates = group_mates(photos.manifest, seen["other"]).rename("other").to_frame().assign(reason=SAME_GROUP)
    return pd.concat([seen, mates])


def predict(
    network: PhotoClassifier, card: Card, photos: ExternalSet, *, batch_size: int, device: torch.device, cache: Path
) -> pd.DataFrame:
    """Return the predictions table of one trained network, in the classes of `photos`.

    Where they are fewer than the network's own, the logits of those are kept beside them (`STUDY_PREFIX`).
    Pixels, and features below the head, are kept in `cache`: networks that differ in nothing but their head (a probe's
    folds) share one pass over the photos. Raises UserError where the network knows other classes than the study's.
    """
    manifest, record = photos.photos.manifest, card.record
    pixels = open_store(manifest, photos.photos.root, record.image_size, record.interpolation, cache, record.resize)
    key = store_key(list(manifest["sha256"]), record.image_size, record.interpolation, record.resize)
    features = cached_features(network, as_they_are(pixels), key, batch_size, device, cache)
    with torch.no_grad():
        weight, bias = network.head.weight.flatten(1).cpu(), network.head.bias
        logits = (features @ weight.T + (0 if bias is None else bias.cpu())).numpy()
    if card.classes != photos.classes:
        if card.positive is None or len(photos.classes) != 2:
            raise UserError(
                f"{card.model} fold {card.fold} knows other classes ({', '.join(card.classes)}) than the study "
                f"({', '.join(photos.classes)}): train it again"
            )
        own = pd.DataFrame(logits, columns=[f"{STUDY_PREFIX}{name}" for name in card.classes])
        own["photo_id"] = manifest["photo_id"].to_numpy()
        table = _table(photos, collapse(logits, card.positive), card.fold)
        return table.merge(own, on="photo_id", how="left", validate="one_to_one")
    return _table(photos, logits, card.fold)


def mean_of_folds(tables: Sequence[pd.DataFrame], photos: ExternalSet) -> pd.DataFrame:
    """Return the predictions of the ensemble of the folds' networks: log of their mean probability, fold -1."""
    columns = [f"{PREFIX}{name}" for name in photos.classes]
    order = photos.photos.manifest["photo_id"]
    logits = np.stack([table.set_index("photo_id").loc[order, columns].to_numpy() for table in tables])
    return _table(photos, ensemble(logits), ENSEMBLE_FOLD)


def write_external(photos: ExternalSet, folder: Path, **facts: object) -> None:
    """Write external.json (`facts` added) and excluded.csv."""
    positive = None if photos.positive is None else photos.classes[photos.positive]
    manifest = photos.photos.manifest
    counts = pd.Series(np.asarray(photos.classes)[photos.targets]).value_counts()
    with replacing(folder / "excluded.csv") as temporary:
        photos.excluded.to_csv(temporary, index=False)
    write_json(
        folder / "external.json",
        {
            "name": photos.name,
            "sources": sorted(manifest["source"].unique()),
            "root": str(photos.photos.root.resolve()),
            "classes": list(photos.classes),
            "positive": positive,
            "photos": {name: int(counts.get(name, 0)) for name in photos.classes},
            "groups": int(manifest["group"].nunique()),
            "flow": photos.flow,
            **facts,
        },
    )


def _table(photos: ExternalSet, logits: np.ndarray, fold: int | str) -> pd.DataFrame:
    manifest = photos.photos.manifest
    return predictions_table(
        manifest,
        np.arange(len(manifest)),
        logits,
        classes=photos.classes,
        targets=photos.targets,
        splits=np.full(len(manifest), SPLIT),
        fold=fold,
    )


def _linked(pairs: pd.DataFrame | None, known: pd.Series) -> list[tuple[str, str]]:
    """Return (photo, photo of the study) for each pair, whichever way round it is written."""
    if pairs is None:
        return []
    ids = set(known)
    both = [*zip(pairs["photo_id"], pairs["other"], strict=True), *zip(pairs["other"], pairs["photo_id"], strict=True)]
    return [(photo, other) for photo, other in both if other in ids and photo not in ids]


def _check_pairs(pairs: pd.DataFrame | None, name: str, photos: pd.Series, known: pd.Series) -> None:
    """Warn of pairs that can leave out nothing: those of other collections, or of the same ones under other names."""
    if pairs is None:
        return
    named = {*pairs["photo_id"], *pairs["other"]}
    for what, ids in ((f"the photos of {name}", photos), ("the study's photos", known)):
        if named.isdisjoint(ids):
            log.warning(
                "pairs= names none of %s (such as %s), so that it leaves nothing out: give the pairs of these "
                "collections, whose photo ids begin with data.source",
                *(what, ids.iloc[0]),
            )


def _among(pairs: pd.DataFrame | None, photos: pd.Series) -> list[tuple[str, str]]:
    """Return the pairs of which both are of these photos."""
    if pairs is None:
        return []
    both = pairs[pairs["photo_id"].isin(photos) & pairs["other"].isin(photos)]
    return list(both[["photo_id", "other"]].itertuples(index=False, name=None))


def _counted(flow: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in flow.items() if count and reason != "scored")
