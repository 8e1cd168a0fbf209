"""What is given as `field=`: phones' counts and clinics' answers, told apart by what a file holds, not by its name."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpox.errors import UserError, reason_of
from mpox.field.answers import Answer, answers_of, is_answers, read_table
from mpox.field.counts import PhoneCounts, is_earlier, read_counts

log = logging.getLogger("mpox")
# Years of a phone's counts, and tens of thousands of a clinic's answers, are well below this.
LARGEST_BYTES = 20_000_000
# Files of a folder that are looked at.
ENDINGS = (".json", ".csv")


@dataclass(frozen=True)
class Given:
    """What is of the models of one study: phones' counts, and the cases that clinics answered, each once."""

    phones: tuple[PhoneCounts, ...]
    answers: tuple[Answer, ...]


def read_given(paths: Sequence[Path], study: str) -> Given:
    """Read files of phones and clinics, a folder standing for its `.json` and `.csv`; return what is of `study`.

    A folder's tables that are no answers (a manifest, decisions) are passed over.
    Raises UserError for a file that is missing or malformed, a case that two files answer differently, and where
    nothing is of the study; warns of what is left out, and of a phone's file that seems to be an earlier state of
    another.
    """
    # A file that is named twice is there once.
    files = {file.resolve(): (file, path.is_dir()) for path in paths for file in _files(path)}
    phones: list[PhoneCounts] = []
    answers: list[tuple[Path, Answer]] = []
    over: list[str] = []
    for file, in_folder in files.values():
        if _is_json(file):
            phones += read_counts(file)
        elif is_answers(file, table := read_table(file)) or not in_folder:
            answers += [(file, one) for one in answers_of(file, table)]
        else:
            over.append(str(file))
    if over:
        log.info("passed over, since they are no answers of a clinic: %s", ", ".join(over))
    if len(files) == len(over):
        raise UserError(
            f"field={paths[0] if paths else '[]'} holds neither counts of a phone (.json) nor answers of a clinic "
            "(.csv): give the files that phones saved, or the folder that mpox.clinic export wrote"
        )
    given = Given(_phones_of(phones, study), _answers_of(answers, study))
    if not given.phones and not given.answers:
        raise UserError(
            f"none of the {len(files) - len(over)} files is of a model of study {study}: give their study, or files "
            "of its models"
        )
    return given


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if one.suffix.lower() in ENDINGS and one.is_file())


def _is_json(file: Path) -> bool:
    """Whether a file begins as JSON does: a table's first line begins with a column's name."""
    try:
        with file.open("rb") as opened:
            beginning = opened.read(64)
            size = opened.seek(0, 2)
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({reason_of(error)}): give a file of a phone's counts or a clinic's answers"
        ) from error
    if size > LARGEST_BYTES:
        raise UserError(
            f"{file} has more than {LARGEST_BYTES // 1_000_000} MB: it is no file of a phone's counts or a clinic's "
            "answers"
        )
    return beginning.lstrip().startswith((b"{", b"["))


def _phones_of(found: Sequence[PhoneCounts], study: str) -> tuple[PhoneCounts, ...]:
    own = tuple(one for one in found if one.study == study)
    if others := sorted({one.study for one in found} - {study}):
        log.warning("counts of models of other studies are left out: %s", ", ".join(others))
    for one in own:
        if later := next((two for two in own if two is not one and is_earlier(one, two)), None):
            log.warning(
                "%s seems to be an earlier state of %s: give the last file of each phone", one.phone, later.phone
            )
    return own


def _answers_of(found: Sequence[tuple[Path, Answer]], study: str) -> tuple[Answer, ...]:
    """The study's answers; a case that several exports of a clinic hold is there once."""
    own: dict[str, tuple[Path, Answer]] = {}
    again = set()
    for file, one in found:
        if one.study != study:
            continue
        first, known = own.setdefault(one.id, (file, one))
        if known != one:
            raise UserError(
                f"case {one.id} is not the same in {first} ({known.final}) and in {file} ({one.final}): leave its row "
                "out of one of them"
            )
        if first != file:
            again.add(one.id)
    if again:
        log.info("%d cases are in several files, and count once", len(again))
    if others := [one.study or "one without a name" for _, one in found if one.study != study]:
        log.warning("%d answered cases of models of other studies are left out (such as %s)", len(others), min(others))
    return tuple(one for _, one in own.values())
