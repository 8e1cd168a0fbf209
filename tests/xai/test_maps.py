"""Maps against their definitions, written out with autograd, and against sums that they must give."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from mpox.errors import UserError
from mpox.model.backbone import PhotoClassifier, build, input_record
from mpox.options import config_dir
from mpox.xai.cams import METHODS, ClassActivation, is_blank, shown, upsampled
from mpox.xai.class_activation import ExactMaps
from mpox.xai.gradients import BASELINE_BLUR, IntegratedGradients, blurred
from mpox.xai.layers import find_layer

MODELS = sorted(path.stem for path in Path(config_dir()).glob("model/*.yaml"))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 255


@pytest.fixture(scope="module")
def resnet() -> PhotoClassifier:
    """Its last layer is pooled and fed to the head, nothing between: sums over its maps are known."""
    torch.manual_seed(1)
    name = "resnet50.tv_in1k"
    return build(name, 4, input_record(name)).eval()


def features_and_gradients(network: PhotoClassifier, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of layer4 and their gradient by plain autograd, and the logits."""
    backbone = network.backbone
    features = backbone.forward_features(network.normalise(images)).detach().requires_grad_(True)
    logits = backbone.forward_head(features)
    (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), features)
    return features.detach(), gradient, logits.detach()


def test_gradcam_and_hirescam_are_what_their_papers_define(resnet: PhotoClassifier, images: Tensor) -> None:
    targets = torch.tensor([0, 3, 1])
    features, gradient, logits = features_and_gradients(resnet, images, targets)
    gradcam = ClassActivation(resnet, images, method="gradcam")
    assert gradcam.layer == "layer4"
    expected = (gradient.mean((2, 3), keepdim=True) * features).sum(1)
    np.testing.assert_allclose(gradcam(images, targets), expected.numpy(), rtol=1e-3, atol=1e-6)
    hirescam = ClassActivation(resnet, images, method="hirescam")(images, targets)
    np.testing.assert_allclose(hirescam, (gradient * features).sum(1).numpy(), rtol=1e-3, atol=1e-6)
    # Mean pooling and a linear head: what HiRes-CAM gives each place adds up to the logit less the bias.
    bias = resnet.head.bias.detach()[targets]
    np.testing.assert_allclose(hirescam.sum((1, 2)), (logits[range(3), targets] - bias).numpy(), rtol=1e-3, atol=1e-4)


def test_the_network_is_left_as_it_was(resnet: PhotoClassifier, images: Tensor) -> None:
    ClassActivation(resnet, images)(images, torch.tensor([0, 1, 2]))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in resnet.parameters())
    assert not any(module._forward_hooks for module in resnet.modules())
    assert resnet.backbone.act1.inplace


def test_integrated_gradients_add_up_to_the_difference_of_logits(images: Tensor) -> None:
    torch.manual_seed(0)
    name = "mobilenetv3_small_100.lamb_in1k"
    network = build(name, 4, input_record(name)).eval()
    targets = torch.tensor([2, 0, 1])
    maps = IntegratedGradients(network, steps=64, batch_size=8)(images, targets)
    assert maps.shape == (3, 96, 96)
    with torch.no_grad():
        ends = network(images) - network(blurred(images, BASELINE_BLUR))
    np.testing.assert_allclose(maps.sum((1, 2)), ends[range(3), targets].numpy(), rtol=0.02, atol=1e-5)


def test_blur_is_torchvisions(images: Tensor) -> None:
    expected = gaussian_blur(images, [29, 29], [4.8, 4.8])
    torch.testing.assert_close(blurred(images, 0.05), expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_finite_maps_that_differ_between_photos(method: str, images: Tensor) -> None:
    torch.manual_seed(0)
    name = "mobilenetv3_small_100.lamb_in1k"
    network = build(name, 4, input_record(name)).eval()
    explainer = ClassActivation(network, images, method=method)
    maps = explainer(images[:2], torch.tensor([0, 1]))
    assert maps.shape == (2, 3, 3)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
    assert maps.std((1, 2)).min() > 0
    assert not np.allclose(maps[0], maps[1])
    # One photo at a time or together: the same.
    np.testing.assert_allclose(explainer(images[1:2], torch.tensor([1])), maps[1:2], rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_exact_maps_add_up_to_the_logit_of_their_class(images: Tensor) -> None:
    torch.manual_seed(0)
    name = "mobilenetv3_small_100.lamb_in1k"
    with pytest.raises(UserError, match=r"explain=cam has no exact maps .* give explain=gradcam"):
        ExactMaps(build(name, 4, input_record(name)), images)  # a layer follows its averages
    name = "mobilenetv2_050.lamb_in1k"
    network = build(name, 4, input_record(name), features="stages").eval()
    targets = torch.tensor([0, 3, 1])
    maps = ExactMaps(network, images, batch_size=2)(images, targets)
    expected = network(images)[range(3), targets] - network.head.bias[targets]
    assert maps.shape == (3, 3, 3)
    np.testing.assert_allclose(maps.mean((1, 2)), expected.numpy(), rtol=1e-3, atol=1e-4)


def test_the_layer_is_deep_enough_and_no_deeper(images: Tensor) -> None:
    torch.manual_seed(0)
    name = "mobilenetv3_small_100.lamb_in1k"
    network = build(name, 4, input_record(name)).eval()
    assert find_layer(network, images)[0] == "blocks.5"
    # At 32 pixels the last layers are a single place, which can show nothing.
    assert find_layer(network, images[..., :32, :32])[0] == "blocks.3"
    assert find_layer(network, images, "blocks.2")[0] == "blocks.2"
    # Small lesions want finer maps; the deepest that is fine enough is taken.
    assert [find_layer(network, images, least_side=side)[0] for side in (3, 4, 6, 12)] == [
        *("blocks.5", "blocks.3", "blocks.3", "blocks.1")
    ]
    with pytest.raises(UserError, match=r"blocks\.0 gives maps of 24x24"):
        find_layer(network, images, least_side=49)
    with pytest.raises(UserError, match=r"no layer 'blocks\.9'"):
        find_layer(network, images, "blocks.9")
    with pytest.raises(UserError, match="classifier gives no 4-D maps"):
        find_layer(network, images, "classifier")
    network.head.weight.data.zero_()
    with pytest.raises(UserError, match="zero gradient"):
        find_layer(network, images)


def test_shown_maps_are_scaled_and_a_blank_one_is_recognised() -> None:
    raw = np.array([[[0.0, 4.0], [-2.0, 0.0]], [[-1.0, -3.0], [-2.0, -0.5]]], np.float32)
    maps = shown(raw, 8)
    assert maps.shape == (2, 8, 8)
    assert maps[0].max() == 1
    assert maps.min() == 0
    assert not maps[1].any()
    assert is_blank(raw).tolist() == [False, True]
    assert upsampled(raw, 8).min() == pytest.approx(-3)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_a_valid_map(model: str) -> None:
    conf = yaml.safe_load((Path(config_dir()) / "model" / f"{model}.yaml").read_text())
    timm_name, record = conf["timm_name"], input_record(conf["timm_name"])
    torch.manual_seed(0)
    network = build(timm_name, 4, record, features=conf["features"]).eval()
    images = torch.rand(1, 3, record.image_size, record.image_size) * 255
    explainer = ClassActivation(network, images)
    maps = explainer(images, torch.tensor([1]))
    assert min(maps.shape[1:]) > 1
    assert np.isfinite(maps).all()
    assert maps.any()
