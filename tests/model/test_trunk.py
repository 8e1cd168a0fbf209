"""The frozen layers run beforehand: the same logits and gradients as with the photos, to the last bit."""

import pytest
import torch
from torch import Tensor, nn

from mpox.model.backbone import PhotoClassifier, build, input_record
from mpox.model.classifier import LesionClassifier
from mpox.model.trunk import NoTrunkError, find_trunk

SIDE = 96


def prepared(name: str, features: str = "stages", depth: float = 0.33, norms: str = "frozen") -> PhotoClassifier:
    """A random network in the state in which fine-tuning begins."""
    torch.manual_seed(0)
    network = build(name, 3, input_record(name), features=features)
    module = LesionClassifier(network, torch.optim.SGD, epochs=1, frozen_depth=depth, norms=norms, depthwise="frozen")
    module.train()
    module.freeze_norms()
    return network


def images(n: int = 6) -> Tensor:
    return torch.randint(0, 256, (n, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("features", ["last", "stages"])
@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("mobilenetv3_small_100.lamb_in1k", 0.33),
        ("mobilenetv3_small_100.lamb_in1k", 0.7),  # stages that are pooled end within the frozen layers
        ("tf_efficientnet_lite0.in1k", 0.33),
        ("mobilenetv4_conv_small.e2400_r224_in1k", 0.7),
        ("repvgg_a0.rvgg_in1k", 0.33),
        ("regnety_004.pycls_in1k", 0.7),
    ],
)
def test_what_the_frozen_layers_gave_leads_to_the_same_logits_and_gradients(
    name: str, depth: float, features: str
) -> None:
    network = prepared(name, features, depth)
    trunk = find_trunk(network)
    assert trunk.layers and (depth < 0.5 or features == "last" or trunk.inner)
    order = torch.tensor([4, 1, 5, 0, 3, 2])  # the batch that trains is not the one that was run beforehand
    network.train()  # as Lightning sets it before the first epoch
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = trunk.run(images())[order]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    network.eval()
    targets, learned = torch.tensor([0, 1, 2, 0, 1, 2]), [p for p in network.parameters() if p.requires_grad]

    def gradients(logits: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(nn.functional.cross_entropy(logits, targets), learned))

    with_photos, with_maps = network(images()[order]), trunk.logits(found)
    assert torch.equal(with_maps, with_photos)
    assert all(map(torch.equal, gradients(with_maps), gradients(with_photos)))
    assert torch.equal(network(images()), with_photos[order.argsort()])  # the layers are themselves again


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"norms": "train", "depth": 0.0}, "no layer at the beginning is frozen"),
        ({"name": "legacy_xception.tf_in1k"}, "no chain"),
    ],
)
def test_networks_without_such_layers_are_recognised(change: dict[str, object], why: str) -> None:
    options: dict[str, object] = {"name": "mobilenetv3_small_100.lamb_in1k", **change}
    with pytest.raises(NoTrunkError, match=why):
        find_trunk(prepared(**options))  # type: ignore[arg-type]


def test_layers_on_which_the_batch_or_chance_has_an_influence_are_recognised() -> None:
    network = prepared("mobilenetv3_small_100.lamb_in1k")
    network.backbone.bn1.train()
    with pytest.raises(NoTrunkError, match="depends on the batch or on chance"):
        find_trunk(network)
    assert network.backbone.bn1.training and network.training  # found as they were
    network.backbone.bn1.eval()
    network.backbone.blocks[0].append(nn.Dropout(0.5))
    with pytest.raises(NoTrunkError, match="Dropout depends"):
        find_trunk(network)


def test_a_network_that_uses_the_photo_again_later_is_recognised() -> None:
    network = prepared("mobilenetv3_small_100.lamb_in1k", "last")
    usual = network.backbone.forward_features

    def with_the_photo(x: Tensor) -> Tensor:
        maps = usual(x)
        return maps + nn.functional.adaptive_avg_pool2d(x, maps.shape[-2:]).mean(1, keepdim=True)

    network.backbone.forward_features = with_the_photo
    with pytest.raises(NoTrunkError, match="no chain"):
        find_trunk(network)
