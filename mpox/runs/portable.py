"""Published files name no paths of the machine they were made on: paths are cut to their last part."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Last parts of the names of options that are paths, whatever their value.
PLACES = frozenset(
    [
        *("root", "cache", "manifest", "path", "splits", "dirpath", "run_dir", "save_dir", "default_root_dir"),
        *("runs_dir", "cache_dir", "exports_dir", "study_root"),
    ]
)
# A path in the middle of a sentence: it ends at a space, a quote, or punctuation that a space follows.
_WITHIN = re.compile(r"""(?<![\w.…/\\])(?:/|~/|[A-Za-z]:[\\/])[^\s'"<>|;,()]+[^\s'"<>|;:,.()]""")
_ABSOLUTE = re.compile(r"(?:/|~|[A-Za-z]:[\\/]|\\\\)")


def portable(value: Any, name: str = "") -> Any:
    """Return nested plain values with each absolute path cut to its last part: `/home/ann/photos` is `…/photos`.

    A text is a path where its option (`name`, the last part of a dotted one) is one, or where it begins as a path of
    this machine does: a regular expression may begin with a slash, too. Paths of this machine within a
    sentence are cut as well.
    """
    if isinstance(value, Mapping):
        return {key: portable(one, str(key)) for key, one in value.items()}
    if isinstance(value, str):
        return _cut(value, name.rpartition(".")[2])
    if isinstance(value, Sequence):
        return [portable(one, name) for one in value]
    return value


def _cut(text: str, name: str) -> str:
    if not _ABSOLUTE.match(text) or not (name in PLACES or _is_here(text)):
        return _inside(text)
    last = re.split(r"[\\/]", text.rstrip("\\/"))[-1]
    is_home = last == Path.home().name or last.startswith("~")
    return "…" if is_home else f"…/{last}"


def _inside(text: str) -> str:
    """Cut the paths of this machine within a sentence, such as an error message."""
    return _WITHIN.sub(lambda found: _cut(found[0], "") if _is_here(found[0]) else found[0], text)


def _is_here(text: str) -> bool:
    try:
        place = Path(text).expanduser()
        return len(place.parts) > 1 and Path(*place.parts[:2]).exists()
    except (OSError, ValueError, RuntimeError):  # too long, a null character, no such user
        return False
