"""Differences between a run's configuration and the one asked for, wherever its folders are now."""

from collections.abc import Mapping
from typing import Any

# Configuration of a run's place or speed, not of its result: a run may be resumed with other values.
NOT_COMPARED = frozenset(
    [
        *(
            "allow_targets",
            "runs_dir",
            "cache_dir",
            "overwrite",
            "threads",
            "num_workers",
            "photos_on",
            "frozen_maps",
            "cache_gb",
            "compile",
            "logger",
            "splits",
        ),
        *(
            "data.root",
            "data.cache",
            "data.manifest",
            "data.may_miss",
            "data.follow_links",
            # Of a study's photos, not of a run: the study holds what was searched (`mpox.runs.preparation`).
            "data_guard.search",
            # The default of `image_size`, which is compared.
            "model.image_size",
            "weights.path",
            "callbacks.export.exports_dir",
        ),
        *(
            "trainer.accelerator",
            "trainer.devices",
            "trainer.strategy",
            "trainer.num_nodes",
            "trainer.use_distributed_sampler",
        ),
        *("trainer.enable_progress_bar", "trainer.enable_model_summary", "callbacks.progress"),
    ]
)
# Folders within other options (`${runs_dir}/…`): the rest of those is compared.
FOLDERS = ("cache_dir", "runs_dir")
# Modules that moved after runs had named them in their configuration.
_MOVED = {
    "mpox.callbacks.average.": "mpox.training.average.",
    "mpox.callbacks.explain.": "mpox.training.explain_hook.",
    "mpox.callbacks.export.": "mpox.training.export_hook.",
}
# Options that came later, with the value that older runs were made with.
SINCE = {"model.features": "last", "resize": "one_step"}
_MISSING = "(not set)"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return `key: old -> new` for each compared leaf that differs, sorted by key; one that is not there is null.

    Paths below `runs_dir` and `cache_dir` are compared as they continue: the folders may have been moved, or be spelled
    otherwise.
    """
    before, after = (SINCE | _with_moved_targets(leaves(config)) for config in (old, new))
    changed = []
    for key in sorted(before.keys() | after.keys()):
        parents = {key.rsplit(".", n)[0] for n in range(key.count(".") + 1)} | {key}
        was, is_now = before.get(key), after.get(key)
        if parents & NOT_COMPARED or was == is_now or continued(was, old) == continued(is_now, new):
            continue
        changed.append(f"{key}: {before.get(key, _MISSING)} -> {after.get(key, _MISSING)}")
    return changed


def continued(value: Any, config: Mapping[str, Any]) -> Any:
    """Return a value with the configuration's own folders taken out of the paths in it."""
    if isinstance(value, list | tuple):
        return [continued(part, config) for part in value]
    if isinstance(value, str):
        for key in FOLDERS:  # the cache is in the runs directory, unless it is somewhere else
            folder = str(config.get(key) or "").rstrip("/")
            if folder and (value == folder or value.startswith(f"{folder}/")):
                return f"${{{key}}}{value[len(folder) :]}"
    return value


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration as one dictionary of dotted keys; an empty mapping stays a value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _with_moved_targets(values: dict[str, Any]) -> dict[str, Any]:
    """Name the classes of an older configuration by the modules that hold them now."""
    for key, value in values.items():
        if key.endswith("_target_"):
            for old, new in _MOVED.items():
                if str(value).startswith(old):
                    values[key] = new + str(value).removeprefix(old)
    return values
