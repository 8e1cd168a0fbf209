"""Every photo of a manifest read and decoded once: its facts, or why it cannot be used."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from mpox.data.accounting import Lost
from mpox.data.photos import PhotoError, decoded
from mpox.data.walk import UNDECODABLE, leads_out
from mpox.errors import UserError
from mpox.progress import watched


def check_photos(manifest: pd.DataFrame, root: Path, *, follow_links: bool) -> tuple[pd.DataFrame, list[Lost]]:
    """Fill sha256, bytes, width and height of the kept photos, in threads; those that cannot be used get keep=false.

    Returns the manifest, with keep=false and a reason for the latter, and the lost photos. Photos that are links out
    of `root` count as lost unless `follow_links`. Raises UserError where contents differ from the manifest's hashes.
    """
    frame = manifest.copy()
    kept = frame.index[frame["keep"]]
    outside = set() if follow_links else _outside(root, frame.loc[kept, "path"])
    paths = [root / path for path in frame.loc[kept, "path"]]
    with ThreadPoolExecutor() as pool:
        facts = pool.map(lambda path: _facts(path, str(path) in outside), paths)
        read = list(watched(facts, f"checking {len(kept)} photos", len(kept)))
    lost = []
    good = {row: fact for row, fact in zip(kept, read, strict=True) if not isinstance(fact, PhotoError)}
    for row, fact in zip(kept, read, strict=True):
        if isinstance(fact, PhotoError):
            path = str(frame.loc[row, "path"])
            why = str(fact).removeprefix(f"{root / path}: ")
            lost.append(Lost(str(frame.loc[row, "label"]), path, why))
            frame.loc[row, ["keep", "reason", "reason_kind"]] = False, why, UNDECODABLE
    if good:
        rows = list(good)
        table = pd.DataFrame(good.values(), index=rows, columns=["sha256", "bytes", "width", "height"])
        _check_unchanged(frame.loc[rows], list(table["sha256"]))
        frame.loc[rows, table.columns] = table
    return frame, lost


def _outside(root: Path, paths: pd.Series) -> set[str]:
    """Return the photos that links lead out of `root`; each folder is resolved once."""
    folders = {folder: leads_out(folder, root) for folder in {(root / path).parent for path in paths}}
    return {
        str(root / path)
        for path in paths
        if folders[(root / path).parent] or ((root / path).is_symlink() and leads_out(root / path, root))
    }


def _facts(path: Path, outside: bool) -> tuple[str, int, int, int] | PhotoError:
    if outside:
        return PhotoError(
            f"{path}: a link that leads out of the folder: copy what it leads to, or data.follow_links=true"
        )
    try:
        with decoded(path) as photo:
            photo.file.seek(0)
            content = hashlib.file_digest(photo.file, "sha256").hexdigest()
            return content, photo.file.tell(), photo.width, photo.height
    except PhotoError as error:
        return error


def _check_unchanged(kept: pd.DataFrame, hashes: Sequence[str]) -> None:
    differs = (kept["sha256"] != "") & (kept["sha256"] != pd.Series(hashes, index=kept.index))
    if differs.any():
        raise UserError(
            f"{differs.sum()} photos are not those the manifest was made of (first: {kept['path'][differs].iloc[0]}): "
            "restore them or make the manifest again"
        )
