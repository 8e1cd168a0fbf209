"""Integrated gradients (Sundararajan et al., ICML 2017; captum's): attribution to pixels, without a layer to choose."""

import numpy as np
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from mpox.model.backbone import PhotoClassifier

# Sd of the blur of the starting picture, as a share of the photo's side: no lesion is visible after it.
BASELINE_BLUR = 0.1


class IntegratedGradients:
    """Attribution of a class's logit to pixels, along the straight line from a heavily blurred photo to the photo.

    Has the call of all explainers. Raw maps are the signed attributions summed over the channels; they add up to the
    logit's difference between photo and blurred photo (up to the error of `steps` steps). `smooth` is the sd of a
    Gaussian, as a share of the side, that smooths single-pixel noise and keeps the sum; `batch_size` limits the memory.
    """

    method, layer = "integrated_gradients", "input"

    def __init__(
        self,
        network: PhotoClassifier,
        examples: Tensor | None = None,
        *,
        steps: int = 32,
        smooth: float = 0.02,
        batch_size: int = 32,
    ) -> None:
        self.steps, self.smooth, self.batch_size = steps, smooth, batch_size
        self.attribution = CaptumIntegratedGradients(network.eval())

    def __call__(self, images_NCHW: Tensor, targets_N: Tensor) -> np.ndarray:
        """Return raw maps (N, S, S) float32."""
        images = images_NCHW.float()
        with torch.enable_grad():
            attributions = self.attribution.attribute(
                images,
                blurred(images, BASELINE_BLUR),
                target=targets_N.to(images.device),
                n_steps=self.steps,
                internal_batch_size=max(self.batch_size, len(images)),
            )
        maps = attributions.sum(1).detach().cpu().numpy()
        sigma = self.smooth * maps.shape[-1]
        return gaussian_filter(maps, (0, sigma, sigma)).astype(np.float32) if sigma else maps.astype(np.float32)


def blurred(images_NCHW: Tensor, share: float) -> Tensor:
    """Gaussian blur whose sd is `share` of the photos' side. images_NCHW float32."""
    size = images_NCHW.shape[-1]
    sigma = share * size
    # Three sd to each side, at most the width that reflection at the border allows.
    reach = min(int(3 * sigma), size - 1)
    at = torch.arange(-reach, reach + 1, device=images_NCHW.device, dtype=torch.float32)
    bell = torch.exp(-(at**2) / (2 * sigma**2))
    bell = (bell / bell.sum()).expand(images_NCHW.shape[1], 1, 1, -1)
    # One axis after the other; torchvision's blur is one large two-dimensional kernel, which takes seconds a photo.
    padded = F.pad(images_NCHW, (reach, reach, reach, reach), mode="reflect")
    rows = F.conv2d(padded, bell, groups=len(bell))
    return F.conv2d(rows, bell.transpose(2, 3), groups=len(bell))
