"""Do the maps of an exported file agree with those of the network in PyTorch?"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpox.mobile.run.decision_rule import DecidingPredictor
from mpox.model.backbone import PhotoClassifier
from mpox.model.class_maps import ClassMaps


def map_agreement(model: DecidingPredictor, network: PhotoClassifier, images_NCHW: Tensor) -> dict[str, Any]:
    """Correlate the file's maps of the predicted class with the class activation maps of `network`.

    Of a head on the last features alone these are Grad-CAM there, but for their scale. Returns photos, and mean and
    least Pearson correlation over them (float32 0..255, one or more); None where a map is constant.
    """
    with torch.no_grad():
        maps_NChw = ClassMaps(network, images_NCHW)(network.maps(network.normalise(images_NCHW))).numpy()
        targets = network(images_NCHW).argmax(1).numpy()
    _, maps = model.explain(images_NCHW.numpy())
    rows = np.arange(len(targets))
    pairs = zip(maps_NChw[rows, targets], maps[rows, targets], strict=True)
    defined = [value for value in (_correlation(one, other) for one, other in pairs) if value is not None]
    return {
        "photos": len(rows),
        "mean_correlation": float(np.mean(defined)) if defined else None,
        "least_correlation": min(defined, default=None),
    }


def _correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
