"""Integrated gradients (Sundararajan et al., ICML 2017; captum's): attribution to pixels, without a layer to choose."""

import numpy as np
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torchvision.transforms.v2 import functional as T

from mpox.model.backbone import PhotoClassifier

# Sd of the blur that makes the starting picture, as a share of the photo's side: no lesion survives it.
BASELINE_BLUR = 0.1


class IntegratedGradients:
    """Attribution of a class's logit to pixels, along the straight line from a heavily blurred photo to the photo.

    Called as the other explainers. Raw maps are the signed attributions summed over the channels; they add up to the
    logit's difference between photo and blurred photo (as far as `steps` suffice). `smooth` is the sd of a Gaussian, as
    a share of the side, that makes single-pixel noise readable and keeps the sum; `batch_size` bounds the memory.
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

    def __call__(self, images_NCHW: Tensor, targets_N: Tensor) -> np.ndarray:  # noqa: N803
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


def blurred(images_NCHW: Tensor, share: float) -> Tensor:  # noqa: N803
    """Gaussian blur whose sd is `share` of the photos' side. images_NCHW float32."""
    sigma = share * images_NCHW.shape[-1]
    # Three sd to each side, and no further than reflection at the border can reach.
    reach = min(int(3 * sigma), images_NCHW.shape[-1] - 1)
    return T.gaussian_blur(images_NCHW, [2 * reach + 1, 2 * reach + 1], [sigma, sigma])
