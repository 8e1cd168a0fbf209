"""Checkpoints to resume from: written beside their place and renamed, two of them kept, read only when whole."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from mpox.files import replacing
from mpox.model.archive import damage_of

log = logging.getLogger("mpox")
# Of the last finished epoch, of the one before it, and of the epoch whose weights are kept.
LAST, BEFORE, KEPT = "last.ckpt", "last-before.ckpt", "kept.ckpt"


class ResumeCheckpoints(TorchCheckpointIO):
    """Lightning's way of writing checkpoints, without its detour over TMPDIR, which may be another, full disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `path` whole or not at all; what `last.ckpt` held becomes `last-before.ckpt`."""
        place = Path(path)
        with replacing(place) as temporary:
            torch.save(checkpoint, temporary)
            if place.name == LAST and place.exists():
                # Now, and not after the renaming: writing to disk takes long, and meanwhile there would be no last one.
                with temporary.open("rb") as written:
                    os.fsync(written.fileno())
                place.replace(place.with_name(BEFORE))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint; the files that callbacks remember are those of the folder it lies in now."""
        checkpoint = super().load_checkpoint(path, map_location, weights_only)
        folder = str(Path(path).parent.resolve())
        for state in checkpoint.get("callbacks", {}).values():
            if isinstance(state, dict) and "dirpath" in state:
                state["dirpath"] = folder
                for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
                    state[key] = _moved(state.get(key) or "", folder)
                state["best_k_models"] = {_moved(key, folder): v for key, v in state["best_k_models"].items()}
        return checkpoint


def epoch_to_resume(folder: Path) -> Path | None:
    """Return the checkpoint of the last finished epoch that is whole, None where a job has to start from its beginning.

    What is broken is named in a warning; where nothing can be resumed, the folder is removed.
    """
    broken = []
    for name in (LAST, BEFORE):
        path = folder / name
        if not path.exists():
            continue
        if not (what := damage_of(path)):
            # The kept weights may be those of any epoch: without them, only the whole training makes them again.
            if (folder / KEPT).exists() and (kept := damage_of(folder / KEPT)):
                broken.append(f"{folder / KEPT} {kept}")
                break
            log.info("resuming from %s", "the last finished epoch" if name == LAST else "the epoch before the last")
            return path
        broken.append(f"{path} {what}")
        log.warning("%s: falling back", broken[-1])
    if broken:
        log.warning("%s: the job starts from its beginning", "; ".join(broken))
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _moved(path: str, folder: str) -> str:
    return str(Path(folder) / Path(path).name) if path else ""
