"""The network to export, with the photos that recipes and verification use; and the request for an export."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpox.errors import UserError
from mpox.files import read_record
from mpox.mobile.export.captured import Captured, capture
from mpox.mobile.file.contract import RUNNABLE
from mpox.mobile.file.input_tensor import FORMS, PIXELS, PLANES
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.int8.recipes import AUTO, RECIPES, RecipePhotos
from mpox.mobile.run.verify import DEFAULT_BOUND, Bound, verify
from mpox.model.class_maps import why_no_maps
from mpox.places import folder_name
from mpox.runs.opened import OpenedRun
from mpox.stats.decision import DecisionRule
from mpox.stats.decision_fit import fit_decision
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rule_of_run

log = logging.getLogger("mpox")
# Photos of a final network that stand in for validation photos, by which nothing but a recipe is tried.
OTHERS = 100


@dataclass(frozen=True)
class Request:
    """The request for an export; conf/export.yaml explains each entry.

    `rule` is the one that was chosen with the model (None: fitted again, for `target_sensitivity` and `coverage`).
    `recipe` is a name or `auto`; `name` None makes one of study, model, fold and recipe. Raises UserError for values
    that are not valid.
    """

    exports_dir: Path
    recipe: str = "auto"
    backend: str = RUNNABLE
    input: str = PLANES
    name: str | None = None
    overwrite: bool = False
    bound: Bound = DEFAULT_BOUND
    rule: DecisionRule | None = None
    target_sensitivity: float | None = None
    coverage: float | None = None
    calibration_photos: int = 64
    tune_steps: int = 60
    tune_rate: float = 2e-5
    tune_batch: int = 16
    timing_rounds: int = 5
    capture_photos: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name is not None:
            folder_name("name", self.name)
        if self.backend not in AUTO:
            raise UserError(f"backend={self.backend} is unknown: choose {', '.join(AUTO)}")
        if self.input not in FORMS:
            raise UserError(f"input={self.input} is unknown: choose {' or '.join(FORMS)}")
        if (self.input, self.backend) == (PIXELS, "coreml"):
            raise UserError(f"backend=coreml takes no bytes: leave input={PLANES}")
        if self.recipe not in (*RECIPES, "auto"):
            raise UserError(f"recipe={self.recipe} is unknown: choose auto, {', '.join(RECIPES)}")
        if self.bound.capture is not None and not self.capture_photos:
            raise UserError("bound.capture needs photos that are taken again: give capture.photos=32")
        if self.calibration_photos < 2:
            raise UserError(
                f"calibration.photos={self.calibration_photos} is too few to choose a range: give 16 or more"
            )

    @property
    def options(self) -> ComparisonOptions:
        """What a rule that is fitted here is to promise."""
        usual = ComparisonOptions()
        return ComparisonOptions(
            target_sensitivity=self.target_sensitivity or usual.target_sensitivity,
            coverage=self.coverage or usual.coverage,
        )

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        """The recipes to try: of the first round with a file that keeps the bound, the smallest is taken."""
        return AUTO[self.backend] if self.recipe == "auto" else ((self.recipe,),)


@dataclass(frozen=True)
class Original:
    """The network to export, its photos by role, and its float32 logits in PyTorch.

    Calibration and validation photos decide whether a file is kept, test photos are for the report alone.
    """

    run: OpenedRun
    network: PhoneNetwork
    no_maps: str | None
    positive: int | None
    photos: RecipePhotos
    deciding_rows: np.ndarray
    deciding_logits: np.ndarray
    test_rows: np.ndarray
    test_logits: np.ndarray
    rule: DecisionRule
    captured: Callable[[], Captured]

    @functools.cached_property
    def self_agreement(self) -> float:
        """Share (0..1) of deciding photos whose predicted class stays when pixels move by up to half a level of 255.

        Rounding to 8-bit pixels makes changes of that size. Where a network does not agree with itself, no 8-bit file
        agrees with it, however it is quantized: random or hardly trained networks are like this.
        """
        images = self.run.images(self.deciding_rows)
        noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) - 0.5
        return float(np.mean(torch_logits(self.network, images + noise).argmax(1) == self.deciding_logits.argmax(1)))

    def verify(self, logits_of: Callable[[np.ndarray], np.ndarray], request: Request) -> dict[str, Any]:
        """Compare a file, which makes logits (N, C) of pixels (N, S, S, 3) uint8, with the network.

        Returns `kept` and `reasons` by the photos that decide, their figures as `decided_on`; the report of `verify` on
        the test photos as `verification`, whose own verdict decides nothing; and a `note` where it is not good, or
        unsure.
        """
        deciding = self._compared(self.deciding_rows, self.deciding_logits, logits_of, request)
        test = self._compared(self.test_rows, self.test_logits, logits_of, request)
        missed = f"on the {test['photos']} test photos, which decide nothing, {'; '.join(test['reasons'])}"
        named = ("photos", "groups", "agreement", "balanced_accuracy_lost")
        return {
            "kept": deciding["kept"],
            "reasons": deciding["reasons"],
            "note": test["note"] if test["kept"] else missed,
            "decided_on": {"roles": ["calibration", "val"], **{name: deciding[name] for name in named}},
            "verification": test | self.cross_validated,
            **self._taken_again(deciding["reasons"], logits_of, request),
        }

    def _taken_again(
        self, reasons: list[str], logits_of: Callable[[np.ndarray], np.ndarray], request: Request
    ) -> dict[str, Any]:
        """The report of `mpox.mobile.run.capture_report` as `captures`; a file that is refused already has none."""
        if not request.capture_photos or reasons:
            return {"captures": None}
        found, missed = self.captured().judge(logits_of, self.rule, request.bound.capture)
        return {"captures": found, "kept": not missed, "reasons": missed}

    def _compared(
        self, rows: np.ndarray, own_NC: np.ndarray, logits_of: Callable[[np.ndarray], np.ndarray], request: Request
    ) -> dict[str, Any]:
        return verify(
            own_NC,
            logits_of(self.run.pixels[rows]),
            rule=self.rule,
            targets_N=self.run.photos["target"].to_numpy()[rows],
            groups=self.run.photos["group"].to_numpy()[rows],
            classes=self.run.card.classes,
            positive=self.positive,
            bound=request.bound,
            seed=request.seed,
            held_out=not self.run.is_final,
        )

    @property
    def cross_validated(self) -> dict[str, Any]:
        """The figures of a final network's folds, by photos that they did not train on; empty for any other."""
        if not self.run.is_final:
            return {}
        found = read_record(self.run.path / "metrics.json", cross_validated=dict)["cross_validated"]
        return {"cross_validated": found}


