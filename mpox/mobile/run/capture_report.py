"""What a file answers to photos that are taken again: agreement, probabilities, accuracy by condition; a bound."""

from typing import Any

import numpy as np

from mpox.mobile.run.captures import AS_IT_IS, BY_CONTRACT, NAMES, TAKEN
from mpox.stats.decision import DecisionRule
from mpox.stats.pooled import balanced_accuracy, weighted_confusion


def capture_report(
    file_KNC: np.ndarray, network_KNC: np.ndarray, targets_N: np.ndarray, rule: DecisionRule, *, held_out: bool
) -> dict[str, Any]:
    """Compare the logits of a file, and of its network, on photos under each condition of `captures.NAMES`.

    file_KNC, network_KNC: conditions x photos x classes. The taken photo is held against the photo as it is; every
    other condition against the taken photo, of the same file. Returns `photos`, and one of `conditions` each: `name`,
    `contract`, `agreement` (0..1), `mean_delta_p` and `max_delta_p` (the class that differs most),
    `agreement_with_network` (both on the same picture), and `balanced_accuracy` (None unless `held_out`).
    """
    chances = np.stack([rule.probabilities(logits) for logits in file_KNC])
    answers, of_network = file_KNC.argmax(2), network_KNC.argmax(2)
    taken, before = NAMES.index(TAKEN), NAMES.index(AS_IT_IS)
    conditions = []
    for k, (name, contract) in enumerate(zip(NAMES, BY_CONTRACT, strict=True)):
        against = before if k in (taken, before) else taken
        moved = np.abs(chances[k] - chances[against]).max(1)
        own = np.ones((1, len(targets_N)))
        confusion = weighted_confusion(answers[k], targets_N, own, file_KNC.shape[2])
        conditions.append(
            {
                "name": name,
                "contract": contract,
                "agreement": float(np.mean(answers[k] == answers[against])),
                "mean_delta_p": float(moved.mean()),
                "max_delta_p": float(moved.max()),
                "agreement_with_network": float(np.mean(answers[k] == of_network[k])),
                "balanced_accuracy": float(balanced_accuracy(confusion)[0]) if held_out else None,
            }
        )
    return {"photos": len(targets_N), "conditions": conditions}


def worst_of(report: dict[str, Any]) -> dict[str, Any]:
    """Return the condition of the contract that keeps the fewest answers."""
    return min((one for one in report["conditions"] if one["contract"]), key=lambda one: one["agreement"])


def capture_reasons(report: dict[str, Any], bound: float | None) -> list[str]:
    """Return why a file misses `bound`, the least agreement under every condition of the contract; empty where not."""
    worst = worst_of(report)
    if bound is None or worst["agreement"] >= bound:
        return []
    return [
        f"of {report['photos']} photos taken again by a phone it keeps {worst['agreement']:.1%} of its answers "
        f"({worst['name']}), not {bound:.1%}: train with such changes (augment=), or lower bound.capture"
    ]
