"""Photos that cannot be used, counted by class and reason: one warning, or an error where too many are lost."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpox.console import visible
from mpox.data.photos import PhotoError
from mpox.data.walk import Other

log = logging.getLogger(__name__)
# Classes with a reason, and files of each, that one message names; the counts are always whole.
NAMED, FILES = 8, 3


@dataclass(frozen=True)
class Lost:
    """A photo of a class that cannot be used, or a folder with an unknown number of them."""

    label: str
    path: str
    why: str
    folder: bool = False


def account(lost: Sequence[Lost], used: Collection[str], count: int, root: Path, may_miss: float | None) -> None:
    """Log what is lost; raise PhotoError where that is more than the share `may_miss` (0..1) of the photos.

    `count` photos of the classes `used` can be used. A whole class that is lost, and a folder that cannot be read, are
    more than any share. None never raises.
    """
    if not lost:
        return
    whole = sorted({entry.label for entry in lost} - {*used, ""})
    closed = any(entry.folder for entry in lost)
    total = count + len(lost)
    groups = _grouped(lost)
    if may_miss is None or not (whole or closed or len(lost) > may_miss * total):
        listed = "\n".join(f"  {line}" for line in groups)
        log.warning("%d of %d photos of %s cannot be used and are left out:\n%s", len(lost), total, root, listed)
        return
    more = f"; and {len(groups) - NAMED} more reasons" if len(groups) > NAMED else ""
    where = f"{len(lost)} of {total} photos of {root} cannot be used"
    if whole:
        where += f", and no photo of class {', '.join(map(visible, whole))} is left"
        fix = "fix this, or move what is not a class out of the folder"
    elif closed:
        fix = "fix this: how many photos it holds is not known"
    else:
        fix = f"fix this, or give data.may_miss={_rounded_up(len(lost) / total)} to go on without them"
    raise PhotoError(f"{where}: {'; '.join(groups[:NAMED])}{more}: {fix}")


def pass_over(others: Sequence[Other], empty: Sequence[str], unseen: Sequence[str]) -> None:
    """Log the files among the photos that are not photos, and what has none of them.

    `empty` are class folders, `unseen` classes that the configuration names.
    """
    if empty:
        log.warning("no photos in the folders %s, which therefore are not classes", ", ".join(map(visible, empty)))
    if unseen:
        log.warning("data.classes names %s, of which there are no photos", ", ".join(map(visible, unseen)))
    if others:
        named = ", ".join(str(other) for other in others[:FILES])
        more = f" and {len(others) - FILES} more" if len(others) > FILES else ""
        log.info("passed over, no photos: %s%s", named, more)


def _grouped(lost: Sequence[Lost]) -> list[str]:
    """Return a line a class and reason; reasons that differ only in brackets are one."""
    groups: dict[tuple[str, str], list[Lost]] = {}
    for entry in lost:
        groups.setdefault((entry.label, entry.why.partition(" (")[0]), []).append(entry)
    lines = []
    for (label, _), entries in sorted(groups.items()):
        names = ", ".join(visible(entry.path) for entry in entries[:FILES])
        more = f" and {len(entries) - FILES} more" if len(entries) > FILES else ""
        lines.append(f"{visible(label) or '(no class)'}: {len(entries)} {entries[0].why} ({names}{more})")
    return lines


def _rounded_up(share: float) -> float:
    return min(1.0, int(share * 1000 + 1) / 1000)
