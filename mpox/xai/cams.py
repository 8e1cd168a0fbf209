"""Class activation maps: where in the photo a layer gives evidence for a class, by the methods of the grad-cam package.

Every explainer of this room has the same call: images_NCHW (float32, 0..255) and targets_N (int64, the class to
explain) in, raw maps (N, h, w) float32 out, un-normalised and signed; values above zero are evidence for the class.
"""

import contextlib
import copy
import io
from typing import Any, Protocol

import numpy as np
import pytorch_grad_cam as grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional as F

from mpox.errors import UserError
from mpox.model.backbone import PhotoClassifier
from mpox.xai.layers import LEAST_SIDE, find_layer, make_functional

METHODS: dict[str, Any] = {
    "gradcam": grad_cam.GradCAM,  # Selvaraju et al., ICCV 2017
    "gradcam++": grad_cam.GradCAMPlusPlus,  # Chattopadhay et al., WACV 2018
    "hirescam": grad_cam.HiResCAM,  # Draelos & Carin 2020, arXiv 2011.08891
    "eigencam": grad_cam.EigenCAM,  # Muhammad & Yeasin, IJCNN 2020; the same map for every class
    "scorecam": grad_cam.ScoreCAM,  # Wang et al., CVPRW 2020; one forward pass a channel
}


class Explainer(Protocol):
    """The interface of all methods."""

    method: str
    layer: str

    def __call__(self, images_NCHW: Tensor, targets_N: Tensor) -> np.ndarray:
        """Return raw maps (N, h, w) float32."""


class ClassActivation:
    """One of METHODS at one layer of a copy of a network.

    `examples` are photos (images_NCHW, 0..255) to find the layer with: the named one, else the deepest whose maps have
    `least_side` positions a side. The backward pass ends at that layer, so a map costs little more than a forward pass.
    Raises UserError for an unknown method or where no layer is suitable.
    """

    def __init__(
        self,
        network: PhotoClassifier,
        examples: Tensor,
        *,
        method: str = "gradcam",
        layer: str | None = None,
        least_side: int = LEAST_SIDE,
        batch_size: int = 32,
    ) -> None:
        if method not in METHODS:
            raise UserError(f"explain.method={method} is unknown: choose one of {', '.join(METHODS)}")
        # A copy, since hooks are added to it, and in-place activations and gradients of parameters are switched off.
        network = copy.deepcopy(network).eval().requires_grad_(False)
        make_functional(network)
        self.network, self.method = network, method
        self.layer, module = find_layer(network, examples[:2], layer, least_side)
        # Registered before grad-cam's hooks, so that for them the output is the start of the graph.
        module.register_forward_hook(_start_of_graph)
        self.cam = _unscaled(METHODS[method])(_OfNormalised(network), [module])
        self.cam.batch_size = batch_size

    def __call__(self, images_NCHW: Tensor, targets_N: Tensor) -> np.ndarray:
        """Return raw maps (N, h, w) float32 at the layer's resolution. UserError for values that are not finite."""
        targets = [ClassifierOutputTarget(int(target)) for target in targets_N]
        with torch.enable_grad(), contextlib.redirect_stderr(io.StringIO()):  # Score-CAM draws a bar a photo
            maps = self.cam(self.network.normalise(images_NCHW), targets)
        self.cam.activations_and_grads.clear()
        if not np.isfinite(maps).all():
            raise UserError(f"{self.method} at {self.layer} gives values that are not finite: choose another method")
        return np.asarray(maps, np.float32)


def upsampled(raw_NHW: np.ndarray, size: int) -> np.ndarray:
    """Raw maps at `size` x `size` pixels, bilinear, still signed and un-normalised: (N, size, size) float32."""
    maps = torch.from_numpy(raw_NHW)[:, None]
    return F.interpolate(maps, (size, size), mode="bilinear", align_corners=False)[:, 0].numpy()


def shown(raw_NHW: np.ndarray, size: int) -> np.ndarray:
    """Maps as they are shown and tested: evidence for the class, 0..1, the largest value of each photo 1.

    A photo without evidence gets zeros (`is_blank`). (N, size, size) float32.
    """
    maps = np.maximum(upsampled(raw_NHW, size), 0)
    peak = maps.max((1, 2), keepdims=True)
    return np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0)


def is_blank(raw_NHW: np.ndarray) -> np.ndarray:
    """Photos (N) bool without evidence for the class at this layer."""
    return np.asarray((raw_NHW <= 0).all((1, 2)))


def _start_of_graph(_: nn.Module, __: Any, output: Tensor) -> Tensor:
    # Later operations may overwrite the copy in place; a leaf they may not.
    return output.detach().requires_grad_(True).clone()


class _OfNormalised(nn.Module):
    """A network that takes normalised photos: Score-CAM hides parts of them with zeros, which are then mean grey."""

    def __init__(self, network: PhotoClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, normalised_NCHW: Tensor) -> Tensor:
        return self.network.classify(normalised_NCHW)


def _unscaled(base: Any) -> Any:
    """grad-cam's class without its scaling of each map to 0..1, which would lose the maps' own scale."""

    class Unscaled(base):
        def compute_cam_per_layer(self, images: Tensor, targets: list[Any], eigen_smooth: bool) -> np.ndarray:
            recorded = self.activations_and_grads
            activations = recorded.activations[0].numpy()
            gradients = recorded.gradients[0].numpy() if recorded.gradients else None
            return self.get_cam_image(images, self.target_layers[0], targets, activations, gradients, eigen_smooth)

        def aggregate_multi_layers(self, cam: np.ndarray) -> np.ndarray:
            return cam

    return Unscaled
