"""The measures on cases whose answer is known, or against an independent computation."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from mpox.model.backbone import build, input_record
from mpox.stats.intervals import mean_interval
from mpox.xai.baselines import centre_maps, edge_maps, random_maps
from mpox.xai.cams import ClassActivation
from mpox.xai.faithfulness import STEPS, deletion_insertion, road
from mpox.xai.gradients import blurred
from mpox.xai.localisation import best_iou, energy_in_mask, pointing_game
from mpox.xai.map_similarity import rank_correlation
from mpox.xai.regions import corners, frame, hidden, only, with_margin
from mpox.xai.sanity import DEPTHS, randomisation, shuffle_from
from mpox.xai.stability import as_jpeg, between_models, recompressed, shifted

SIDE = 32


class Quadrant(nn.Module):
    """Class 1 by the brightness of the upper left quarter alone."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images[:, :, : SIDE // 2, : SIDE // 2].mean((1, 2, 3)) / 255
        return torch.stack([torch.zeros_like(bright), 20 * (bright - 0.6)], 1)


@pytest.fixture
def bright() -> Tensor:
    """Two photos, bright noise in the quadrant, dark elsewhere."""
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 60
    images[:, :, : SIDE // 2, : SIDE // 2] += 180
    return images


def right_map() -> np.ndarray:
    maps = np.zeros((2, SIDE, SIDE), np.float32)
    maps[:, : SIDE // 2, : SIDE // 2] = 1
    return maps


def test_deletion_and_insertion_against_a_plain_loop(bright: Tensor) -> None:
    maps = np.random.default_rng(0).random((2, SIDE, SIDE)).astype(np.float32)
    deleted, inserted = deletion_insertion(Quadrant(), bright, maps, torch.tensor([1, 1]))
    for k, image in enumerate(bright):
        order = np.argsort(-maps[k].ravel(), kind="stable")
        start = blurred(image[None], 0.05)[0]
        curves: tuple[list[float], list[float]] = ([], [])
        for step in range(STEPS + 1):
            mask = np.zeros(SIDE * SIDE, bool)
            mask[order[: round(step * SIDE * SIDE / STEPS)]] = True
            chosen = torch.from_numpy(mask.reshape(SIDE, SIDE))
            mean = image.mean((1, 2))[:, None, None]
            for curve, picture in zip(
                curves, (torch.where(chosen, mean, image), torch.where(chosen, image, start)), strict=True
            ):
                curve.append(Quadrant()(picture[None]).softmax(1)[0, 1].item())
        assert deleted[k] == pytest.approx(np.trapezoid(curves[0], dx=1 / STEPS), abs=1e-4)
        assert inserted[k] == pytest.approx(np.trapezoid(curves[1], dx=1 / STEPS), abs=1e-4)


def test_a_right_map_beats_random_and_inverted_ones(bright: Tensor) -> None:
    targets = torch.tensor([1, 1])
    maps = {"right": right_map(), "random": random_maps(2, SIDE, 0), "inverted": 1 - right_map()}
    scores = {name: deletion_insertion(Quadrant(), bright, kind, targets) for name, kind in maps.items()}
    roads = {name: road(Quadrant(), bright, kind, targets) for name, kind in maps.items()}
    for k in range(2):
        assert scores["right"][0][k] < scores["random"][0][k] < scores["inverted"][0][k]
        assert scores["right"][1][k] > scores["random"][1][k] > scores["inverted"][1][k]
        assert roads["right"][k] > roads["random"][k] > roads["inverted"][k]


def test_blank_maps_are_removed_in_no_order_of_place(bright: Tensor) -> None:
    """Ties go at random: a blank map must score as a random one does, not as a sweep from the top left."""
    blank = np.zeros((2, SIDE, SIDE), np.float32)
    deleted, _ = deletion_insertion(Quadrant(), bright, blank, torch.tensor([1, 1]))
    noise = [random_maps(2, SIDE, seed) for seed in range(5)]
    chance = [deletion_insertion(Quadrant(), bright, maps, torch.tensor([1, 1]))[0] for maps in noise]
    assert np.abs(deleted - np.mean(chance, 0)).max() < 0.05


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 4, 7, 7))
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)
    assert rank_correlation(np.ones((1, 3, 3)), second[:1, :3, :3]).tolist() == [0.0]


def test_intervals_follow_groups() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=60)
    own = mean_interval(values, np.arange(60))
    reference = stats.bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=1).confidence_interval
    assert (own.low, own.high) == pytest.approx((reference.low, reference.high), abs=0.05)
    # Four copies of each photo carry no more information than one; taken as independent, they would seem to.
    fourfold = mean_interval(np.repeat(values, 4), np.repeat(np.arange(60), 4))
    assert (fourfold.low, fourfold.high) == pytest.approx((own.low, own.high), abs=1e-9)
    assert mean_interval(np.repeat(values, 4), np.arange(240)).high < fourfold.high - 0.05
    gap = values.copy()
    gap[:3] = np.nan
    assert mean_interval(gap, np.arange(60)).value == pytest.approx(values[3:].mean())
    assert mean_interval(np.full(3, np.nan), np.arange(3)).value is None
    assert mean_interval(np.ones(12), np.arange(12)).low is None  # of no width: not known, not certain


