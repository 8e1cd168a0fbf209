"""Does the model need the lesion at all?

A published critique hid the lesions of mpox photos and a CNN still scored over 90 %: such a model does not
recognise the disease.

Two kinds of test. Of the model: its predictions for photos without the lesion, with only the lesion, with only the
border, heavily blurred. Of the photos: whether a classifier that cannot see the disease, trained on the same training
photos, separates the classes by colours or by background.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from mpox.progress import watched
from mpox.runs.opened import OpenedRun, as_images, logits_of
from mpox.xai.cams import Explainer, shown
from mpox.xai.gradients import blurred
from mpox.xai.localisation import lesion_masks
from mpox.xai.regions import corner_squares, corners, frame, hidden, only, with_margin
from mpox.xai.verdicts import Judge, Report, Sample

# Without masks, this share of each photo, the brightest of its map, is taken as the lesion.
SALIENT = 0.25
BLUR = 0.08  # sd as a share of the side: 18 px at 224, no detail of a lesion remains
BINS = 4  # a channel, for the joint colour histogram
# Fewer photos than this, or less than half of them, and a test is left out.
FEWEST = 10
# Photos whose corners a photo is given in turn, each answered differently.
DONORS = 3
PENALTY_C = 0.01  # of the background probe: suits a few hundred photos with a thousand features


def audit(
    run: OpenedRun, explainer: Explainer, rows: np.ndarray, *, batch_size: int, seed: int = 0, train_photos: int = 600
) -> Report:
    """Run every test on the photos `rows` of a run; classifiers are fitted on at most `train_photos` training photos.

    Lesions come from masks where every photo has one; else the brightest part of the map is used, as the report
    states. Each test gives balanced accuracy and the share of the model's advantage over guessing that is kept,
    (accuracy - chance) / (the intact photos' - chance), with 95 % intervals over groups; a level (`clear`, `hint`,
    `shortcut`) and a verdict as text. `flagged`: some test has the level shortcut.
    `caution`, of a network that every photo trained: the tests of the photos need some held out and are left out.
    """
    masked = bool((run.photos["mask"] != "").all())
    sample = _sample(run, explainer, rows, masked, batch_size)
    intact = _predicted_classes(run, run.pixels[rows], batch_size)
    judge = Judge(sample, intact)
    report: Report = {
        "run": run.name,
        "photos": len(rows),
        "groups": len(set(sample.groups)),
        "lesions": "masks" if masked else f"the brightest {SALIENT:.0%} of {explainer.method}",
        "chance": judge.chance,
        "intact": asdict(judge.intact),
        "tests": [],
    }
    if run.caution:
        report["caution"] = f"{run.caution} Colours and background alone are not tested: audit a fold for that."
    if not (judge.intact.low or 0.0) > judge.chance:
        report |= {"flagged": False, "verdict": "The model is not shown to be better than guessing: nothing to audit."}
        return report
    tests = _model_tests(run, sample, masked, batch_size)
    for name, pictures in watched(tests.items(), "hiding, showing, blurring", len(tests)):
        report["tests"].append(judge.of(name, _predicted_classes(run, pictures, batch_size), masked))
    if not masked:
        report["tests"] += _swap_tests(run, judge, batch_size, seed)
    if not run.is_final:  # there, the classifiers would be judged by the photos that they were fitted on
        train = np.flatnonzero(run.photos["role"] == "train")
        if len(train) > train_photos:
            train = np.sort(np.random.default_rng(seed).choice(train, train_photos, replace=False))
        learner = _sample(run, explainer, train, masked, batch_size, only_masks=True)
        report["tests"] += _photo_tests(run, judge, learner, masked, batch_size)
    levels = [test["level"] for test in report["tests"]]
    report["flagged"] = "shortcut" in levels
    if report["flagged"]:
        report["verdict"] = "Do not trust this model before the shortcuts found are explained."
    elif hints := levels.count("hint"):
        decides = "" if masked else " Lesion masks, or photos from another source (mpox.evaluate), would decide."
        report["verdict"] = f"No test shows a shortcut, but {hints} of {len(levels)} hint at one: read them.{decides}"
    else:
        report["verdict"] = "No shortcut was found by these tests; that is no proof that there is none."
    return report


def _sample(
    run: OpenedRun, explainer: Explainer, rows: np.ndarray, masked: bool, batch_size: int, only_masks: bool = False
) -> Sample:
    photos, size = run.photos.iloc[rows], run.pixels.shape[1]
    if masked:
        lesions = np.array([with_margin(mask) for mask in lesion_masks(photos, run.root, size)])
    elif only_masks:
        lesions = np.zeros((len(rows), size, size), bool)
    else:
        parts = [rows[k : k + batch_size] for k in range(0, len(rows), batch_size)]
        lesions = np.concatenate([_salient(run, explainer, part) for part in parts])
    return Sample(rows, photos["target"].to_numpy(), photos["group"].to_numpy(), lesions)


def _salient(run: OpenedRun, explainer: Explainer, rows: np.ndarray) -> np.ndarray:
    images = run.images(rows)
    maps = shown(explainer(images, logits_of(run.network, images, len(images)).argmax(1)), images.shape[-1])
    return np.asarray(maps > np.quantile(maps, 1 - SALIENT, axis=(1, 2), keepdims=True))


def _model_tests(run: OpenedRun, sample: Sample, masked: bool, batch_size: int) -> dict[str, np.ndarray]:
    """Photos (N, S, S, 3) uint8 of each test of the model, by its name."""
    pixels, size = run.pixels[sample.rows], run.pixels.shape[1]
    colour = pixels.reshape(-1, 3).mean(0)
    border = frame(size)
    name = "lesion" if masked else "salient region"
    pairs = list(zip(pixels, sample.lesions, strict=True))
    blurry = torch.cat([blurred(part, BLUR).round() for part in as_images(pixels).split(batch_size)])
    return {
        f"{name} hidden": np.array([photo if region.all() else hidden(photo, region) for photo, region in pairs]),
        f"only the {name}": np.array([only(photo, region, colour) for photo, region in pairs]),
        "only the border": np.array([only(photo, border & ~region if masked else border, colour)
                                     for photo, region in pairs]),
        "blurred": blurry.permute(0, 2, 3, 1).to(torch.uint8).numpy(),
    }  # fmt: skip


def _swap_tests(run: OpenedRun, judge: Judge, batch_size: int, seed: int) -> list[Report]:
    """Give each photo the corners, or the border, of photos that are answered differently: what does the answer follow?

    Needs no masks: nothing is assumed of where lesions are, but that they are not mostly there.
    """
    rows, answers, size = judge.sample.rows, judge.answers, run.pixels.shape[1]
    donors, found = _donors(answers, np.random.default_rng(seed)), []
    for name, region in (("corners", corner_squares(size)), ("border", frame(size))):
        follows, stays = np.full(donors.shape, np.nan), np.full(donors.shape, np.nan)
        for k, column in enumerate(donors.T):
            some = np.flatnonzero(column >= 0)
            own, other = run.pixels[rows[some]], run.pixels[rows[column[some]]]
            mixed = _predicted_classes(run, np.where(region[..., None], other, own), batch_size)
            follows[some, k], stays[some, k] = mixed == answers[column[some]], mixed == answers[some]
        # No donor, no share: NaN.
        followed, stayed = (pd.DataFrame(one).mean(axis=1).to_numpy() for one in (follows, stays))
        found.append(judge.of_swap(name, followed, stayed, region))
    return found


def _donors(answers: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For each photo (N) others, one each of up to DONORS other answers: (N, DONORS), or fewer where answers are."""
    classes = np.unique(answers)
    donors = np.full((len(answers), min(DONORS, len(classes) - 1)), -1)
    for n, answer in enumerate(answers):
        others = random.permutation(classes[classes != answer])[: donors.shape[1]]
        donors[n] = [random.choice(np.flatnonzero(answers == other)) for other in others]
    return donors


