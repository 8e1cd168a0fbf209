"""From a composed configuration to plain values, and to objects of packages that are allowed."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from mpox.errors import UserError
from mpox.options import PATHS, TEXTS, every_option, expanded

# Sides are rounded to this many pixels, the total stride of the usual backbones; the stem of Inception needs 75.
STRIDE, SMALLEST = 32, 96


def share_of_side(side: int, share: float) -> int:
    """Return `share` (0..1) of a picture's side in pixels, rounded to whole strides: 224 and 0.8 give 192.

    At least 96 pixels, at most `side`. In a configuration: `${share_of_side:${image_size},0.8}`.
    """
    return min(side, max(SMALLEST, STRIDE * round(side * share / STRIDE)))


OmegaConf.register_new_resolver("share_of_side", share_of_side, replace=True)
OmegaConf.register_new_resolver("expanded", expanded, replace=True)


def settled(cfg: DictConfig, config: str) -> DictConfig:
    """Return a composed configuration in which text is text and paths are expanded, as conf/<config>.yaml tags them.

    A label 0, a study 2024 or a source 2019 are words, whatever YAML takes them for; `~` and `$HOME` mean the home.
    """
    for option in every_option(config).values():
        if option.kind not in TEXTS or _skipped(cfg, option.name):
            continue
        value = OmegaConf.select(cfg, option.name)
        if value is not None:
            with open_dict(cfg):
                OmegaConf.update(cfg, option.name, _settled(value, option.kind in PATHS), merge=False)
    return cfg


def _skipped(cfg: DictConfig, name: str) -> bool:
    """Whether an option is missing, must still be given, or follows from others."""
    parent = OmegaConf.select(cfg, name.rpartition(".")[0]) if "." in name else cfg
    key = name.rpartition(".")[2]
    if not isinstance(parent, DictConfig) or key not in parent:
        return True
    return OmegaConf.is_missing(parent, key) or OmegaConf.is_interpolation(parent, key)


def _settled(value: Any, path: bool) -> Any:
    if isinstance(value, DictConfig):
        return {str(key): None if one is None else _settled(one, path) for key, one in value.items()}
    if isinstance(value, ListConfig):
        return [_settled(one, path) for one in value]
    return expanded(str(value)) if path else str(value)


# What a configuration may name as a `_target_`: this project and the packages it declares. `allow_targets` of one's own
# command line adds to it; configurations that come with a run directory are built from less (`within`), or not at all.
TARGETS = ("mpox", "torch", "torchvision", "lightning", "timm", "torchmetrics")


def build(
    node: DictConfig, *, within: Sequence[str] = TARGETS, allowed: Sequence[str] | str | None = None, **arguments: Any
) -> Any:
    """Instantiate a configuration node by its `_target_`; None where the target is null.

    `allowed` are the packages that the command's `allow_targets` adds to those of `within`; it is given where the node
    is of the user's own command line. Raises UserError for a target outside them, and for one that cannot be built
    with these values.
    """
    if node.get("_target_") is None:
        return None
    packages = (*within, *([allowed] if isinstance(allowed, str) else allowed or ()))
    for target in _targets(node):
        if not target.startswith(tuple(f"{package}." for package in packages)):
            more = "" if allowed is None else f"; allow_targets=[{target.partition('.')[0]}] adds a package you trust"
            raise UserError(f"_target_={target} is refused: a configuration may name only {', '.join(packages)}{more}")
    try:
        return hydra.utils.instantiate(node, **arguments)
    except hydra.errors.InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        reason = " ".join(str(error).split())[:240]
        raise UserError(f"cannot build {node._target_}: {reason}") from error


def _targets(node: DictConfig | ListConfig) -> Iterator[str]:
    children = node.values() if isinstance(node, DictConfig) else node
    if isinstance(node, DictConfig) and node.get("_target_"):
        yield str(node._target_)
    for child in children:
        if isinstance(child, DictConfig | ListConfig):
            yield from _targets(child)


def rebased(value: Any, before: str, after: str) -> Any:
    """Return nested plain values in which each path at or below `before` leads to the same place below `after`."""
    if isinstance(value, dict):
        return {key: rebased(part, before, after) for key, part in value.items()}
    if isinstance(value, list):
        return [rebased(part, before, after) for part in value]
    if isinstance(value, str) and Path(value).is_relative_to(before):
        return str(Path(after) / Path(value).relative_to(before))
    return value


def plain(config: DictConfig) -> dict[str, Any]:
    """Resolve a configuration into dictionaries, lists and plain values.

    Raises UserError for one left open (`???`), and for a number that is none (NaN, infinity): comparisons let it pass.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]} must be given: add {missing[0]}=<value>")
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    if wrong := next(_not_finite(content), None):
        raise UserError(f"{wrong[0]}={wrong[1]} is no number that can be used: give a finite one")
    return {str(key): value for key, value in content.items()}


def _not_finite(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Name and value of each float within that is NaN or infinite."""
    if isinstance(value, float) and not math.isfinite(value):
        yield name, value
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_finite(part, f"{name}.{key}" if name else str(key))
