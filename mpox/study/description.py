"""Everything a comparison reports of one model, except its tests against the others."""

from collections.abc import Mapping, Sequence

import numpy as np

from mpox.stats import breakdown, conformal, operating_point
from mpox.stats.calibration import calibration
from mpox.stats.comparison import Pair
from mpox.stats.decision import DecisionRule, called_positive, prediction_sets
from mpox.stats.metrics import defined_metrics
from mpox.stats.model_result import Costs, DecisionCurve, ModelResult, OperatingPoint
from mpox.stats.pooled import softmax, weighted_confusion
from mpox.study import sentences
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rule_of_all, rule_without
from mpox.study.results import StudyResults
from mpox.study.scored import Scored, score


def describe(
    one: Scored,
    rank: int,
    results: StudyResults,
    options: ComparisonOptions,
    *,
    pairs: Sequence[Pair],
    subgroups: Mapping[str, np.ndarray],
    costs: Costs,
) -> ModelResult:
    """Describe the model of a rank. `subgroups` are the photos' values by column."""
    runs, targets, codes, positive = one.runs, results.targets, results.codes, results.positive
    confidence, n_classes = options.confidence, len(results.classes)
    rules = [rule_without(fold, runs, results, options) for fold in range(len(results.folds))]
    scaled = softmax(runs.logits, np.array([rule.temperature for rule in rules])[results.fold_index, None])
    probabilities, answers = softmax(runs.logits), runs.logits.argmax(1)
    counts = weighted_confusion(answers, targets, np.ones((1, len(targets)), "float32"), n_classes)[0]
    aurocs = [float(one.figures[f"auroc/{k}"][0]) for k in range(n_classes)]
    sets = prediction_sets(scaled, np.array([rule.quantiles for rule in rules])[results.fold_index])
    point, curve = _mpox_or_not(results, scaled, rules, options)
    verdict = sentences.verdict(runs.name, rank, pairs, confidence)
    return ModelResult(
        name=runs.name,
        timm_name=str(runs.config["model"]["timm_name"]),
        rank=rank,
        verdict=verdict,
        words=sentences.against_best(runs.name, verdict, pairs, options.metric, options.rope, confidence),
        scores={name: score(one, metric, results, confidence) for name, metric in defined_metrics(positive).items()},
        per_class=breakdown.class_scores(answers, probabilities, targets, codes, results.classes, aurocs, confidence),
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
        curves=tuple(
            breakdown.curve(
                label, probabilities[:, k], targets == k, aurocs[k], float(one.figures[f"average_precision/{k}"][0])
            )
            for k, label in enumerate(results.classes)
            if np.isfinite(aurocs[k])
        ),
        calibration=calibration(
            runs.logits, scaled, targets, codes, [rule.temperature for rule in rules], positive, confidence
        ),
        decision=rule_of_all(runs, results, options),
        operating_point=point,
        decision_curve=curve,
        conformal=conformal.describe_sets(
            sets, targets, codes, results.classes, target=options.coverage, confidence=confidence
        ),
        referral=conformal.referral_curve(scaled, targets, positive),
        subgroups=breakdown.subgroups(
            answers, targets, codes, subgroups, positive, confidence, _called(results, scaled, rules)
        ),
        costs=costs,
        mistakes=breakdown.mistakes(results.photos, scaled, targets, results.classes, options.mistakes),
        mistakes_total=int((answers != targets).sum()),
        config=runs.config,
    )


def _called(results: StudyResults, scaled: np.ndarray, rules: Sequence[DecisionRule]) -> np.ndarray | None:
    """Return which photos (bool, N) are called mpox by the rule of their fold; None where there is no such rule."""
    thresholds = [rule.threshold for rule in rules]
    if results.positive is None or None in thresholds:
        return None
    return called_positive(scaled, results.positive, np.array(thresholds, float)[results.fold_index])


def _mpox_or_not(
    results: StudyResults, scaled: np.ndarray, rules: Sequence[DecisionRule], options: ComparisonOptions
) -> tuple[OperatingPoint | None, DecisionCurve | None]:
    """Return the results of mpox against the rest; None where the photos do not have both."""
    positive = results.positive
    if positive is None or not 0 < (is_mpox := results.targets == positive).sum() < len(is_mpox):
        return None, None
    point = operating_point.operating_point(
        scaled,
        results.targets,
        positive,
        results.codes,
        results.fold_index,
        [rule.threshold for rule in rules],
        target_sensitivity=options.target_sensitivity,
        prevalences=options.prevalences,
        confidence=options.confidence,
        seed=options.seed,
    )
    return point, operating_point.decision_curve(scaled[:, positive], is_mpox)