def _predicted_classes(run: OpenedRun, pixels: np.ndarray, batch_size: int) -> np.ndarray:
    """Predicted classes (N) of pictures (N, S, S, 3) uint8."""
    parts = [pixels[k : k + batch_size] for k in range(0, len(pixels), batch_size)]
    return np.concatenate(
        [logits_of(run.network, as_images(part, run.device), batch_size).argmax(1).numpy() for part in parts]
    )


def _photo_tests(run: OpenedRun, judge: Judge, learner: Sample, masked: bool, batch_size: int) -> list[Report]:
    """Classifiers that cannot see the disease, fitted on training photos and tested on the audited ones."""
    sample, found = judge.sample, []
    without_lesions = Sample(
        sample.rows, sample.targets, sample.groups, sample.lesions if masked else sample.lesions & False
    )
    where = "outside the lesion" if masked else "of the whole photo"
    fitted_on, tested_on = _histograms(run, learner), _histograms(run, without_lesions)
    colours = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    colours.fit(fitted_on, learner.targets)
    found.append(judge.of(f"colours {where}", colours.predict(tested_on), masked))
    (fitted_on, kept_fitted), (tested_on, kept) = (
        _backgrounds(run, some, batch_size) for some in (learner, without_lesions)
    )
    classes = set(learner.targets[kept_fitted])
    if kept.sum() < max(FEWEST, len(kept) / 2) or len(classes) < 2:
        return found
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY_C, class_weight="balanced", max_iter=2000))
    probe.fit(fitted_on[kept_fitted], learner.targets[kept_fitted])
    found.append(judge.of("background embedding", probe.predict(tested_on[kept]), masked, kept))
    sources = run.photos["source"].to_numpy()
    if len(set(sources[learner.rows])) > 1:
        probe.fit(fitted_on[kept_fitted], sources[learner.rows][kept_fitted])
        right = probe.predict(tested_on[kept]) == sources[sample.rows][kept]
        found.append(judge.of_sources(right, sources[sample.rows], kept))
    return found


def _histograms(run: OpenedRun, sample: Sample) -> np.ndarray:
    """Square roots of the joint colour histogram (BINS ** 3) outside the lesion, which sums to 1 before the root."""
    table = np.zeros((len(sample.rows), BINS**3))
    for k, row in enumerate(sample.rows):
        seen = run.pixels[row][~sample.lesions[k]] // (256 // BINS)
        codes = seen.astype(int) @ (BINS**2, BINS, 1)
        table[k] = np.bincount(codes, minlength=BINS**3) / max(1, len(codes))
    return np.sqrt(table)


@torch.no_grad()
def _backgrounds(run: OpenedRun, sample: Sample, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) of four corners of background, and the photos (N) bool that have them."""
    pieces = [corners(run.pixels[row], lesion) for row, lesion in zip(sample.rows, sample.lesions, strict=True)]
    kept = np.array([piece is not None for piece in pieces])
    size, features = run.pixels.shape[1], []
    usable = [piece for piece in pieces if piece is not None]
    for k in range(0, len(usable), batch_size):
        images = as_images(np.array(usable[k : k + batch_size]), run.device)
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        features.append(run.network.features(images).float().cpu().numpy())
    width = features[0].shape[1] if features else 0
    table = np.zeros((len(pieces), width), np.float32)
    if features:
        table[kept] = np.concatenate(features)
    return table, kept
