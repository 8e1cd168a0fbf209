"""What clinicians are asked of each photo, and in which reading of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpox.errors import UserError

SHOW = ("always", "blinded", "prediction")
SCALES = ("nominal", "ordinal")
MOST_OPTIONS = 9  # one key each; 0 is for CANNOT_TELL
# An answer to every question. It is counted, and agreement takes it for a missing one.
CANNOT_TELL = "cannot tell"
# Of a photo: first alone, then with its map (and the model's answer, where the page gives it). Pages of before the two
# readings showed both at once.
FIRST, SECOND, SINGLE = "first", "second", "single"
READINGS = {FIRST: "photo alone", SECOND: "with the map", SINGLE: "photo and map at once"}
# When a question is asked: `map` is the second reading of photos whose map is not blank.
ASKED = (FIRST, SECOND, "both", "map")


@dataclass(frozen=True)
class Question:
    """One question of the page. `scale`: ordinal where the options are in order, else nominal; `reading`: of ASKED."""

    id: str
    text: str
    options: tuple[str, ...]
    scale: str
    reading: str = SINGLE


def read_questions(entries: Mapping[str, Mapping[str, Any]], classes: Sequence[str], blinded: bool) -> list[Question]:
    """Check the configured questions and return those to be asked.

    An entry (by id) has text, options (null: the classes), scale, reading (of ASKED, by default both) and show
    (`always`, or only on a `blinded` page or one with the `prediction`). Raises UserError for anything else, and where
    nothing is asked in the first reading.
    """
    questions = []
    for name, entry in entries.items():
        where = f"review.questions.{name}"
        if unknown := set(entry) - {"text", "options", "scale", "show", "reading"}:
            raise UserError(f"{where} has an unknown key '{min(unknown)}': remove it")
        show, scale = entry.get("show", "always"), entry.get("scale", "nominal")
        reading = entry.get("reading", "both")
        if name == "comment" or not entry.get("text"):
            raise UserError(f"{where} needs a text and another name than comment")
        for key, value, known in (("show", show, SHOW), ("scale", scale, SCALES), ("reading", reading, ASKED)):
            if value not in known:
                raise UserError(f"{where}.{key}={value} is unknown: choose among {', '.join(known)}")
        options = tuple(str(option) for option in entry.get("options") or classes)
        if CANNOT_TELL in options:
            raise UserError(f"{where}: every question can be answered '{CANNOT_TELL}': remove it from the options")
        if not 2 <= len(set(options)) == len(options) <= MOST_OPTIONS:
            raise UserError(f"{where} needs 2 to {MOST_OPTIONS} different options")
        if show == "always" or (show == "blinded") == blinded:
            questions.append(Question(name, str(entry["text"]), options, scale, reading))
    if not any(question.reading in (FIRST, "both") for question in questions):
        raise UserError(
            "review.questions asks nothing of the photo alone: add a question with show: always and reading: first"
        )
    return questions
