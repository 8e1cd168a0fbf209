"""Photos that came to a study's folder, or to its table, after the study began: they are named, never used."""

import logging
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.console import visible
from mpox.data.manifest import read_manifest
from mpox.data.names import by_key
from mpox.data.roots import SHOWN
from mpox.data.sources import of_source, pictures
from mpox.data.walk import walk

log = logging.getLogger(__name__)
# What was said in this process: the jobs of a sweep share a study and would all say it.
_said: set[str] = set()


def warn_of_added(study: str, manifest: pd.DataFrame, described: Mapping[str, Any], root: Path) -> None:
    """Warn, once a process, of photos below `root` that are not in the manifest of a study; none is opened.

    `described` is the data configuration. The photos that a study left out are rows of its manifest and are not named.
    Raises UserError where a table of photos cannot be read.
    """
    known = set(map(_composed, manifest["path"]))
    found = _offered(described, root)
    new = found[~found["path"].map(_composed).isin(known)]
    if new.empty:
        return
    text = _in_words(study, new, set(manifest["label"]), root)
    if text not in _said:
        _said.add(text)
        log.warning("%s", text)


def _offered(described: Mapping[str, Any], root: Path) -> pd.DataFrame:
    """The photos that a new study would look at, by path and label; none of a source that cannot be asked cheaply."""
    kind = str(described.get("_target_")).removeprefix("mpox.data.sources.")
    frame = pd.DataFrame({"path": [], "label": [], "keep": []})
    if kind in ("folder", "zenodo"):
        classes = described.get("classes")
        names = None if classes is None else by_key(classes)
        found = walk(root, follow_links=bool(described.get("follow_links")))
        frame = pictures(found, described.get("class_level") or 0, names)[0]
    elif kind == "manifest" and (path := Path(str(described["manifest"])).expanduser()).is_file():
        frame = read_manifest(path, described.get("source"), root=root)
        for option in ("only", "without"):
            if (name := described.get(option)) is not None:
                frame = of_source(frame, name, without=option == "without")
    return frame.loc[frame["keep"].astype(bool), ["path", "label"]]


def _composed(path: str) -> str:
    """A path as it is compared: a Mac writes letters in another composition than the machine that made the study."""
    return unicodedata.normalize("NFC", path)


def _in_words(study: str, new: pd.DataFrame, labels: set[str], root: Path) -> str:
    counts = new["label"].value_counts()
    shown = [f"{count} {visible(str(label)) or 'in no class folder'}" for label, count in counts.items()]
    more = f" and {len(shown) - SHOWN} other classes" if len(shown) > SHOWN else ""
    unknown = sorted(set(counts.index) - labels - {""})
    lacks = f"; the study has no class {', '.join(map(visible, unknown[:SHOWN]))}" if unknown else ""
    one = len(new) == 1
    return (
        f"{len(new)} photo{'' if one else 's'} in {root} {'is' if one else 'are'} not in study {study} and not used "
        f"({', '.join(shown[:SHOWN])}{more}{lacks}; first: {visible(min(new['path']))}): start a new study= to use "
        f"{'it' if one else 'them'}"
    )
