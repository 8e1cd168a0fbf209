"""What apps counted after deployment: files of the format `mpox-field` (docs/reference/referral.md), checked."""

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpox.errors import UserError, reason_of
from mpox.stats.decision import OUTCOMES

FORMAT, VERSION = "mpox-field", 1
# Labels of a clinician that are no class of a model: another disease, and who could not answer.
OTHER, CANNOT_TELL = "other", "cannot tell"
# Outcomes by which the app calls a case mpox, and those after which it advises to see a clinician.
CALLED, ADVISED = OUTCOMES[:2], OUTCOMES[:3]


@dataclass(frozen=True)
class Day:
    """A day of one phone: close-ups taken, photos refused by fault, cases answered and referred by outcome."""

    date: datetime.date
    taken: int
    refused: Mapping[str, int]
    answered: Mapping[str, int]
    referred: Mapping[str, int]


@dataclass(frozen=True)
class Case:
    """A case that a clinician answered: the app's outcome, its probability of mpox (0..1), the clinician's label."""

    outcome: str
    chance: float
    clinician: str


@dataclass(frozen=True)
class PhoneCounts:
    """What one phone counted of one model, an export that its SHA-256 names."""

    phone: str
    study: str
    model: str
    sha256: str
    positive: str
    threshold: float | None
    days: tuple[Day, ...]
    cases: tuple[Case, ...]


def read_counts(file: Path) -> list[PhoneCounts]:
    """Read the file that a phone saved; return what it counted of each model.

    Raises UserError for a file that is missing, not of this format, or inconsistent.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"it is {content['format']} {content['version']}, not {FORMAT} {VERSION}")
        return [_counts(file.name, model) for model in content["models"]]
    except OSError as error:
        raise UserError(f"{file} cannot be read ({reason_of(error)}): give the files that phones saved") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else reason_of(error)
        raise UserError(f"{file} is no file of an app's counts ({what}): save it on the phone again") from error


def _counts(phone: str, model: Mapping[str, Any]) -> PhoneCounts:
    labels = [str(label) for label in model["labels"]]
    if model["positive"] not in labels:
        raise ValueError(f"positive is {model['positive']}, which is none of its labels")
    if not is_sha256(model["sha256"]):
        raise ValueError(f"{model['sha256']!r} is no SHA-256 of a model")
    threshold = model["threshold"]
    return PhoneCounts(
        phone=phone,
        study=str(model["study"]),
        model=str(model["name"]),
        sha256=model["sha256"],
        positive=str(model["positive"]),
        threshold=None if threshold is None else _share(threshold),
        days=tuple(_day(day) for day in model["days"]),
        cases=tuple(_case(case) for case in model["cases"]),
    )


def _day(day: Mapping[str, Any]) -> Day:
    answered, referred = _by_name(day["answered"]), _by_name(day["referred"])
    if unknown := sorted({*answered, *referred} - set(OUTCOMES)):
        raise ValueError(f"{unknown[0]} is no outcome")
    date = datetime.date.fromisoformat(day["date"])
    return Day(date, _count(day["taken"]), _by_name(day["refused"]), answered, referred)


def _case(case: Mapping[str, Any]) -> Case:
    if case["outcome"] not in OUTCOMES:
        raise ValueError(f"{case['outcome']} is no outcome")
    return Case(case["outcome"], _share(case["mpox"]), str(case["clinician"]))


def _by_name(counts: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): _count(value) for name, value in counts.items()}


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no number from 0 to 1")
    return float(value)


def is_sha256(value: Any) -> bool:
    """Return whether a value is a SHA-256, as it names an export's file."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def is_earlier(one: PhoneCounts, other: PhoneCounts) -> bool:
    """Return whether another phone's file holds all finished days of this one; a single day may be alike by chance."""
    finished = one.days[:-1]
    return len(finished) >= 2 and len(other.days) >= len(one.days) and all(day in other.days for day in finished)
