"""Do the maps of an exported file agree with those of the network in PyTorch?"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpox.mobile.run.decision_rule import DecidingPredictor
from mpox.model.backbone import PhotoClassifier
from mpox.xai.cams import ClassActivation


def map_agreement(model: DecidingPredictor, network: PhotoClassifier, images_NCHW: Tensor) -> dict[str, Any]:
    """Correlate the file's maps of the predicted class with Grad-CAM of `network` at its last feature maps.

    Returns layer, photos, and mean and least Pearson correlation over the photos (float32 0..255, one or more); None
    where a map is constant.
    """
    layer = last_feature_layer(network, images_NCHW[:1])
    with torch.no_grad():
        targets = network(images_NCHW).argmax(1)
    expected = ClassActivation(network, images_NCHW[:2], layer=layer)(images_NCHW, targets)
    _, maps = model.explain(images_NCHW.numpy())
    given = maps[np.arange(len(maps)), targets.numpy()]
    values = [_correlation(one, other) for one, other in zip(expected, given, strict=True)]
    defined = [value for value in values if value is not None]
    return {
        "layer": layer,
        "photos": len(values),
        "mean_correlation": float(np.mean(defined)) if defined else None,
        "least_correlation": min(defined, default=None),
    }


@torch.no_grad()
def last_feature_layer(network: PhotoClassifier, images_NCHW: Tensor) -> str:
    """Name of the backbone's module whose output is its last feature maps."""
    outputs: dict[str, Tensor] = {}
    hooks = []
    for name, module in network.backbone.named_modules():

        def keep(_: Any, __: Any, output: Any, name: str = name) -> None:
            if isinstance(output, Tensor):
                outputs.pop(name, None)
                outputs[name] = output

        hooks.append(module.register_forward_hook(keep))
    try:
        features = network.backbone.forward_features(network.normalise(images_NCHW))
    finally:
        for hook in hooks:
            hook.remove()
    same = [name for name, output in outputs.items() if output.shape == features.shape and output.equal(features)]
    return same[-1]


def _correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
