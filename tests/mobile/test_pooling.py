"""Pools as convolutions: the same means, and no operator for a slow kernel."""

from pathlib import Path

import pytest
import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
from torch import Tensor, nn
from torch.nn import functional as F
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from mpox.mobile.file.lower import lower
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.file.operators import count_operators
from mpox.mobile.int8.pooling import convolve_pools
from mpox.mobile.int8.quantize import Calibrated
from mpox.mobile.int8.quantizer import PhoneQuantizer
from mpox.model.backbone import build, input_record

POOL = torch.ops.aten.avg_pool2d.default


class Pools(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (
            F.avg_pool2d(images, 3, stride=1, padding=1),
            F.avg_pool2d(images, 2),
            F.avg_pool2d(images, (2, 3), stride=(1, 2), padding=(1, 0)),
            F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False),
            F.avg_pool2d(images, 3, stride=2, ceil_mode=True),
        )


def test_means_are_the_same_and_other_pools_are_unchanged() -> None:
    images = torch.randn(2, 5, 9, 8, generator=torch.Generator().manual_seed(0))
    graph = torch.export.export(Pools(), (images,)).module()
    convolve_pools(graph)
    for found, expected in zip(graph(images), Pools()(images), strict=True):
        torch.testing.assert_close(found, expected)
    assert sum(node.target is POOL for node in graph.graph.nodes) == 2


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(F.avg_pool2d(torch.relu(self.first(images)), 3, stride=1, padding=1))


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_pool_is_quantized_as_a_depthwise_layer_is(dynamic: bool) -> None:
    torch.manual_seed(0)
    network, images = Pooled().eval(), torch.randn(4, 3, 16, 16)
    graph = torch.export.export(network, (images,)).module()
    convolve_pools(graph)
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
    prepared = prepare_pt2e(graph, PhoneQuantizer(config, lambda node: False))
    prepared(images)
    converted = convert_pt2e(prepared)
    expected = network(images)
    assert float((converted(images) - expected).abs().mean()) < 0.02 * float(expected.abs().max())


@pytest.mark.slow
def test_no_pool_is_left_to_a_slow_kernel(tmp_path: Path) -> None:
    name, size = "inception_v3.tf_in1k", 144
    classifier = build(name, 4, input_record(name, size)).eval()
    network = PhoneNetwork(classifier, image_size=size, maps=False)
    images = 255 * torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    quantized = Calibrated(network, images).converted()
    lower(quantized, tmp_path / "model.pte", image_size=size, temperature=1.0, maps=False, constants={})
    assert not [operator for operator in count_operators(tmp_path / "model.pte").portable if "pool" in operator]
