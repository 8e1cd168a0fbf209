"""int8_qat begins where int8_static ends, and is never worse than it."""

import pytest
import torch

from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.int8.quantize import Calibrated
from mpox.mobile.int8.recipes import RecipeOptions, RecipePhotos, make
from mpox.mobile.run.verify import DEFAULT_BOUND
from mpox.model.backbone import build, input_record

NAME = "mobilenetv3_small_100.lamb_in1k"


@pytest.fixture(scope="module")
def network() -> PhoneNetwork:
    torch.manual_seed(0)
    return PhoneNetwork(build(NAME, 4, input_record(NAME, 64)).eval(), image_size=64, maps=False)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255


@pytest.mark.slow
def test_tuning_starts_from_the_rounded_network(network: PhoneNetwork, images: torch.Tensor) -> None:
    calibrated = Calibrated(network, images)
    before = calibrated.logits(images)
    calibrated.tune(lambda step: images, steps=1, rate=0.0)
    torch.testing.assert_close(calibrated.logits(images), before)


@pytest.mark.slow
def test_a_tuning_that_spoils_the_network_is_not_kept(network: PhoneNetwork, images: torch.Tensor) -> None:
    photos = RecipePhotos(calibration=images, validation=images[:2], training=lambda step: images)
    made = make("int8_qat", network, photos, RecipeOptions(DEFAULT_BOUND, tune_steps=2, tune_rate=1.0))
    assert made.facts["kept"] == "before tuning"
    assert made.facts["after_tuning"]["divergence"] > made.facts["before_tuning"]["divergence"]
    static = make("int8_static", network, photos, RecipeOptions(DEFAULT_BOUND, tune_steps=2, tune_rate=1.0))
    with torch.no_grad():
        for image in images.split(1):
            torch.testing.assert_close(made.network(image)[0], static.network(image)[0])
