"""The maps that an exported file gives, from the network itself: where each class's logit comes from, exactly."""

import numpy as np
import torch
from torch import Tensor

from mpox.errors import UserError
from mpox.model.backbone import PhotoClassifier
from mpox.model.class_maps import ClassMaps, why_no_maps


class ExactMaps:
    """Class activation maps of all the features that the head takes, those of earlier stages included.

    Has the call of all explainers. The mean of a raw map, plus the classifier's bias, is the logit; the grid is that of
    the last features. `examples` are photos (images_NCHW, 0..255). Raises UserError for a network without such maps.
    """

    method, layer = "cam", "head"

    def __init__(self, network: PhotoClassifier, examples: Tensor, *, batch_size: int = 32) -> None:
        if why := why_no_maps(network.eval(), examples[:2].float()):
            raise UserError(f"explain=cam has no exact maps of this network: {why}; give explain=gradcam")
        self.network, self.batch_size = network, batch_size
        self.maps = ClassMaps(network, examples[:1].float())

    @torch.no_grad()
    def __call__(self, images_NCHW: Tensor, targets_N: Tensor) -> np.ndarray:
        """Return raw maps (N, h, w) float32."""
        parts = []
        for images, targets in zip(images_NCHW.split(self.batch_size), targets_N.split(self.batch_size), strict=True):
            maps = self.maps(self.network.maps(self.network.normalise(images.float())))
            parts.append(maps[torch.arange(len(targets)), targets.to(maps.device)].cpu().numpy())
        return np.concatenate(parts).astype(np.float32)
