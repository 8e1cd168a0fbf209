"""Pruned channels: the network is smaller, in multiples of eight, exports exactly, and is as good as reported."""

from pathlib import Path

import pytest
import torch
from phone_exports import export_config
from torch import nn

from mpox.commands.export import export
from mpox.errors import UserError
from mpox.mobile.export.prune import NotPrunableError, Tuning, prune, prune_run
from mpox.model.backbone import build, input_record
from mpox.model.class_maps import why_no_maps
from mpox.model.cost import cost_of
from mpox.runs.opened import logits_of, open_run


def test_the_report_agrees_with_the_pruned_network(phone_run: Path) -> None:
    run = open_run(phone_run, device="cpu")
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    pruned, report = prune_run(run, 0.3, tuning=Tuning(epochs=2, batch_size=8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.network.state_dict().items())
    assert report["after"]["parameters"] < 0.6 * report["before"]["parameters"]
    assert report["after"]["macs"] < 0.6 * report["before"]["macs"]
    assert report["after"]["parameters"] == sum(p.numel() for p in pruned.network.parameters())
    assert report["before"]["macs"] == cost_of(run.network, 96).macs
    for module in pruned.network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.out_channels % 8 == 0
    assert pruned.network.head.weight.shape == (4, sum(pruned.network.feature_widths))
    rows = run.rows("test")
    assert len(pruned.network.feature_widths) > 1 and why_no_maps(pruned.network, run.images(rows[:2])) is None
    images, targets = run.images(rows), run.photos["target"].to_numpy()[rows]
    logits = logits_of(pruned.network, images, 8)
    assert report["test"]["tuned"]["accuracy"] == pytest.approx((logits.argmax(1).numpy() == targets).mean())
    assert set(report["val"]) == {"unpruned", "pruned", "tuned"}


@pytest.mark.slow
def test_a_pruned_network_goes_the_way_of_every_export(phone_run: Path, exported: Path, tmp_path: Path) -> None:
    options = ["recipe=fp32", "prune.ratio=0.3", "prune.epochs=1", "prune.batch_size=8", "timing.rounds=0"]
    report = export(export_config(phone_run, tmp_path, *options))
    assert report["name"] == "phones-tf_efficientnet_lite0-fold0-pruned0.3-fp32"
    assert report["prune"]["ratio"] == 0.3 and report["verification"]["agreement"]["value"] == 1
    assert report["verification"]["max_delta_p"] < 1e-3
    test = report["prune"]["test"]["tuned"]["accuracy"]
    assert report["verification"]["exported"]["accuracy"] == pytest.approx(test)
    twin = next((exported.parent / ".fp32").glob("*.pte"))
    assert report["size_bytes"] < 0.6 * twin.stat().st_size
    names = {path.name for path in [*(tmp_path / ".fp32").iterdir(), twin]}
    assert len(names) == 2  # sizes of a pruned network are not held against the unpruned one's


def test_a_network_that_cannot_be_pruned_is_named_with_the_reason() -> None:
    name = "fastvit_t8.apple_in1k"
    network = build(name, 4, input_record(name, 64)).eval()
    with pytest.raises(NotPrunableError, match=r"^fastvit_t8 cannot be pruned: torch-pruning fails"):
        prune(network, torch.rand(2, 3, 64, 64) * 255, torch.tensor([0, 1]), 0.3)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 30])
def test_a_ratio_is_a_share(ratio: float) -> None:
    network = build("mobilenetv3_small_100.lamb_in1k", 4, input_record("mobilenetv3_small_100.lamb_in1k", 32))
    with pytest.raises(UserError, match=r"prune\.ratio"):
        prune(network, torch.zeros(1, 3, 32, 32), torch.zeros(1, dtype=torch.int64), ratio)
