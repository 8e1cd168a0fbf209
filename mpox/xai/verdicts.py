"""Audit tests judged: balanced accuracy, the share of the model's advantage that is kept, a level, and plain words."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mpox.stats import printed
from mpox.stats.intervals import CONFIDENCE, Interval, group_codes, mean_proportion, ratio

# Keeping more than this share of its advantage over guessing (by the lower bound) without the lesion is a shortcut.
SHORTCUT = 0.5
# Tests of parts of a photo, or of photos alone, in which lesions are seen unless masks keep them out.
SEES_LESIONS = ("only the border", "colours", "background")
UNDECIDED = "without lesion masks this may be the lesions: masks, or photos from another source, would decide"
Report = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Photos under audit: rows of the run, true classes, groups and the region that stands for the lesion."""

    rows: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    lesions: np.ndarray


class Judge:
    """Turns the answers to one test into balanced accuracy, kept advantage, level and words."""

    def __init__(self, sample: Sample, intact: np.ndarray) -> None:
        self.sample, self.answers, self.hits = sample, intact, intact == sample.targets
        self.codes = group_codes(sample.groups)
        self.chance = _chance(sample.targets)
        self.intact = self._accuracy(self.hits, np.ones(len(self.hits), bool), sample.targets)

    def of(self, name: str, answers: np.ndarray, masked: bool, kept: np.ndarray | None = None) -> Report:
        """Judge the answers (N) to one test, or of the photos `kept` (N) bool of it."""
        kept = np.ones(len(self.hits), bool) if kept is None else kept
        hits = np.zeros(len(kept), bool)
        hits[kept] = answers == self.sample.targets[kept]
        accuracy, whole = (self._accuracy(some, kept, self.sample.targets) for some in (hits, self.hits))
        chance = _chance(self.sample.targets[kept])
        retained = ratio(_above(accuracy, chance), _above(whole, chance))
        above = "hint" if accuracy.low is not None and accuracy.low > chance else "clear"
        level = "shortcut" if retained.low is not None and retained.low > SHORTCUT else above
        level, words = _words(name, level, retained, masked)
        return {
            "name": name,
            "photos": int(kept.sum()),
            "balanced_accuracy": asdict(accuracy),
            "retained": asdict(retained),
            "level": level,
            "verdict": words,
        }

    def of_swap(self, part: str, follows: np.ndarray, stays: np.ndarray, region: np.ndarray) -> Report:
        """Judge whether answers follow a part taken from another photo, or what is left of a photo's own.

        follows, stays: the share of its donors (N, 0..1) with which a photo is answered as the donor was, or as before;
        NaN without a donor. They are averaged over the answers given before, since a model that answers all such
        pictures alike would else follow or stay. region (S, S) bool is the part.
        """
        kept = np.isfinite(follows)
        lean, follow, stay = (
            self._accuracy(shares, kept, self.answers) for shares in ((1 + follows - stays) / 2, follows, stays)
        )
        usual = max(float(region.mean()), 1 / len(set(self.answers)))
        if lean.low is not None and lean.low > 1 / 2:
            level, end = "shortcut", "more often than with all the rest: do not trust it"
        elif follow.low is not None and follow.low > usual:
            level, end = "hint", f"more than the size of the {part} explains"
        else:
            level, end = "clear", "what is left decides"
        rates = ("an unknown share" if one.value is None else f"{one.value:.0%}" for one in (follow, stay))
        words = (
            "With the {} of a photo answered differently, the answer changes to that photo's in {} and stays in {}: {}."
        )
        return {
            "name": f"another photo's {part}",
            "photos": int(kept.sum()),
            "balanced_accuracy": None,
            "retained": None,
            "follows": asdict(follow),
            "stays": asdict(stay),
            "level": level,
            "verdict": words.format(part, *rates, end),
        }

    def of_sources(self, right: np.ndarray, sources: np.ndarray, kept: np.ndarray) -> Report:
        """Judge how well the background names the collection a photo comes from."""
        hits = np.zeros(len(kept), bool)
        hits[kept] = right
        accuracy = self._accuracy(hits, kept, sources)
        known = accuracy.low is not None and accuracy.low > 1 / len(set(sources))
        words = (
            "The background says which collection a photo is from: where classes come from different collections, a "
            "model can answer by that."
            if known
            else "The background does not say which collection a photo is from."
        )
        return {
            "name": "background names the source",
            "photos": int(kept.sum()),
            "balanced_accuracy": asdict(accuracy),
            "retained": None,
            "level": "hint" if known else "clear",
            "verdict": words,
        }

    def _accuracy(self, hits: np.ndarray, kept: np.ndarray, labels: np.ndarray) -> Interval:
        """Balanced accuracy over the photos `kept`."""
        return mean_proportion(hits[kept], labels[kept], self.codes[kept], CONFIDENCE)


