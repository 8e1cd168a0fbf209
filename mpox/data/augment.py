"""Augmentation of whole batches: what torchvision's transforms describe, drawn at once and sampled from the photo once.

torchvision turns a photo, cuts it, mirrors it and recolours it in five passes over its pixels, each resampling again
and drawing its numbers one by one: for a small CNN on a CPU a fifth of a training step. Here the geometric steps are
multiplied into one affine map a photo, so that each output pixel is one bilinear sample of the stored photo, and the
numbers come from a counter-based generator (Philox), a pure function of (seed, epoch, photo). Two backends compute the
same values within float tolerance: OpenCV photo by photo on a processor, torch a whole batch at once on a GPU.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode, v2

# A cut is one bilinear sample a pixel, without antialiasing: right up to this reduction, visibly wrong beyond it.
MAX_REDUCTION = 1.5
# Cuts are drawn until one lies within the photo, this many times, then the centre is taken (as torchvision does).
TRIES = 10
# ITU-R 601-2 luma, torchvision's grey.
GREY = (0.2989, 0.587, 0.114)
BRIGHTNESS, CONTRAST, SATURATION = 0, 1, 2
# torchvision keeps it as it was given: its own name, that name's value, or Pillow's number.
BILINEAR = (InterpolationMode.BILINEAR, InterpolationMode.BILINEAR.value, 2)


@dataclass(frozen=True)
class Draws:
    """The random draws of B photos: `affine` (B, 2, 3) float64 takes output to source pixels (x, y; centres at whole
    numbers), `factors` (B, 3) float32 are those of brightness, contrast, saturation and `order` (B, 3) int64 which of
    them comes when."""

    affine: np.ndarray
    factors: np.ndarray
    order: np.ndarray


@dataclass(frozen=True)
class BatchAugment:
    """Geometry, then colour. `steps` each make affine maps (B, 3, 3) of uniforms (B, n); `size` is the new side."""

    source_size: int
    size: int
    steps: tuple[tuple[int, Callable[[np.ndarray], np.ndarray]], ...]
    colour: tuple[tuple[float, float] | None, ...]

    def draw(self, key: int, rows: np.ndarray) -> Draws:
        """Draw for the photos `rows`, each by itself: a pure function of (key, row)."""
        n_geometry = sum(n for n, _ in self.steps)
        drawn, start = _uniforms(key, 1 << int(rows.max()).bit_length(), n_geometry + 6)[rows], 0
        affine = np.tile(np.eye(3), (len(rows), 1, 1))
        for n, step in self.steps:
            affine = affine @ step(drawn[:, start : start + n])
            start += n
        factors = np.ones((len(rows), 3), np.float32)
        for j, bounds in enumerate(self.colour):
            if bounds is not None:
                factors[:, j] = bounds[0] + (bounds[1] - bounds[0]) * drawn[:, start + j]
        return Draws(affine[:, :2], factors, drawn[:, start + 3 :].argsort(axis=1))

    @property
    def recolours(self) -> bool:
        """Whether any colour is drawn."""
        return any(bounds is not None for bounds in self.colour)

    def on_processor(self, pixels: np.ndarray, rows: np.ndarray, draws: Draws) -> Tensor:
        """Augment `pixels[rows]`, uint8 (N, S, S, 3). Returns float32 (B, 3, T, T), 0..255, in channels_last."""
        import cv2  # not on a machine whose photos are augmented on its GPU

        out = np.empty((len(rows), self.size, self.size, 3), np.float32)
        colours = _colour_matrices(draws.factors)

        def part(first: int, step: int) -> None:
            for k in range(first, len(rows), step):
                photo = pixels[rows[k]].astype(np.float32)
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                cv2.warpAffine(photo, draws.affine[k], (self.size, self.size), dst=out[k], flags=flags)
                if self.recolours:
                    _recolour(out[k], colours[k], draws.order[k])

        threads = min(torch.get_num_threads(), len(rows))
        if threads == 1:
            part(0, 1)
        else:
            with ThreadPoolExecutor(threads) as pool:  # OpenCV lets go of the interpreter's lock
                list(pool.map(lambda first: part(first, threads), range(threads)))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def on_device(self, photos: Tensor, affine: Tensor, factors: Tensor, order: Tensor) -> Tensor:
        """Augment uint8 (B, S, S, 3) where they are, by the tensors of `Draws`. Returns what `on_processor` does."""
        grid = F.affine_grid(self._normalised(affine), [len(photos), 3, self.size, self.size], align_corners=False)
        images = photos.permute(0, 3, 1, 2).float()
        images = F.grid_sample(images, grid.float(), mode="bilinear", padding_mode="zeros", align_corners=False)
        if self.recolours:
            for turn in range(3):
                images = _recoloured(images, factors, order[:, turn])
        return images.contiguous(memory_format=torch.channels_last)

    def _normalised(self, affine: Tensor) -> Tensor:
        """Pixel coordinates to grid_sample's, -1..1 from edge to edge (float64: (B, 2, 3)).

        By numbers alone: a constant tensor would be copied to a GPU, and waited for, in every step.
        """
        linear, offset = affine[:, :, :2], affine[:, :, 2:]
        offset = linear.sum(2, keepdim=True) * ((self.size - 1) / 2) + offset
        offset = (offset * 2 + 1) / self.source_size - 1
        return torch.cat([linear * (self.size / self.source_size), offset], 2)


def fuse(transform: Any, source_size: int) -> BatchAugment | None:
    """Return the batch form of a torchvision `Compose`, None where it holds what only torchvision can do.

    Understood: RandomRotation and RandomResizedCrop (bilinear, cuts reduced by at most MAX_REDUCTION), the two flips,
    and after them one ColorJitter without hue. They are drawn from the same distributions as torchvision's.
    """
    steps, size = [], source_size
    colour: tuple[tuple[float, float] | None, ...] = (None, None, None)
    for node in transform.transforms if isinstance(transform, v2.Compose) else [transform]:
        if colour != (None, None, None):
            return None
        if isinstance(node, v2.ColorJitter) and node.hue is None:
            colour = (_bounds(node.brightness), _bounds(node.contrast), _bounds(node.saturation))
        elif (found := _geometric(node, size)) is not None:
            n, step, size = found
            steps.append((n, step))
        else:
            return None
    return BatchAugment(source_size, size, tuple(steps), colour)


@functools.lru_cache(maxsize=1)
def _uniforms(key: int, rows: int, width: int) -> np.ndarray:
    """Return uniforms (rows, width), once an epoch: row k is the same however many there are, being filled in order."""
    return np.random.Generator(np.random.Philox(key=[key, 0])).random((rows, width))


def _bounds(value: Any) -> tuple[float, float] | None:
    return None if value is None else (float(value[0]), float(value[1]))


def _geometric(node: nn.Module, size: int) -> tuple[int, Callable[[np.ndarray], np.ndarray], int] | None:
    """Return how many uniforms a transform takes, its map from them to (B, 3, 3), and the side that comes out."""
    bilinear = getattr(node, "interpolation", None) in BILINEAR
    if isinstance(node, v2.RandomHorizontalFlip | v2.RandomVerticalFlip):
        axis = 0 if isinstance(node, v2.RandomHorizontalFlip) else 1
        return 1, lambda u: np.where((u < node.p)[:, :, None], _flip(axis, size), np.eye(3)), size
    if isinstance(node, v2.RandomRotation):
        if not bilinear or node.expand or node.center is not None or any(node._fill.values()):
            return None
        low, high = node.degrees
        return 1, lambda u: _rotation(low + (high - low) * u[:, 0], size), size
    if isinstance(node, v2.RandomResizedCrop):
        height, width = node.size
        largest = min(size, size * (node.scale[1] * max(node.ratio[1], 1 / node.ratio[0])) ** 0.5)
        if not bilinear or height != width or largest / height > MAX_REDUCTION:
            return None
        return 4 * TRIES, lambda u: _cut(u.reshape(-1, 4, TRIES), size, height, node.scale, node.ratio), height
    return None


def _flip(axis: int, size: int) -> np.ndarray:
    matrix = np.eye(3)
    matrix[axis, axis], matrix[axis, 2] = -1, size - 1
    return matrix


def _rotation(degrees: np.ndarray, size: int) -> np.ndarray:
    """Map output to source pixels of counter-clockwise turns (B) about the centre."""
    cos, sin, centre = np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), (size - 1) / 2
    matrix = np.zeros((len(degrees), 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = cos
    matrix[:, 0, 1], matrix[:, 1, 0] = -sin, sin
    matrix[:, :2, 2] = centre - matrix[:, :2, :2] @ np.array([centre, centre])
    matrix[:, 2, 2] = 1
    return matrix


def _cut(drawn: np.ndarray, size: int, out: int, scale: Sequence[float], ratio: Sequence[float]) -> np.ndarray:
    """Map output to source pixels of cuts: area, aspect and place as RandomResizedCrop draws them (B, 4, TRIES)."""
    area = size * size * (scale[0] + (scale[1] - scale[0]) * drawn[:, 0])
    low, high = np.log(ratio)
    aspect = np.exp(low + (high - low) * drawn[:, 1])
    width, height = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (width > 0) & (width <= size) & (height > 0) & (height <= size)
    each, first = np.arange(len(drawn)), fits.argmax(axis=1)
    w, h = width[each, first], height[each, first]
    left, top = np.floor(drawn[each, 2, first] * (size - w + 1)), np.floor(drawn[each, 3, first] * (size - h + 1))
    none = ~fits.any(axis=1)  # the whole photo then, or as much of it as has an allowed aspect
    w[none], h[none] = np.rint(size * min(1.0, ratio[1])), np.rint(size / max(1.0, ratio[0]))
    left[none], top[none] = (size - w[none]) // 2, (size - h[none]) // 2
    matrix = np.zeros((len(drawn), 3, 3))
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 2, 2] = w / out, h / out, 1
    matrix[:, 0, 2], matrix[:, 1, 2] = left + (w / out - 1) / 2, top + (h / out - 1) / 2
    return matrix


def _colour_matrices(factors: np.ndarray) -> np.ndarray:
    """Return for each photo and change (B, 3, 3, 4) what it does to a colour; contrast's offset is the photo's own."""
    matrices = np.zeros((len(factors), 3, 3, 4))
    matrices[..., :3] = np.eye(3) * factors[:, :, None, None]
    matrices[:, SATURATION, :, :3] += (1 - factors[:, SATURATION, None, None]) * np.array(GREY)
    return matrices


def _recolour(image: np.ndarray, matrices: np.ndarray, order: np.ndarray) -> None:
    """Change the colours of one photo (T, T, 3) float32 in place by its `_colour_matrices` (3, 3, 4)."""
    import cv2

    for which in order:
        matrix = matrices[which]
        if matrix[0, 0] == 1:  # no change
            continue
        if which == CONTRAST:
            matrix[:, 3] = (1 - matrix[0, 0]) * np.dot(GREY, cv2.mean(image)[:3])
        cv2.transform(image, matrix, dst=image)
        np.clip(image, 0.0, 255.0, out=image)


def _recoloured(images: Tensor, factors: Tensor, which: Tensor) -> Tensor:
    """Return (B, 3, T, T) after one of the three changes, another for each photo."""
    red, green, blue = images.split(1, dim=1)
    grey = GREY[0] * red + GREY[1] * green + GREY[2] * blue
    factor = factors.gather(1, which[:, None]).view(-1, 1, 1, 1)
    turn = which.view(-1, 1, 1, 1)
    other = torch.where(turn == CONTRAST, grey.mean((1, 2, 3), keepdim=True), grey * (turn == SATURATION))
    return (factor * images + (1 - factor) * other).clamp(0, 255)
