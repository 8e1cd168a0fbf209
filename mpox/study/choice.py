"""Choosing a model by a stated rule: the cheapest of those that are shown to be as good as the best."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mpox.data.folds import ALL
from mpox.errors import UserError
from mpox.stats.comparison import Candidate, Choice, Comparison, Pair
from mpox.stats.metrics import METRICS
from mpox.stats.model_result import ModelResult
from mpox.stats.paired_tests import corrected_errors
from mpox.stats.printed import number, percent
from mpox.stats.selection import Corrected, corrected_for_choice
from mpox.study.final_network import final_command
from mpox.study.results import StudyResults
from mpox.study.sentences import with_sentences

BYTES_PER_PARAMETER = 4
# Means that differ by less are equal: the rest is rounding.
TIE = 1e-9
COSTS: dict[str, tuple[str, Callable[[ModelResult], float | None]]] = {
    "parameters": ("fewest parameters", lambda model: model.costs.parameters),
    "size": ("smallest file", lambda model: size_mb(model)),
    "latency": ("lowest latency of its export", lambda model: model.costs.export_latency_ms),
    "instructions": ("fewest Arm64 instructions of its export", lambda model: model.costs.export_instructions),
}


@dataclass(frozen=True)
class Rule:
    """Which models qualify, and which of them is taken.

    A candidate is less than `rope` worse than the best with a probability of `confidence` or more, by the Bayesian
    correlated t-test over folds (Benavoli et al. 2017). The cheapest is taken: `by` is a key of COSTS; ties: the higher
    rank. Budgets leave candidates out. Raises UserError for values that make no sense.
    """

    confidence: float = 0.9
    by: str = "parameters"
    max_size_mb: float | None = None
    max_latency_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise UserError(f"select.confidence={self.confidence} must be between 0 and 1, such as 0.9")
        if self.by not in COSTS:
            raise UserError(f"select.by={self.by} is unknown: choose {', '.join(COSTS)}")

    def cost(self, model: ModelResult) -> float:
        """Return the cost that the choice minimises; infinite where it is not known."""
        found = COSTS[self.by][1](model)
        return float("inf") if found is None else float(found)

    def fits(self, model: ModelResult) -> bool:
        """Return whether a model is within the budgets."""
        latency = model.costs.export_latency_ms
        small = self.max_size_mb is None or size_mb(model) <= self.max_size_mb
        return small and (self.max_latency_ms is None or (latency is not None and latency <= self.max_latency_ms))


def choose(comparison: Comparison, results: StudyResults, rule: Rule) -> Comparison:
    """Return the comparison with its `choice` made, and the choice added to its conclusion.

    A size budget is compared with the exported file, else with 4 bytes a parameter, a latency with what the
    export measured. Raises UserError where no model is left, or no candidate's export has the figure.
    """
    candidates = _candidates(comparison, rule.confidence)
    qualified = [comparison.model(one.model) for one in candidates]
    if rule.by == "instructions" and not any(model.costs.export_instructions for model in qualified):
        raise UserError(
            f"select.by=instructions cannot be applied: no model of {comparison.study} that qualifies has an export "
            "checked on Arm64; check them first (python -m mpox.mobile.arm), or leave it out"
        )
    if (rule.max_latency_ms is not None or rule.by == "latency") and not any(
        model.costs.export_latency_ms for model in qualified
    ):
        asked = "select.by=latency" if rule.by == "latency" else f"max_latency_ms={rule.max_latency_ms}"
        raise UserError(
            f"{asked} cannot be applied: no model of {comparison.study} that qualifies has an export with a "
            "latency; export them first (python -m mpox.export), or leave it out"
        )
    fitting = [model for model in qualified if rule.fits(model)]
    if not fitting:
        tried = ", ".join(f"{model.name} {size_mb(model):.1f} MB" for model in qualified)
        raise UserError(
            f"no model that is as good as the best is within max_size_mb={rule.max_size_mb} and "
            f"max_latency_ms={rule.max_latency_ms} ({tried}): raise the budget, or compare smaller models too"
        )
    chosen = min(fitting, key=lambda model: (rule.cost(model), model.rank))
    corrected = _corrected(comparison, results, rule)
    folder = f"{chosen.name}/fold-{ALL}"
    choice = Choice(
        model=chosen.name,
        fold=ALL,
        run=folder,
        rule=_rule_in_words(comparison, rule),
        why=_why(comparison, rule, chosen, candidates, len(fitting)),
        candidates=candidates,
        decision=chosen.decision,
        corrected=corrected,
        commands=(
            final_command(comparison.study, chosen.name),
            "python -m mpox.export chosen=chosen.yaml",
        ),
    )
    made = with_sentences(dataclasses.replace(comparison, choice=choice))
    return dataclasses.replace(made, conclusion=(*made.conclusion[:-1], in_words(choice), made.conclusion[-1]))


def in_words(choice: Choice) -> str:
    """Return the choice by its rule, and how the figure in the headline allows for it."""
    text = f"Chosen: {choice.model}, {choice.rule}."
    if choice.corrected is not None:
        text += f" The figure that allows for the choice: {choice.corrected.method}."
    return text


def size_mb(model: ModelResult) -> float:
    """Return the exported file's size in MB where there is one, else 4 bytes a parameter."""
    if model.costs.export_size_mb is not None:
        return model.costs.export_size_mb
    return BYTES_PER_PARAMETER * (model.costs.parameters or 0) / 1e6


