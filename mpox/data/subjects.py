"""Which photos show one patient: by a pattern of their paths, by a column; photos of one patient share a group."""

import logging
import re
from collections.abc import Sequence

import pandas as pd

from mpox.data.groups import merge_groups
from mpox.data.names import key
from mpox.errors import UserError

log = logging.getLogger(__name__)
# What in a pattern asks for case to matter.
CASE_MATTERS = "(?-i"


def subjects(paths: Sequence[str], pattern: str | None) -> list[str]:
    """Return the subject of each photo, from its path below the root; empty for one that the pattern does not match.

    The pattern is a regular expression whose group `subject` (or first group) is the patient, searched in the path,
    then in the file name alone, where `^` means its beginning. Case matters only inside `(?-i:…)`. How many photos it
    leaves without a subject is logged. Raises UserError for a pattern that is none, has no group, or matches no photo.
    """
    if pattern is None or not paths:
        return [""] * len(paths)
    given = f"data.subject_pattern={pattern!r}"
    try:
        compiled = re.compile(str(pattern), re.IGNORECASE)
    except re.error as error:
        raise UserError(f"{given} is not a regular expression ({error})") from error
    if not compiled.groups:
        raise UserError(f"{given} has no group that is the subject: put it into brackets")
    group = "subject" if "subject" in compiled.groupindex else 1
    found = [_subject(compiled, path, group) for path in paths]
    unmatched = [path for path, subject in zip(paths, found, strict=True) if not subject]
    if len(unmatched) == len(paths):
        raise UserError(f"{given} matches none of {len(paths)} photos, such as {paths[0]}: correct the pattern")
    if unmatched:
        log.warning(
            "%s does not match %d of %d photos, each of which is taken for a patient of its own (first: %s)",
            *(given, len(unmatched), len(paths), unmatched[0]),
        )
    spelt = found if CASE_MATTERS in str(pattern) else one_spelling(found)
    log.info("%s finds %d subjects in %d photos", given, len(set(spelt) - {""}), len(paths) - len(unmatched))
    return spelt


def one_spelling(names: Sequence[str]) -> list[str]:
    """Return names with those that differ only in case or composition (M1, m1) spelt alike, as the first in order."""
    spelling: dict[str, str] = {}
    for name in sorted(names):
        spelling.setdefault(key(name), name)
    return [spelling[key(name)] for name in names]


def keep_together(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a complete manifest with photos of one subject of one source in one group, whatever its column says.

    Groups, sources and subjects that differ only in case, white space or composition are one.
    """
    named = {column: manifest[column].map(key) for column in ("source", "subject", "group")}
    known = manifest["subject"] != ""
    pairs = [
        pair
        for photos, by in ((manifest[known], ["source", "subject"]), (manifest, ["group"]))
        for pair in zip(
            photos["photo_id"],
            photos.groupby([named[column].loc[photos.index] for column in by])["photo_id"].transform("first"),
            strict=True,
        )
    ]
    return manifest.assign(group=merge_groups(manifest, pairs))


def _subject(pattern: re.Pattern[str], path: str, group: str | int) -> str:
    for text in (path, path.rpartition("/")[2]):
        if (match := pattern.search(text)) and match[group]:
            return match[group].strip()
    return ""
