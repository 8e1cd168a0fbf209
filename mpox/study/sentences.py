"""A comparison in sentences: each with its numbers, none claiming more than the tests do.

They are about the model in focus, the chosen one where one was chosen; it is compared with the first-ranked.
"""

import dataclasses
from collections.abc import Sequence

from mpox.stats.comparison import BEST, SAME, UNTESTED, WORSE, Comparison, Pair
from mpox.stats.metrics import METRICS
from mpox.stats.model_result import ModelResult, Score
from mpox.stats.printed import DASH, Bounded, bounds, number, p_value, percent
from mpox.study.cautions import cautions

# Of a longer list of models, so many are named; the tables name all.
NAMED = 4


def verdict(name: str, rank: int, pairs: Sequence[Pair], confidence: float) -> str:
    """Return BEST, SAME, WORSE or UNTESTED for a model, by the corrected p of its pair with the best."""
    if rank == 1:
        return BEST
    p = _with_best(name, pairs).p_holm
    if p is None:
        return UNTESTED
    return WORSE if p < 1 - confidence else SAME


def against_best(name: str, verdict: str, pairs: Sequence[Pair], metric: str, rope: float, confidence: float) -> str:
    """Return one sentence on a model's distance from the best."""
    if verdict == BEST:
        return f"The highest mean {METRICS[metric].title} of all."
    pair_ = _with_best(name, pairs)
    if verdict == UNTESTED:
        return f"Not tested against {pair_.first}: {_why_untested(pair_)}."
    assert pair_.p_second_better is not None
    assert pair_.p_hardly_worse is not None
    return (
        f"{verdict[0].upper()}{verdict[1:]} ({pair_.first}): mean difference {_apart(pair_, confidence)}, "
        f"{_p(pair_.p_holm)} after Holm's correction. The probability that it is less than {rope:g} worse is "
        f"{pair_.p_hardly_worse:.2f}."
    )


def pair(pair: Pair, metric: str, confidence: float) -> str:
    """Return the verdict on a pair in one sentence."""
    if pair.p_holm is None:
        return f"{pair.first} and {pair.second} are not tested: {_why_untested(pair)}."
    title = METRICS[metric].title
    if pair.p_holm < 1 - confidence:
        return f"{pair.first} has the higher {title}: by {_apart(pair, confidence)}."
    return f"{pair.first} and {pair.second} are not distinguishable on {title}: {_apart(pair, confidence)}."


def with_sentences(comparison: Comparison) -> Comparison:
    """Return the comparison with its headline, conclusion and cautions, which are about the model in focus."""
    return dataclasses.replace(
        comparison, headline=headline(comparison), conclusion=conclusion(comparison), cautions=cautions(comparison)
    )


def headline(comparison: Comparison) -> str:
    """Return which model the report is about and how good it is, and how far that can be trusted."""
    focus, best, metric = comparison.focus, comparison.best, comparison.metric
    n_models, title = len(comparison.models), METRICS[metric].title
    of = f"of {n_models} models" if n_models > 1 else "(the only model)"
    claim = f"{focus.name} has the highest mean {title} {of}:"
    if comparison.choice is not None and n_models > 1:
        first = " and ranks first" if focus.name == best.name else ""
        claim = f"{focus.name} is chosen from {n_models} models{first}. Its mean {title} is"
    text = (
        f"{claim} {score_text(focus.scores[metric], comparison)} on {comparison.data.n_photos} photos that its "
        "networks were not trained on."
    )
    if comparison.positive and (sensitivity := focus.scores["sensitivity"]).pooled is not None:
        specificity = focus.scores["specificity"]
        text += (
            f" It recognises {_share(sensitivity)} of the photos of {comparison.positive} and wrongly calls "
            f"{_share(specificity, complement=True)} of the others so, at the most probable class."
        )
    if comparison.choice is not None and (corrected := comparison.choice.corrected) is not None:
        around = bounds(corrected)
        text += (
            f" Allowing for the choice, its {METRICS[corrected.metric].title} is {number(corrected.estimate)} "
            f"({'interval not defined' if around == DASH else around})."
        )
    if focus.name != best.name:
        text += f" The highest mean is that of {best.name}: {number(best.scores[metric].mean)}."
    return text


