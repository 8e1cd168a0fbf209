"""A head on the pooled maps of the later stages: its features, its maps, its probe, its file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mpox.errors import UserError
from mpox.model.backbone import PhotoClassifier, build, input_record
from mpox.model.checkpoint import Card, load_checkpoint, save_checkpoint
from mpox.model.class_maps import ClassMaps, why_no_maps
from mpox.model.cost import count_cost
from mpox.model.probe import Problem, fit_heads
from mpox.model.stages import feature_maps, pooled_features

NAME, CLASSES, SIDE = "mobilenetv3_small_050.lamb_in1k", ("a", "b", "c"), 80


@pytest.fixture(scope="module")
def network() -> PhotoClassifier:
    torch.manual_seed(0)
    built = build(
        "mobilenetv2_050.lamb_in1k", len(CLASSES), input_record("mobilenetv2_050.lamb_in1k"), features="stages"
    )
    for module in built.modules():  # random networks give nearly the same for every photo
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -1, 1)
    return built.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return 255 * torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_features_are_the_means_of_the_stages_and_the_last_features(network: PhotoClassifier, images: Tensor) -> None:
    blocks: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda *parts: blocks.append(parts[2])) for block in network.backbone.blocks]
    last = network.backbone.forward_features(network.normalise(images))
    for hook in hooks:
        hook.remove()
    expected = [one.mean((2, 3)) for one in blocks if one.shape[-1] <= SIDE / 8] + [last.mean((2, 3))]
    assert network.feature_widths == tuple(one.shape[1] for one in expected)
    features = network.features(images)
    torch.testing.assert_close(features, torch.cat(expected, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network(images), network.head_logits(features), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("side", [SIDE, 72, 130])  # 72: maps of 9, 5 and 3 places a side, none a multiple of another
def test_the_mean_of_the_class_maps_is_the_logit(network: PhotoClassifier, side: int) -> None:
    images = 255 * torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    assert why_no_maps(network, images) is None
    maps = ClassMaps(network, images)(network.maps(network.normalise(images)))
    assert maps.shape[2:] == network.backbone.forward_features(network.normalise(images)).shape[2:]
    torch.testing.assert_close(maps.mean((2, 3)) + network.head.bias, network(images), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_map_shows_where_the_stages_give_evidence(network: PhotoClassifier, images: Tensor) -> None:
    """Of a head on one channel of the first stage alone, the map is that channel, at the grid of the last features."""
    weight = torch.zeros(len(CLASSES), sum(network.feature_widths))
    weight[1, 0] = 1.0
    own = build("mobilenetv2_050.lamb_in1k", 3, input_record("mobilenetv2_050.lamb_in1k"), features="stages").eval()
    own.set_head(weight, torch.zeros(3))
    normalised = own.normalise(images[:, :, :64, :64])
    maps = own.maps(normalised)
    found = ClassMaps(own, images[:, :, :64, :64])(maps)
    torch.testing.assert_close(found[:, 1], nn.functional.avg_pool2d(maps[0][:, 0], 4), atol=1e-5, rtol=1e-4)
    assert not found[:, [0, 2]].any()


def test_parts_count_the_same_whatever_their_unit() -> None:
    """A probe's answers do not change when one part of its features is given in another unit."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(90) % 3
    parts = [torch.randn(90, width, generator=generator) + targets[:, None] for width in (4, 9)]
    train = (torch.arange(90) < 60)[None]

    def answers(parts: list[Tensor], widths: tuple[int, ...]) -> Tensor:
        features = torch.cat(parts, 1)
        (head,) = fit_heads(Problem(features, targets, train, ~train, torch.ones(1, 3), widths), [0.3])
        return features @ head.weight.T + head.bias

    other = [parts[0] * 1000, parts[1]]
    torch.testing.assert_close(answers(parts, (4, 9)), answers(other, (4, 9)), atol=1e-3, rtol=1e-3)
    assert (answers(parts, ()) - answers(other, ())).abs().max() > 0.1


def test_a_checkpoint_keeps_what_its_head_is_a_layer_of(
    network: PhotoClassifier, images: Tensor, tmp_path: Path
) -> None:
    name = "mobilenetv2_050.lamb_in1k"
    card = Card(name, CLASSES, None, input_record(name), "study", "model", 0, "0" * 64, features="stages")
    save_checkpoint(tmp_path / "checkpoint.ckpt", network, card)
    again, read = load_checkpoint(tmp_path / "checkpoint.ckpt")
    assert read.features == "stages"
    with torch.no_grad():
        torch.testing.assert_close(again(images), network(images))


def test_a_cnn_without_stages_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"model\.features=last"):
        build("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 3, input_record("vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
              features="stages")  # fmt: skip
    with pytest.raises(UserError, match=r"model\.features=all is unknown"):
        build(NAME, 3, input_record(NAME), features="all")


def test_last_features_are_the_same_in_timms_own_way(network: PhotoClassifier, images: Tensor) -> None:
    with torch.no_grad():
        normalised = network.normalise(images)
        alone = pooled_features(network.backbone, feature_maps(network.backbone, normalised, None))
        torch.testing.assert_close(network.features(images)[:, -alone.shape[1] :], alone)


def test_the_head_is_counted() -> None:
    more, less = (count_cost(NAME, 3, 64, features) for features in ("stages", "last"))
    stages = build(NAME, 3, input_record(NAME), features="stages").stages
    assert stages is not None
    assert more.parameters - less.parameters == more.macs - less.macs == 3 * sum(stages.widths)
