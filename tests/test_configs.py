"""Every file of conf/ composes; every model of conf/model/ builds, runs, and ends in the head its features feed."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mpox.config import TARGETS, share_of_side
from mpox.curation.about import About, Pictures
from mpox.curation.thresholds import PairThresholds, QualityThresholds
from mpox.mobile.export.original import Request
from mpox.mobile.export.prune import Tuning
from mpox.mobile.run.verify import Bound
from mpox.model.backbone import build, input_record, layer_depths
from mpox.options import config_dir
from mpox.study.comparison_options import ComparisonOptions
from mpox.xai.layers import make_functional

CONF = Path(config_dir())
MODELS = sorted(path.stem for path in CONF.glob("model/*.yaml"))
GROUPS = sorted(f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml"))


def test_the_families_are_there() -> None:
    assert len(MODELS) >= 26
    for family in ("vgg", "resnet", "resnetv2", "inception", "xception", "densenet", "mobilenetv2", "mobilenetv4"):
        assert any(name.startswith(family) for name in MODELS), family


@pytest.mark.parametrize("choice", GROUPS)
def test_every_choice_composes(choice: str) -> None:
    extra = ["weights.path=x"] if choice == "weights=file" else []
    group, _, name = choice.partition("=")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        # A group named as an entry point belongs to it, `select` to compare, the others to training.
        command = group if (CONF / f"{group}.yaml").exists() else {"select": "compare"}.get(group, "train")
        cfg = compose(command, [choice, *extra])
    assert cfg[group] is not None
    if group == "model":
        assert cfg.model.name == name
        input_record(cfg.model.timm_name)


def test_sweeps_compose() -> None:
    sweeps = Path(config_dir("sweeps"))
    for name in ("paper", "quick"):
        with initialize_config_dir(str(sweeps), version_base="1.3"):
            cfg = compose(name, [f"hydra.searchpath=[file://{CONF}]"], return_hydra_config=True)
        assert cfg.study == name
        assert set(cfg.hydra.sweeper.params) == {"model", "fold"}
    for sweep in [printed_grid(), *(yaml.safe_load(path.read_text()) for path in sweeps.glob("wandb_*.yaml"))]:
        options = [part for part in sweep["command"] if "=" in part]
        with initialize_config_dir(config_dir(), version_base="1.3"):
            compose("train", [*options, *(f"{key}={_first(space)}" for key, space in sweep["parameters"].items())])
    with initialize_config_dir(config_dir(), version_base="1.3"):
        for launcher in (CONF / "hydra" / "launcher").glob("*.yaml"):
            cfg = compose("train", [f"hydra/launcher={launcher.stem}"], return_hydra_config=True)
            assert cfg.hydra.launcher._target_.startswith("hydra_plugins.")


def printed_grid(python_path: Path | None = None) -> dict[str, Any]:
    """What sweeps/wandb_grid.py prints, with the package of another folder where one is given."""
    environment = os.environ if python_path is None else {**os.environ, "PYTHONPATH": str(python_path)}
    script = [sys.executable, str(Path(config_dir("sweeps")) / "wandb_grid.py")]
    done = subprocess.run(script, env=environment, cwd=python_path, capture_output=True, text=True, check=True)
    return dict(yaml.safe_load(done.stdout))


def test_a_cnn_is_one_file(tmp_path: Path) -> None:
    """A further file of conf/model/ is in the grid of W&B sweeps as well; nothing else lists the CNNs."""
    for name in ("mpox", "conf"):
        shutil.copytree(CONF.parent / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "conf" / "model" / "another.yaml").write_text("name: another\ntimm_name: resnet18.a1_in1k\n")
    assert printed_grid(tmp_path)["parameters"]["model"]["values"] == sorted([*MODELS, "another"])
    for path in (*CONF.parent.glob("sweeps/*.yaml"), *CONF.rglob("*.yaml")):
        listed = sum(f"{name}" in path.read_text() for name in MODELS)
        assert listed <= 3 or path.name == "wandb_quick.yaml", f"{path} lists CNNs of its own"


# Dataclasses whose defaults stand in for conf/ where they are made in Python: (class, file, its node, other names).
DEFAULTS: tuple[tuple[type, str, str, dict[str, str]], ...] = (
    (ComparisonOptions, "compare", "", {}),
    (PairThresholds, "curate", "pairs", {}),
    (QualityThresholds, "curate", "quality", {}),
    (Pictures, "curate", "pictures", {}),
    (About, "curate", "about", {}),
    (Tuning, "export", "prune", {}),
    (Bound, "export", "bound", {}),
    (
        Request,
        "export",
        "",
        {
            "rule": "chosen",
            "calibration_photos": "calibration.photos",
            "tune_steps": "qat.steps",
            "tune_rate": "qat.rate",
            "tune_batch": "qat.batch_size",
            "timing_rounds": "timing.rounds",
            "capture_photos": "capture.photos",
        },
    ),
)


@pytest.mark.parametrize(("kind", "file", "node", "names"), DEFAULTS, ids=lambda part: getattr(part, "__name__", ""))
def test_defaults_of_dataclasses_are_those_of_conf(kind: type, file: str, node: str, names: dict[str, str]) -> None:
    conf = OmegaConf.load(CONF / f"{file}.yaml")
    checked = 0
    for field in dataclasses.fields(kind):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name == "bound":
            default = dataclasses.asdict(default)
        if default is dataclasses.MISSING:
            continue
        place = ".".join(part for part in (node, names.get(field.name, field.name)) if part)
        value = OmegaConf.select(conf, place, throw_on_missing=True, default="absent")
        plain_value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        # YAML reads 2e-5, without a point, as text; omegaconf turns it into a number where the options say so.
        same = float(plain_value) if isinstance(default, float) else plain_value
        assert (tuple(same) if isinstance(default, tuple) else same) == default, f"{kind.__name__}.{field.name}"
        checked += 1
    assert checked or kind is Bound


def _first(space: dict[str, Any]) -> Any:
    return space["values"][0] if "values" in space else space["min"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_and_runs(name: str) -> None:
    model = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())
    timm_name = model["timm_name"]
    features, options = model["features"], {**model.get("options", {}), "drop_rate": 0.1}
    network = build(timm_name, 4, input_record(timm_name), features=features, options=options).eval()
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        logits = network(images)
        features = network.features(images)
        assert logits.shape == (2, 4)
        torch.testing.assert_close(
            logits, features @ network.head.weight.flatten(1).T + network.head.bias, atol=1e-4, rtol=1e-4
        )
        assert sum(network.feature_widths) == features.shape[1]
        assert len(network.feature_widths) > 1, "the later stages are to be pooled, too"
        last = network.backbone.forward_head(
            network.backbone.forward_features(network.normalise(images)), pre_logits=True
        )
        torch.testing.assert_close(features[:, -last.flatten(1).shape[1] :], last.flatten(1), atol=1e-5, rtol=1e-5)
        make_functional(network)  # explaining does, and must not change what the stages give
        torch.testing.assert_close(network.features(images), features, atol=1e-5, rtol=1e-5)
        network.set_head(torch.zeros(4, features.shape[1]), torch.arange(4.0))
        assert torch.equal(network(images), torch.arange(4.0).expand(2, 4))
    depths = layer_depths(network)
    assert depths.keys() == {parameter for parameter, _ in network.named_parameters()}
    head = [f"backbone.{key}" for key, value in network.backbone.named_parameters() if value is network.head.weight]
    assert depths[head[0]] == 1.0
    assert min(depths.values()) == 0.0


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "fastvit_t8"])
def test_every_layer_can_learn_where_onednn_would_crash(name: str) -> None:
    timm_name = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())["timm_name"]
    network = build(timm_name, 4, input_record(timm_name)).train()
    images = torch.rand(4, 3, 64, 64).to(memory_format=torch.channels_last)
    network(255 * images).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_training_photos_have_a_side_of_whole_strides_that_no_picture_exceeds() -> None:
    assert [share_of_side(side, 0.8) for side in (224, 240, 260, 299)] == [192, 192, 192, 224]
    assert [share_of_side(side, 0.8) for side in (16, 48, 96, 128)] == [16, 48, 96, 96]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", ["image_size=224"])
    assert cfg.augment.transforms.crop.size == 192


def test_targets_stay_within_the_project_and_its_dependencies() -> None:
    def targets(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["_target_"]] if node.get("_target_") else []
            return own + [target for child in node.values() for target in targets(child)]
        return [target for child in node for target in targets(child)] if isinstance(node, list) else []

    for path in CONF.rglob("*.yaml"):
        if path.relative_to(CONF).parts[0] == "hydra":
            continue  # Hydra's own plugins, which it takes from hydra_plugins alone
        for target in targets(yaml.safe_load(path.read_text())):
            assert target.partition(".")[0] in TARGETS, path