def gather_original(run: OpenedRun, request: Request, *, pruned: bool = False) -> Original:
    """Gather what recipes and verification need. `pruned`: the network is no longer the one of the run directory.

    Raises UserError for a run without validation or test photos.
    """
    rows = {role: run.rows(role) for role in ("train", "val", "test")}
    if run.is_final and pruned:
        raise UserError("a pruned network is tuned and judged on held-out photos: give the run of a fold")
    for role in ("val", "test"):
        if not len(rows[role]):
            what = "to choose temperature and threshold by" if role == "val" else "to verify the file on"
            raise UserError(f"{run.path} has no held-out photos ({role}) {what}: export a run whose folds have them")
    no_maps = why_no_maps(run.network, run.images(rows["test"][:2]))
    network = PhoneNetwork(run.network, image_size=run.card.record.image_size, maps=no_maps is None)
    random = np.random.default_rng(request.seed)
    train = random.permutation(rows["train"])
    if request.calibration_photos > len(train):
        log.warning(
            "calibration.photos=%d: the fold trains on %d photos, all are used", request.calibration_photos, len(train)
        )
    calibration, val = train[: request.calibration_photos], train[-OTHERS:] if run.is_final else rows["val"]
    # In random order, since some steps use only the first of them.
    photos = RecipePhotos(run.images(calibration), run.images(val), _batches(run, train, request))
    deciding = np.unique(np.concatenate([calibration, val]))
    own, test = (torch_logits(network, run.images(some)) for some in (deciding, rows["test"]))
    rule = _rule_of_pruned(run, network, request) if pruned else _rule(run, request)
    taken = functools.cache(lambda: capture(run, network, request.capture_photos, request.seed))
    return Original(run, network, no_maps, run.card.positive, photos, deciding, own, rows["test"], test, rule, taken)


def _rule(run: OpenedRun, request: Request) -> DecisionRule:
    """The rule that was chosen with the model, or else the same, fitted on the held-out photos of its study."""
    if request.rule is not None:
        return request.rule
    return rule_of_run(run.path, request.options)


def _rule_of_pruned(run: OpenedRun, network: PhoneNetwork, request: Request) -> DecisionRule:
    """Pruning moves the logits, so that only validation photos, by the pruned network, say what they are worth."""
    photos = run.photos.iloc[run.rows("val")]
    return fit_decision(
        torch_logits(network, run.images(run.rows("val"))),
        photos["target"].to_numpy(),
        photos["group"].to_numpy(),
        run.card.positive,
        target_sensitivity=request.options.target_sensitivity,
        coverage=request.options.coverage,
        fitted_on=f"the {len(photos)} validation photos of fold {run.card.fold}, by the pruned network",
    )


def _batches(run: OpenedRun, train: np.ndarray, request: Request) -> Callable[[int], Tensor]:
    """Training photos for a fine-tune: batch k is drawn from (seed, k), half of it mirrored."""

    def batch(step: int) -> Tensor:
        random = np.random.default_rng([request.seed, step])
        size = min(request.tune_batch, len(train))
        images = run.images(random.choice(train, size, replace=False))
        mirrored = torch.from_numpy(random.random(size) < 0.5)
        return torch.where(mirrored[:, None, None, None], images.flip(3), images)

    return batch


@torch.no_grad()
def torch_logits(network: PhoneNetwork, images: Tensor) -> np.ndarray:
    """Return logits_NC (float32) of photos one at a time, as a phone runs them."""
    return torch.cat([network(one)[0] for one in images.split(1)]).float().numpy()
