"""What apps counted after deployment: files of the format `mpox-field` (docs/reference/referral.md), checked."""

import datetime
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpox.errors import UserError, reason_of
from mpox.stats.decision import OUTCOMES

log = logging.getLogger("mpox")
FORMAT, VERSION = "mpox-field", 1
# The label of a clinician who could not answer.
CANNOT_TELL = "cannot tell"
# Outcomes by which the app calls a case mpox, and those after which it advises to see a clinician.
CALLED, ADVISED = OUTCOMES[:2], OUTCOMES[:3]
# A file is a phone's: years of counts are well below this.
LARGEST_BYTES = 20_000_000


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
    """What one phone counted of one model."""

    phone: str
    study: str
    model: str
    positive: str
    threshold: float | None
    days: tuple[Day, ...]
    cases: tuple[Case, ...]


def read_counts(paths: Sequence[Path], study: str) -> list[PhoneCounts]:
    """Read the files of phones, a folder standing for its `*.json`; return what is of the models of `study`.

    Raises UserError for a file that is missing, not of this format, or inconsistent, and where none is of the study;
    warns of a file that seems to be an earlier state of another.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not files:
        raise UserError(f"field={paths[0] if paths else '[]'} holds no .json file: give the files that phones saved")
    found = [one for file in files for one in _read(file)]
    own = [one for one in found if one.study == study]
    if others := sorted({one.study for one in found} - {study}):
        log.warning("counts of models of other studies are left out: %s", ", ".join(others))
    if not own:
        raise UserError(f"none of the {len(files)} files counts answers of a model of study {study}: give their study")
    for one in own:
        if later := next((two for two in own if two is not one and _is_earlier(one, two)), None):
            log.warning(
                "%s seems to be an earlier state of %s: give the last file of each phone", one.phone, later.phone
            )
    return own


def _read(file: Path) -> list[PhoneCounts]:
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"it has more than {LARGEST_BYTES // 1_000_000} MB")
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"it is {content['format']} {content['version']}, not {FORMAT} {VERSION}")
        return [_counts(file.name, model) for model in content["models"]]
    except OSError as error:
        raise UserError(f"{file} cannot be read ({reason_of(error)}): give the files that phones saved") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else reason_of(error)
        raise UserError(f"{file} is no file of an app's counts ({what}): save it on the phone again") from error


def _counts(phone: str, model: Mapping[str, Any]) -> PhoneCounts:
    labels = [str(label) for label in model["labels"]]
    if model["positive"] not in labels:
        raise ValueError(f"positive is {model['positive']}, which is none of its labels")
    threshold = model["threshold"]
    return PhoneCounts(
        phone=phone,
        study=str(model["study"]),
        model=str(model["name"]),
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


def _is_earlier(one: PhoneCounts, other: PhoneCounts) -> bool:
    """Whether another phone's file holds all finished days of this one; a single day may be alike by chance."""
    finished = one.days[:-1]
    return len(finished) >= 2 and len(other.days) >= len(one.days) and all(day in other.days for day in finished)