def test_localisation_by_hand() -> None:
    masks = np.zeros((3, 4, 4), bool)
    masks[:2, :2, :2] = True
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0, :2, :2], maps[0, 3, 3] = 0.75, 1.0
    maps[1, 0, 0] = 1.0
    energy, pointing, iou = (measure(maps, masks) for measure in (energy_in_mask, pointing_game, best_iou))
    assert energy[:2] == pytest.approx([0.75, 1.0])
    assert pointing[:2].tolist() == [0.0, 1.0]
    assert iou[:2] == pytest.approx([0.8, 0.25])
    assert np.isnan([energy[2], pointing[2], iou[2]]).all()
    blank = np.zeros((1, 4, 4), np.float32)
    assert (energy_in_mask(blank, masks[:1])[0], pointing_game(blank, masks[:1])[0]) == (0, 0)


def test_baselines_know_edges_and_the_centre() -> None:
    pixels = np.full((1, 64, 64, 3), 90, np.uint8)
    pixels[0, :, 48:] = 200
    edges = edge_maps(pixels, 8)
    assert edges.shape == (1, 8, 8)
    assert edges[0].mean(0).argmax() in (5, 6)
    centre = centre_maps(2, 7)
    assert np.unravel_index(centre[1].argmax(), (7, 7)) == (3, 3)
    assert not np.array_equal(random_maps(2, 5, 0), random_maps(2, 5, 1))


def test_shuffling_goes_from_the_head_downwards() -> None:
    torch.manual_seed(0)
    name = "mobilenetv3_small_100.lamb_in1k"
    network = build(name, 4, input_record(name)).eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}

    def changed() -> set[str]:
        return {key for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])}

    shuffle_from(network, 1.0, 0)
    # Biases start as zeros, which shuffling leaves; timm counts conv_head to the head.
    assert changed() == {"backbone.conv_head.weight", "backbone.classifier.weight"}
    shuffle_from(network, 0.0, 0)
    assert "backbone.conv_stem.weight" in changed()
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor.flatten().sort()[0], before[key].flatten().sort()[0])


def test_the_sanity_check_separates_an_edge_detector_from_gradcam() -> None:
    torch.manual_seed(0)
    name = "mobilenetv3_small_100.lamb_in1k"
    network = build(name, 4, input_record(name)).eval()
    images = torch.rand(4, 3, 96, 96) * 255

    class Edges:
        method, layer = "edges", "input"

        def __init__(self, *_: object) -> None: ...

        def __call__(self, images: Tensor, _: Tensor) -> np.ndarray:
            return edge_maps(images.permute(0, 2, 3, 1).numpy(), 7)

    targets = torch.tensor([0, 1, 2, 3])
    fooled = randomisation(network, Edges, images, targets)
    assert list(fooled) == list(DEPTHS)
    assert all(values == pytest.approx(1) for values in fooled.values())
    honest = randomisation(network, ClassActivation, images, targets)
    assert abs(honest[0.0].mean()) < 0.6
    cam = ClassActivation(network, images)
    assert shifted(Edges(), images, targets).min() > 0.5
    assert (recompressed(cam, images, targets) <= 1 + 1e-9).all()
    same = cam(images, targets)
    assert between_models([same, same]) == pytest.approx(1)
    with pytest.raises(ValueError, match="two models"):
        between_models([same])
    assert (as_jpeg(images) - images).abs().mean() > 1


def test_regions_hide_and_show_the_right_pixels() -> None:
    photo = np.full((50, 50, 3), 120, np.uint8)
    lesion = np.zeros((50, 50), bool)
    lesion[20:26, 20:26] = True
    photo[lesion] = (200, 20, 20)
    filled = hidden(photo, with_margin(lesion))
    assert np.abs(filled.astype(int) - 120).max() <= 1
    assert hidden(photo, np.zeros_like(lesion)) is photo
    alone = only(photo, lesion, np.array([10.0, 20.0, 30.0]))
    assert (alone[lesion] == (200, 20, 20)).all()
    assert (alone[~lesion] == (10, 20, 30)).all()
    border = frame(50)
    assert border[0].all()
    assert border[:, 3].all()
    assert not border[10:40, 10:40].any()


def test_corners_leave_lesions_out_without_showing_where_they_were() -> None:
    photo = np.zeros((52, 52, 3), np.uint8)
    photo[:10, :10] = 250
    lesion = np.zeros((52, 52), bool)
    whole = corners(photo, lesion)
    assert whole is not None
    assert whole.shape == (20, 20, 3)
    assert (whole[:10, :10] == 250).all()
    lesion[:4, :4] = True
    without = corners(photo, lesion)
    assert without is not None
    assert without.shape == (20, 20, 3)
    assert not without.any()
    assert corners(photo, ~np.zeros_like(lesion)) is None
