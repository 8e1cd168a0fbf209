"""Batched augmentation against torchvision given the same draws, and one backend against the other."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as TF

from mpox.data.augment import fuse
from mpox.data.module import FoldData

N, SIZE = 24, 64


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (N, SIZE, SIZE, 3))
    smooth = gaussian_filter(noise, (0, 2, 2, 0))
    return np.clip((smooth - 127) * 8 + 127, 0, 255).astype(np.uint8)


def everything() -> v2.Compose:
    return v2.Compose(
        [
            v2.RandomRotation(30, interpolation=InterpolationMode.BILINEAR),
            v2.RandomResizedCrop(48, scale=(0.3, 1.0), ratio=(0.8, 1.3)),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.ColorJitter(0.4, 0.4, 0.4),
        ]
    )


def both(transform: v2.Compose, pixels: np.ndarray, key: int = 7) -> tuple[torch.Tensor, torch.Tensor, object]:
    fused = fuse(transform, pixels.shape[1])
    assert fused is not None
    rows = np.arange(len(pixels))
    draws = fused.draw(key, rows)
    drawn = [torch.from_numpy(part) for part in (draws.affine, draws.factors, draws.order)]
    return fused.on_processor(pixels, rows, draws), fused.on_device(torch.from_numpy(pixels), *drawn), draws


def test_backends_agree(pixels: np.ndarray) -> None:
    one, other, _ = both(everything(), pixels)
    assert one.shape == (N, 3, 48, 48)
    assert one.dtype == other.dtype == torch.float32
    torch.testing.assert_close(one, other, atol=0.02, rtol=0)  # grey levels of 255


def test_colour_is_torchvisions(pixels: np.ndarray) -> None:
    found, _, draws = both(v2.Compose([v2.ColorJitter(0.5, 0.5, 0.5)]), pixels)
    change = [TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation]
    for k in range(N):
        image = torch.from_numpy(pixels[k]).permute(2, 0, 1) / 255
        for which in draws.order[k]:
            image = change[which](image, float(draws.factors[k, which]))
        torch.testing.assert_close(found[k] / 255, image, atol=2e-5, rtol=0)
    assert len({tuple(order) for order in draws.order}) == 6
    assert np.ptp(draws.factors, axis=0).min() > 0.7


def test_cuts_and_mirrors_are_torchvisions(pixels: np.ndarray) -> None:
    transform = v2.Compose(
        [v2.RandomResizedCrop(48, scale=(0.2, 1.0)), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    )
    found, _, draws = both(transform, pixels)
    mirrored = np.zeros(2)
    for k in range(N):
        image = torch.from_numpy(pixels[k]).permute(2, 0, 1).float()
        (a, _, x), (_, d, y) = draws.affine[k]
        width, height = round(abs(a) * 48), round(abs(d) * 48)
        left = round((x if a > 0 else x + 47 * a) + 0.5 - abs(a) / 2)
        top = round((y if d > 0 else y + 47 * d) + 0.5 - abs(d) / 2)
        expected = TF.resized_crop(image, top, left, height, width, [48, 48], antialias=False)
        expected = TF.horizontal_flip(expected) if a < 0 else expected
        expected = TF.vertical_flip(expected) if d < 0 else expected
        # torchvision repeats the cut's border, one sample of the photo sees what lies beyond it.
        torch.testing.assert_close(found[k][:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=0.01, rtol=0)
        mirrored += [a < 0, d < 0]
    assert (mirrored > 4).all() and (mirrored < N - 4).all()


def test_turns_are_torchvisions(pixels: np.ndarray) -> None:
    transform = v2.Compose([v2.RandomRotation(40, interpolation=InterpolationMode.BILINEAR)])
    found, _, draws = both(transform, pixels)
    angles = np.degrees(np.arctan2(draws.affine[:, 1, 0], draws.affine[:, 0, 0]))
    assert np.ptp(angles) > 60 and np.abs(angles).max() <= 40
    for k in range(N):
        image = torch.from_numpy(pixels[k]).permute(2, 0, 1).float()
        expected = TF.rotate(image, float(angles[k]), interpolation=InterpolationMode.BILINEAR)
        difference = (found[k] - expected).abs()
        assert difference[:, 16:48, 16:48].max() < 0.1
        assert difference.mean() < 2  # the black corners' edges


def test_sizes_are_drawn_as_torchvision_draws_them() -> None:
    node = v2.RandomResizedCrop(48, scale=(0.3, 1.0), ratio=(0.8, 1.3))
    fused = fuse(node, SIZE)
    assert fused is not None
    ours = np.abs(fused.draw(3, np.arange(2000)).affine[:, [0, 1], [0, 1]]) * 48
    blank = torch.zeros(3, SIZE, SIZE)
    torch.manual_seed(0)
    theirs = [(p["width"], p["height"]) for p in (node.make_params([blank]) for _ in range(2000))]
    np.testing.assert_allclose(ours.mean(0), np.mean(theirs, 0), atol=0.5)
    np.testing.assert_allclose(np.quantile(ours, [0.1, 0.9], 0), np.quantile(theirs, [0.1, 0.9], 0), atol=1.5)


def test_what_is_drawn_depends_on_key_and_photo_alone() -> None:
    fused = fuse(everything(), SIZE)
    assert fused is not None
    alone, among = fused.draw(5, np.array([11])), fused.draw(5, np.array([3, 11, 4]))
    assert (alone.affine[0] == among.affine[1]).all() and (alone.factors[0] == among.factors[1]).all()
    assert not (alone.affine == fused.draw(6, np.array([11])).affine).all()


@pytest.mark.parametrize(
    "transform",
    [
        v2.ColorJitter(hue=0.1),
        v2.Compose([v2.ColorJitter(0.1), v2.RandomHorizontalFlip()]),
        v2.RandomResizedCrop(24),  # reduces more than a sample a pixel bears
        v2.RandomRotation(10),  # nearest neighbour
        v2.TrivialAugmentWide(),
    ],
)
def test_the_rest_is_left_to_torchvision(transform: object) -> None:
    assert fuse(transform, SIZE) is None


@pytest.mark.parametrize("transform", [everything(), v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(hue=0.1)])])
def test_photos_on_the_device_are_the_same(pixels: np.ndarray, transform: v2.Compose) -> None:
    """The path of a GPU, walked on the processor: bare batches, images added after the transfer."""
    epochs = []
    for place in ("processor", "device"):
        roles = np.array(["train"] * 16 + ["val"] * 4 + ["test"] * 4)
        data = FoldData(pixels, np.arange(N) % 3, roles, batch_size=5, transform=transform, seed=1, photos_on=place)
        batches = []
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            if hasattr(loader.sampler, "set_epoch"):
                loader.sampler.set_epoch(2)
            batches += [data.on_after_batch_transfer(batch, 0) for batch in loader]
        epochs.append(batches)
    for one, other in zip(*epochs, strict=True):
        assert set(one) == set(other) == {"image", "target", "row"}
        assert torch.equal(one["row"], other["row"]) and torch.equal(one["target"], other["target"])
        torch.testing.assert_close(one["image"].float(), other["image"].float(), atol=0.02, rtol=0)