def _above(accuracy: Interval, chance: float) -> Interval:
    """The advantage over guessing."""
    value, low, high = (None if x is None else x - chance for x in (accuracy.value, accuracy.low, accuracy.high))
    return Interval(value, low, high, accuracy.n)


def _chance(targets: np.ndarray) -> float:
    """Balanced accuracy of guessing: over the classes that are there, as the accuracy is."""
    return 1 / len(set(targets))


def _words(name: str, level: str, retained: Interval, masked: bool) -> tuple[str, str]:
    """Level and verdict of a test; some tests cannot say more than a hint, and one asks the opposite question."""
    share = "an unknown share" if retained.value is None else f"{max(0.0, retained.value):.0%}"
    kept = f"{share} of the model's advantage over guessing"
    # What the brightest part of a map is worth says nothing of shortcuts: a map may be coarse, a lesion not alone.
    if name == "salient region hidden":
        end = ": the map does not show all that it uses" if level == "shortcut" else ""
        return "clear", f"Without what its map points at it keeps {kept}{end}."
    if name == "only the salient region" and level == "clear":
        return "clear", "The salient region alone does not lead the model above guessing: the map does not show enough."
    if name.startswith("only the ") and name != "only the border":
        what = name.removeprefix("only the ")
        if level == "clear":
            return "hint", f"The {what} alone does not lead the model above guessing: it needs what is around it."
        return "clear", f"Seeing the {what} alone keeps {kept}."
    doubtful = not masked and name.startswith(SEES_LESIONS)
    subject = {
        "lesion hidden": "without the lesion",
        "only the border": "seeing only the border",
        "blurred": "on photos too blurred to show any lesion",
    }.get(name)
    if subject is not None:
        words = {
            "shortcut": f"This model does nearly as well {subject}, keeping {kept}: "
            f"{UNDECIDED if doubtful else 'do not trust it'}.",
            "hint": f"The model, {subject}, still beats guessing, keeping {kept}: "
            f"{'lesions may be seen in it' if doubtful else 'something else helps it'}.",
            "clear": f"The model is not shown to be better than guessing {subject}, as it should be.",
        }
    else:
        subject = "The background alone" if name == "background embedding" else f"A histogram of the {name}"
        need = "a model trained on these photos need not look at the lesion"
        words = {
            "shortcut": f"{subject} gives the class away, to {kept}: {UNDECIDED if doubtful else need}.",
            "hint": f"{subject} says something about the class, {kept}"
            f"{': lesions may be seen in it' if doubtful else ''}.",
            "clear": f"{subject} is not shown to tell the classes apart.",
        }
    # Lesions are in these, so that they accuse nobody; below what a shortcut keeps, they do not even point to one.
    return {"shortcut": "hint", "hint": "clear"}.get(level, level) if doubtful else level, words[level]


def as_markdown(report: Report) -> str:
    """Write an `audit` report to be read."""
    intact = printed.interval(Interval.read(report["intact"]))
    lines = [
        f"# Shortcut audit: {report['run']}",
        "",
        "Research software. Not a medical device, not a diagnosis.",
        "",
        f"**{report['verdict']}**",
        "",
        *((f"**{report['caution']}**", "") if "caution" in report else ()),
        f"{report['photos']} photos of {report['groups']} groups; lesions: {report['lesions']}; balanced accuracy on "
        f"intact photos {intact}, guessing {report['chance']:.3f}. 95 % intervals over groups.",
        "",
        "| test | balanced accuracy | advantage kept | | verdict |",
        "|---|---|---|---|---|",
    ]
    for test in report["tests"]:
        accuracy, retained = (
            printed.DASH if test[name] is None else printed.interval(Interval.read(test[name]))
            for name in ("balanced_accuracy", "retained")
        )
        lines.append(f"| {test['name']} | {accuracy} | {retained} | {test['level']} | {test['verdict']} |")
    return "\n".join([*lines, ""])
