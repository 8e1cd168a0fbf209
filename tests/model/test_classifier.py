import functools
from pathlib import Path

import pytest
import torch

from mpox.errors import UserError
from mpox.model.backbone import build, input_record, layer_depths
from mpox.model.checkpoint import Card, load_checkpoint, save_checkpoint
from mpox.model.classifier import NORMS, LesionClassifier

NAME = "mobilenetv3_small_100.lamb_in1k"
ADAMW = functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1)


def module(**options: object) -> LesionClassifier:
    return LesionClassifier(build(NAME, 3, input_record(NAME)), ADAMW, epochs=4, **options)  # type: ignore[arg-type]


def test_frozen_layers_learn_nothing_and_rates_grow_with_depth() -> None:
    classifier = module(frozen_depth=0.4, first_layer_rate=0.01)
    depths = layer_depths(classifier.network)
    for name, parameter in classifier.network.named_parameters():
        assert parameter.requires_grad == (depths[name] >= 0.4), name
    rates = {id(p): group["lr"] for group in classifier._parameter_groups() for p in group["params"]}
    for name, parameter in classifier.network.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(1e-3 * 0.01 ** (1 - depths[name])), name
    assert rates[id(classifier.network.head.weight)] == pytest.approx(1e-3)


def test_biases_and_norms_do_not_decay() -> None:
    for group in module()._parameter_groups():
        decays = all(parameter.ndim > 1 for parameter in group["params"])
        assert group.get("weight_decay") == (None if decays else 0.0)


@pytest.mark.parametrize(("norms", "frozen_depth"), [("frozen", 0.0), ("train", 0.0), ("train", 0.5)])
def test_norms(norms: str, frozen_depth: float) -> None:
    classifier = module(norms=norms, frozen_depth=frozen_depth).train()
    classifier.freeze_norms()
    depths = layer_depths(classifier.network)
    for name, layer in classifier.network.named_modules():
        if isinstance(layer, NORMS):
            learns = norms == "train" and depths[f"{name}.weight"] >= frozen_depth
            assert layer.training == learns, name


def test_network_normalises_by_the_record() -> None:
    network = build(NAME, 3, input_record(NAME))
    images = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    record = input_record(NAME)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (record.mean, record.std))
    torch.testing.assert_close(network.normalise(images), (images / 255 - mean) / std)


def test_unknown_model_names_its_neighbours() -> None:
    with pytest.raises(UserError, match=r"'mobilenetv3_small_100\.tv'.*mobilenetv3_small_100\.lamb_in1k"):
        input_record("mobilenetv3_small_100.tv")


def card(n_classes: int = 3) -> Card:
    classes = tuple("abcdef"[:n_classes])
    return Card(NAME, classes, None, input_record(NAME, 64), "study", "model", 0, "0" * 64)


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    network = build(NAME, 3, input_record(NAME, 64)).eval()
    save_checkpoint(tmp_path / "c.ckpt", network, card())
    again, found = load_checkpoint(tmp_path / "c.ckpt")
    assert found == card()
    images = torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        assert torch.equal(network(images), again(images))


def test_mismatched_checkpoints(tmp_path: Path) -> None:
    network = build(NAME, 3, input_record(NAME))
    save_checkpoint(tmp_path / "c.ckpt", network, card(4))
    with pytest.raises(UserError, match=f"does not fit {NAME} with 4 classes"):
        load_checkpoint(tmp_path / "c.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "c.ckpt").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cut\.ckpt is cut or damaged"):
        load_checkpoint(tmp_path / "cut.ckpt")
    with pytest.raises(UserError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match="is not a checkpoint of this tool"):
        load_checkpoint(tmp_path / "foreign.ckpt")
