"""What a comparison found, as plain values: the one thing that tables, the page, the card and W&B are made from.

Nothing here computes. `mpox.study.comparing.compare` fills it; the reports read it. None means "not defined" (a
class without photos, one fold only) and is shown as a dash, never as a zero. Figures are fractions, 0 to 1, unless a
field says otherwise. "Pooled" means out of fold: every photo is scored once, by the network that did not train on it.
The results of one model are in `mpox.stats.model_result`.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from mpox.stats.decision import DecisionRule
from mpox.stats.intervals import Interval
from mpox.stats.model_result import ModelResult
from mpox.stats.selection import Corrected

# The outcomes of a model's comparison with the best; the column `versus_best`.
BEST, SAME, WORSE, UNTESTED = "best", "not distinguishable from the best", "worse than the best", "not tested"


@dataclass(frozen=True)
class JobState:
    """One job of a study: a model on a fold.

    `state`: done, missing, running, failed, other splits, not finite, ...; `note`: details.
    `used`: its figures are part of the comparison.
    """

    model: str
    fold: int
    state: str
    note: str
    used: bool


@dataclass(frozen=True)
class DataSummary:
    """The photos: the flow from the manifest to what is scored.

    n_manifest rows; n_left_out of them with keep=false, `left_out` counts by reason; n_photos scored (those of the
    folds compared) in n_groups groups and n_subjects known subjects (0: none known); `per_class`, `per_source`:
    photos scored by task class and collection; `per_fold`: photos scored a fold, in the order of Comparison.folds;
    `train_size`: mean photos a network trained on.
    """

    n_manifest: int
    n_left_out: int
    left_out: dict[str, int]
    n_photos: int
    n_groups: int
    n_subjects: int
    per_class: dict[str, int]
    per_source: dict[str, int]
    per_fold: tuple[int, ...]
    train_size: float


@dataclass(frozen=True)
class Pair:
    """Two models, `first` ranked above `second`, on `Comparison.metric` unless a field says otherwise.

    difference: mean over folds of first minus second, its interval by the corrected resampled t; t, p: two-sided
    (Nadeau & Bengio 2003); p_holm: corrected over all pairs. Bayesian correlated t (Benavoli et al. 2017):
    probabilities that first is better, that both are the same within `Comparison.rope`, that second is better. All of
    them are None with fewer than two folds, and where every fold differs by the same: then it is unknown how much folds
    vary.
    McNemar on pooled predictions: photos only the first (second) got right, exact p, Holm over all pairs.
    pooled_difference: of pooled figures, paired bootstrap over groups. `words`: the verdict. With one fold only the
    pooled figures are defined.
    """

    first: str
    second: str
    difference: Interval
    t: float | None
    p: float | None
    p_holm: float | None
    p_first_better: float | None
    p_same: float | None
    p_second_better: float | None
    only_first_right: int
    only_second_right: int
    mcnemar_p: float
    mcnemar_p_holm: float
    pooled_difference: Interval
    words: str

    @property
    def p_hardly_worse(self) -> float | None:
        """Probability that the second is less than the rope worse than the first; None where nothing tests it."""
        return None if self.p_same is None or self.p_second_better is None else self.p_same + self.p_second_better


@dataclass(frozen=True)
class ExternalScore:
    """One metric internal (pooled out of fold) and external (mean over the folds' networks), and their difference."""

    metric: str
    internal: Interval
    external: Interval
    change: Interval


@dataclass(frozen=True)
class External:
    """One model on a collection that its study never saw, as scored by `mpox.evaluate`.

    n photos scored; `left_out`: those not scored, counts by reason (duplicates of training photos, classes mapped to
    nothing); `classes`: those scored there; `absent`: those of them without a photo there: `scores` then has
    no metric that is a mean over the classes; `positive`: mpox among them; `at_threshold`: sensitivity and specificity
    there, mean of the folds' networks, by the decision rule of the study's held-out photos; `confusion`: true by
    answered class of the folds' networks together (mean probability).
    """

    name: str
    model: str
    n: int
    left_out: dict[str, int]
    classes: tuple[str, ...]
    absent: tuple[str, ...]
    positive: str | None
    scores: tuple[ExternalScore, ...]
    at_threshold: tuple[Interval, Interval] | None
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class DatasetComparison:
    """Models over several data sets (Demšar 2006); made only where `others` names at least four more studies.

    Friedman's p; mean ranks (1 is best) by model; Nemenyi's critical difference of mean ranks; p of each pair.
    """

    studies: tuple[str, ...]
    friedman_p: float
    mean_ranks: dict[str, float]
    critical_difference: float
    pairs: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Candidate:
    """A model that qualified, and the probability that it is less than the rope worse than the best (the best: 1)."""

    model: str
    probability: float


@dataclass(frozen=True)
class Choice:
    """The model `select=best` chose.

    fold: "all", the network fitted on every photo. run: its run directory below the study. rule, why: in words.
    decision: its rule from logits to a finding. corrected: the model's figure, allowing
    for the choice. commands: what to type next: the training of that network, and its export.
    """

    model: str
    fold: str
    run: str
    rule: str
    why: str
    candidates: tuple[Candidate, ...]
    decision: DecisionRule
    corrected: Corrected | None
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The whole result of one study. `models` is in rank order, `pairs` holds every pair.

    metric: what ranks (balanced_accuracy); rope: the difference in it that does not matter; folds: those every model
    is scored on; headline and conclusion: sentences with numbers; warnings: about the runs and photos compared;
    cautions: requirements that the model in focus does not meet; datasets_note: why there is (not) a critical
    difference diagram; config: what all runs share; versions: packages and device of the runs.
    """

    study: str
    created: str
    classes: tuple[str, ...]
    positive: str | None
    metric: str
    confidence: float
    rope: float
    resamples: int
    folds: tuple[int, ...]
    n_folds: int
    splits_sha256: str
    completeness: tuple[JobState, ...]
    data: DataSummary
    models: tuple[ModelResult, ...]
    pairs: tuple[Pair, ...]
    external: tuple[External, ...]
    datasets: DatasetComparison | None
    datasets_note: str
    choice: Choice | None
    headline: str
    conclusion: tuple[str, ...]
    warnings: tuple[str, ...]
    cautions: tuple[str, ...]
    config: dict[str, Any]
    versions: dict[str, str | None]

    @property
    def best(self) -> ModelResult:
        """The model of rank 1."""
        return self.models[0]

    @property
    def focus(self) -> ModelResult:
        """The model that every report is about: the chosen one, or else the one of rank 1."""
        return self.best if self.choice is None else self.model(self.choice.model)

    def model(self, name: str) -> ModelResult:
        """Return the model of this name. Raises KeyError."""
        return {model.name: model for model in self.models}[name]

    def plain(self) -> dict[str, Any]:
        """Return the tree as dictionaries, lists and plain values, for JSON."""
        return dataclasses.asdict(self)
