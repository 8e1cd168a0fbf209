"""Int8 arithmetic: ranges, operators rounded together, biases, and the verdict on what it changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mpox.errors import UserError
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.int8.quantize import HEAD, Calibrated
from mpox.mobile.int8.quantizer import CLAMPS
from mpox.mobile.int8.ranges import ActivationRange, least_error_range, observers
from mpox.mobile.run.verify import Bound, verify
from mpox.model.backbone import build, input_record
from mpox.model.class_maps import why_no_maps
from mpox.runs.opened import OpenedRun, open_run
from mpox.stats.decision import DecisionRule
from mpox.stats.decision_fit import fit_decision


@pytest.fixture(scope="module")
def run(phone_run: Path) -> OpenedRun:
    return open_run(phone_run, device="cpu")


@pytest.fixture(scope="module")
def calibrated(run: OpenedRun) -> Calibrated:
    network = PhoneNetwork(run.network, image_size=96, maps=False)
    return Calibrated(network, run.images(run.rows("train")[:16]))


@pytest.mark.parametrize("outlier", [None, 60.0])
def test_the_range_is_that_of_least_error(outlier: float | None) -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    if outlier is not None:
        values[0] = outlier
    low, high = least_error_range(values, 255)

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        zero = round(-low / step) - 128
        return float((torch.fake_quantize_per_tensor_affine(values, step, zero, -128, 127) - values).square().mean())

    ends = np.linspace(0.5, 60 if outlier else 4.2, 120)
    best = min(error(-low, high) for low in np.linspace(1.5, 4.2, 40) for high in ends)
    assert error(float(low), float(high)) <= 1.05 * best


def test_relu6_and_its_convolution_are_rounded_as_one(calibrated: Calibrated) -> None:
    graph = calibrated.prepared
    clamps = [node for node in graph.graph.nodes if node.target in CLAMPS]
    assert len(clamps) == 33
    for clamp in clamps:
        assert clamp.args[0].op == "call_function"  # nothing is rounded between the two
        (rounding,) = clamp.users
        observer = graph.get_submodule(str(rounding.target))
        assert isinstance(observer, ActivationRange)
        assert float(observer.step) <= 6 / 255 + 1e-6 and int(observer.zero) == -128


@pytest.mark.slow
def test_averages_for_the_head_are_not_rounded(calibrated: Calibrated, run: OpenedRun) -> None:
    """The head takes the averages of maps in float; squeeze-and-excitation, by contrast, is in int8."""
    aten = torch.ops.aten
    kinds = (aten.adaptive_avg_pool2d.default, aten.mean.dim)
    averages = [node for node in calibrated.prepared.graph.nodes if node.target in kinds]
    assert len(averages) == len(run.network.feature_widths) > 1
    for average in averages:
        users = list(average.users)
        while users[0].target != aten.linear.default:
            assert users[0].op == "call_function"  # an observer would be a call of a module
            users = list(users[0].users)
        assert average.args[0].op == "call_module"  # the maps themselves are rounded
    name = "mobilenetv3_small_100.lamb_in1k"
    network = PhoneNetwork(build(name, 4, input_record(name, 64)), image_size=64, maps=False)
    gates = [
        user
        for node in Calibrated(network, torch.rand(2, 3, 64, 64) * 255).prepared.graph.nodes
        if node.target == torch.ops.aten.mean.dim
        for user in node.users
    ]
    assert gates and all(user.op == "call_module" for user in gates)


@pytest.mark.slow
def test_the_network_itself_is_unchanged(run: OpenedRun) -> None:
    network = PhoneNetwork(run.network, image_size=96, maps=False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrated = Calibrated(network, run.images(run.rows("train")[:4]))
    calibrated.converted()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_int8_is_simulated_as_it_will_be(calibrated: Calibrated, run: OpenedRun) -> None:
    images = run.images(run.rows("test")[:6])
    with torch.no_grad():
        converted = calibrated.converted()(images)[0]
    assert torch.allclose(calibrated.logits(images), converted, atol=0.02)


@pytest.mark.slow
def test_more_photos_change_little(calibrated: Calibrated, run: OpenedRun) -> None:
    images = run.images(run.rows("test"))
    more = Calibrated(calibrated.network, run.images(run.rows("train")))
    with torch.no_grad():
        exact = calibrated.network(images)[0].softmax(1)
    few, many = (float((one.logits(images).softmax(1) - exact).abs().mean()) for one in (calibrated, more))
    assert few < 0.05 and many < 0.05


@pytest.mark.slow
def test_sensitivities_name_units_that_can_stay_in_float(calibrated: Calibrated, run: OpenedRun) -> None:
    images = run.images(run.rows("train")[:4])
    changes = Calibrated(calibrated.network, images, round_weights=False).sensitivities(images)
    assert list(changes.values()) == sorted(changes.values(), reverse=True) and changes["blocks.0.0"] > 0
    assert HEAD not in changes  # is in float already
    kept = Calibrated(calibrated.network, run.images(run.rows("train")[:16]), ["blocks.0.0", "conv_stem"])
    assert len(observers(kept.prepared)) < len(observers(calibrated.prepared))


def test_maps_are_left_out_where_they_would_not_be_exact() -> None:
    def network_of(name: str) -> str | None:
        record = input_record(name, 64)
        images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
        return why_no_maps(build(name, 3, record).eval(), images)

    assert network_of("resnet50.a1_in1k") is None
    assert "only for averages" in str(network_of("mobilenetv3_small_100.lamb_in1k"))


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 3, n)
    logits = random.normal(size=(n, 3)).astype("float32")
    logits[np.arange(n), targets] += 2
    return targets, logits, (logits + random.normal(scale=0.3, size=(n, 3))).astype("float32")


@pytest.mark.parametrize("n", [30, 400])
def test_the_verdict_follows_from_the_predictions(n: int) -> None:
    targets, network, file = draw(n, n)
    groups = np.arange(n) // 2
    rule = fit_decision(network, targets, groups, 0, target_sensitivity=0.9, coverage=0.9)
    report = verify(
        network, file, rule=rule, targets_N=targets,
        groups=groups, classes=("mpox", "acne", "healthy"), positive=0, bound=Bound(0.8, 0.05),
    )  # fmt: skip
    predicted = network.argmax(1), file.argmax(1)
    assert report["agreement"]["value"] == pytest.approx(np.mean(predicted[0] == predicted[1]))
    scores = [balanced_accuracy_score(targets, one) for one in predicted]
    assert report["balanced_accuracy_lost"]["value"] == pytest.approx(scores[0] - scores[1])
    assert report["exported"]["accuracy"] == pytest.approx(accuracy_score(targets, predicted[1]))
    assert report["pytorch"]["sensitivity_at_threshold"] >= 0.9
    assert report["kept"] == (np.mean(predicted[0] == predicted[1]) >= 0.8 and scores[0] - scores[1] <= 0.05)


def test_too_few_photos_are_noted() -> None:
    targets, logits, _ = draw(20, 0)
    side = DecisionRule(1.0, None)
    report = verify(
        logits, logits, rule=side, targets_N=targets, groups=np.arange(20),
        classes=("a", "b", "c"), positive=None, bound=Bound(0.98, 0.01),
    )  # fmt: skip
    assert report["kept"] and "too few to be certain" in report["note"]


def test_no_photos_no_verdict() -> None:
    empty, side = np.zeros((0, 3), "float32"), DecisionRule(1.0, None)
    with pytest.raises(UserError, match="no held-out photos"):
        verify(
            empty, empty, rule=side, targets_N=np.zeros(0, int), groups=[],
            classes=("a", "b", "c"), positive=None, bound=Bound(0.98, 0.01),
        )  # fmt: skip
