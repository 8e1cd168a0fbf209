"""What the map, and the model's answer where the page gave it, did to answers given of the photo alone."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from mpox.stats.intervals import Interval, mean_interval
from mpox.stats.printed import interval
from mpox.xai.questions import FIRST, SECOND, Question


def changes(coded: Mapping[str, pd.DataFrame], question: Question, photos: pd.DataFrame | None) -> dict[str, Any]:
    """Compare each rater's second answer to a photo with the first; empty where a question was not asked twice.

    `coded` holds a table (photos x raters) of option numbers a reading, negative for no option: -1 where nothing was
    answered, less for "cannot tell". `photos` (label, group) may be None. Where the options are the classes, also how
    often the change led to the recorded class or away from it, and the change of the share of right answers ("cannot
    tell" is not right) with its interval over groups.
    """
    if FIRST not in coded or SECOND not in coded:
        return {}
    pairs = pd.DataFrame({reading: coded[reading].unstack() for reading in (FIRST, SECOND)})  # by rater and photo
    pairs = pairs[(pairs.fillna(-1) != -1).all(axis=1)]
    if pairs.empty:
        return {}
    first, second = (pairs[reading].to_numpy(int) for reading in (FIRST, SECOND))
    found: dict[str, Any] = {"text": question.text, "pairs": len(pairs), "changed": int(np.sum(first != second))}
    if photos is not None and set(photos["label"]) <= set(question.options):
        facts = photos.loc[pairs.index.get_level_values("photo_id")]
        recorded = facts["label"].map({option: k for k, option in enumerate(question.options)}).to_numpy(int)
        gain = (second == recorded).astype(float) - (first == recorded)
        found |= {"to_recorded": int((gain > 0).sum()), "from_recorded": int((gain < 0).sum())}
        found["gain"] = asdict(mean_interval(gain, facts["group"].to_numpy(str)))
    return found


def as_lines(found: Mapping[str, Any]) -> list[str]:
    """Write `changes` of all questions, by id, to be read."""
    lines: list[str] = []
    for name, entry in found.items():
        lines += ["", f"## Changed after the map: {entry['text']} (`{name}`)", ""]
        text = f"{entry['changed']} of {entry['pairs']} answers were changed in the second reading"
        if "gain" in entry:
            text += f", {entry['to_recorded']} to the recorded class and {entry['from_recorded']} away from it"
            text += f". Change of the share of right answers: {interval(Interval.read(entry['gain']))}"
        lines.append(f"{text}.")
    return lines