def _candidates(comparison: Comparison, confidence: float) -> tuple[Candidate, ...]:
    """The best, and every model that is shown to be less than the rope worse; in rank order.

    Several models may share the highest mean: each of them is the best.
    """
    means = {model.name: model.scores[comparison.metric].mean or 0.0 for model in comparison.models}
    probabilities = {name: float(mean > means[comparison.best.name] - TIE) for name, mean in means.items()}
    best = {name for name, probability in probabilities.items() if probability}
    for pair in comparison.pairs:
        if pair.first in best and pair.second not in best:
            probabilities[pair.second] = max(probabilities[pair.second], _as_good(pair))
    return tuple(Candidate(name, found) for name, found in probabilities.items() if found >= confidence)


def _as_good(pair: Pair) -> float:
    """The probability that the second of a pair is less than the rope worse than the first."""
    if pair.p_hardly_worse is not None:
        return pair.p_hardly_worse
    # Nothing to test by; but the same answers to every photo are as good.
    return float(pair.only_first_right == pair.only_second_right == 0)


def _corrected(comparison: Comparison, results: StudyResults, rule: Rule) -> Corrected | None:
    """The chosen model's figure, allowing for the choice: the rule is applied in each resample of the photos."""
    logits = {runs.name: runs.logits for runs in results.models}
    costs = np.array([rule.cost(model) if rule.fits(model) else np.inf for model in comparison.models])

    def choose_in(scores_MK: np.ndarray) -> int:
        return cheapest_candidate(scores_MK, costs, comparison.rope, rule.confidence, results.test_to_train)

    return corrected_for_choice(
        [logits[model.name] for model in comparison.models],
        results.targets,
        results.codes,
        results.fold_index,
        choose_in,
        metric=comparison.metric,
        positive=results.positive,
        confidence=comparison.confidence,
        seed=0,
    )


def cheapest_candidate(
    scores_MK: np.ndarray, costs_M: np.ndarray, rope: float, confidence: float, test_to_train: float
) -> int:
    """Return the number of the model that the rule takes, of scores by model and fold (NaN: not defined).

    Models come with the preferred first where costs are equal. Infinite costs are taken only where all are.
    """
    means = np.array([np.nanmean(row) if np.isfinite(row).any() else -np.inf for row in scores_MK])
    best = means > means.max() - TIE
    qualified = best.copy()
    for row in scores_MK[best]:
        mean, se, n = corrected_errors(row - scores_MK, test_to_train)
        tested = np.isfinite(se)
        probability = stats.t.cdf((rope - mean) / np.where(tested, se, 1.0), np.maximum(n - 1, 1))
        qualified |= np.where(tested, probability >= confidence, np.abs(mean) < TIE)
    order = sorted(np.flatnonzero(qualified), key=lambda m: (costs_M[m], -means[m], m))
    return int(order[0])


def _rule_in_words(comparison: Comparison, rule: Rule) -> str:
    budgets = (("MB", rule.max_size_mb), ("ms", rule.max_latency_ms))
    budget = [f"{name} {limit:g}" for name, limit in budgets if limit is not None]
    return (
        f"the model with the {COSTS[rule.by][0]} of those that are less than {comparison.rope:g} worse than the best "
        f"on {METRICS[comparison.metric].title} with a probability of {percent(rule.confidence, 0)} or more"
        + (f", within {' and '.join(budget)}" if budget else "")
    )


def _why(comparison: Comparison, rule: Rule, chosen: ModelResult, candidates: Sequence[Candidate], fitting: int) -> str:
    probability = next(one.probability for one in candidates if one.model == chosen.name)
    count = len(candidates)
    budget = rule.max_size_mb is not None or rule.max_latency_ms is not None
    text = (
        f"{count} of {len(comparison.models)} models {'qualify' if count > 1 else 'qualifies'}"
        + (f", {fitting} within the budget" if budget else "")
        + f"; {chosen.name} has {(chosen.costs.parameters or 0) / 1e6:.2f} million parameters"
    )
    if chosen.rank == 1:
        return f"{text} and the highest mean."
    return f"{text} and is less than {comparison.rope:g} worse with a probability of {number(probability, 2)}."