def conclusion(comparison: Comparison) -> tuple[str, ...]:
    """Return what follows from the comparison, a sentence or two each."""
    sentences = [headline(comparison)]
    focus, best, others = comparison.focus, comparison.best.name, comparison.models[1:]
    level = percent(comparison.confidence, 0)
    for outcome, text in (
        (SAME, f"cannot be told apart from {best} on these folds"),
        (WORSE, f"{'are' if sum(m.verdict == WORSE for m in others) > 1 else 'is'} worse than {best}"),
        (UNTESTED, f"could not be tested against {best}"),
    ):
        if names := [model.name for model in others if model.verdict == outcome]:
            how = f" (corrected resampled t-test over {len(comparison.folds)} folds, Holm, {level})"
            if outcome == UNTESTED:
                why = dict.fromkeys(_why_untested(_with_best(name, comparison.pairs)) for name in names)
                how = f": {'; '.join(why)}"
            sentences.append(f"{_listed(names)} {text}{how}.")
    if same := [model for model in others if model.verdict == SAME]:
        close = [model.name for model in same if _equivalence(comparison, model) >= comparison.confidence]
        sentences.append(
            "Not distinguishable does not mean equal: "
            + (
                f"only {_listed(close)} {'are' if len(close) > 1 else 'is'} with {level} probability less than "
                f"{comparison.rope:g} worse."
                if close
                else f"none of them is with {level} probability less than {comparison.rope:g} worse."
            )
        )
    point = focus.operating_point
    if point and point.sensitivity.value is not None and point.specificity.value is not None:
        figures = [
            f"{percent(side.value)} {name} ({percent(side.low)} to {percent(side.high)})"
            for name, side in (("sensitivity", point.sensitivity), ("specificity", point.specificity))
        ]
        sentences.append(
            f"At thresholds fitted for {percent(point.target_sensitivity, 0)} sensitivity on the other folds' photos, "
            f"{focus.name} reaches {' and '.join(figures)}."
        )
    for name in dict.fromkeys(external.name for external in comparison.external):
        for one in (found for found in comparison.external if found.name == name and found.model == focus.name):
            score = {score.metric: score for score in one.scores}.get(comparison.metric)
            if score and score.change.value is not None:
                title, change = METRICS[comparison.metric].title, score.change
                sentences.append(
                    f"On {one.n} photos of {name}, which {focus.name} never saw, its {title} is "
                    f"{number(score.external.value)}, {number(change.value, signed=True)} against its own test folds "
                    f"({_range(change, signed=True)})."
                )
    sentences.append("Research software: these figures describe photos of this collection and are not a diagnosis.")
    return tuple(sentences)


def score_text(score: Score, comparison: Comparison) -> str:
    """Return mean ± sd over folds and the pooled figure with its interval."""
    parts = []
    if score.mean is not None:
        spread = f" ± {score.sd:.3f}" if score.sd is not None else ""
        folds = f"over {len(comparison.folds)} folds" if len(comparison.folds) > 1 else "on one fold"
        parts.append(f"{number(score.mean)}{spread} {folds}")
    if score.pooled is not None:
        parts.append(f"pooled {number(score.pooled)} ({percent(comparison.confidence, 0)} interval {_range(score)})")
    return ", ".join(parts) or "not defined"


def _with_best(name: str, pairs: Sequence[Pair]) -> Pair:
    """Pairs are in rank order, so that the first with this name second is the pair with the best."""
    return next(pair for pair in pairs if pair.second == name)


def _why_untested(pair: Pair) -> str:
    if pair.difference.value is None:
        return "that takes two folds or more"
    return (
        f"every fold differs by the same {number(pair.difference.value, signed=True)}, which leaves nothing to test by"
    )


def _equivalence(comparison: Comparison, model: ModelResult) -> float:
    """The probability that `model` is less than the rope worse than the best."""
    found = _with_best(model.name, comparison.pairs)
    return found.p_hardly_worse or 0.0


def _apart(pair: Pair, confidence: float) -> str:
    difference = pair.difference
    return (
        f"{number(difference.value, signed=True)} ({percent(confidence, 0)} interval {_range(difference, signed=True)})"
    )


def _p(value: float | None) -> str:
    """`p = 0.183`, or `p < 0.001`."""
    written = p_value(value)
    return f"p {written}" if written.startswith("<") else f"p = {written}"


def _range(figure: Bounded, *, signed: bool = False) -> str:
    around = bounds(figure, signed=signed)
    return "not defined" if around == DASH else around


def _share(score: Score, *, complement: bool = False) -> str:
    """A proportion in percent with its interval, or 1 minus it."""
    assert score.pooled is not None
    values = [score.pooled, score.low, score.high]
    if complement:
        values = [None if value is None else 1 - value for value in (score.pooled, score.high, score.low)]
    middle, low, high = values
    around = "" if low is None or high is None else f" ({percent(low)} to {percent(high)})"
    return f"{percent(middle)}{around}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > NAMED + 1:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
