"""What leaves a study is what was chosen: an export takes temperature, threshold and sets from chosen.yaml."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from phone_exports import export_config

from mpox.commands.export import export
from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile.file.contract import checked_facts
from mpox.mobile.run.runtime import PhoneModel
from mpox.runs.opened import open_run
from mpox.stats.decision import DecisionRule

# No rule that would be fitted to this study's photos.
RULE = DecisionRule(
    temperature=1.75, threshold=0.123456, quantiles=(0.9, 0.8, 0.7, 0.6), threshold_low=0.1, threshold_high=0.2,
    promised_sensitivity=0.9, target_sensitivity=0.9, coverage=0.9, fitted_on="somebody's photos",
)  # fmt: skip


@pytest.fixture
def chosen(phone_run: Path) -> Path:
    """chosen.yaml of the study, naming its one run."""
    card = open_run(phone_run, device="cpu").card
    path = phone_run.parents[1] / "comparison" / "chosen.yaml"
    path.parent.mkdir(exist_ok=True)
    rule = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(RULE).items()}
    path.write_text(yaml.safe_dump({"study": card.study, "model": card.model, "fold": 0, **rule}))
    return path


@pytest.mark.slow
def test_the_export_holds_the_rule_that_was_chosen(chosen: Path, phone_run: Path, tmp_path: Path) -> None:
    options = ["run=null", f"chosen={chosen}", "recipe=fp32", "timing.rounds=0"]
    report = export(export_config(phone_run, tmp_path, *options))
    place = tmp_path / report["name"]
    contract = read_json(place / "contract.json")
    assert contract["rule"] == {**dataclasses.asdict(RULE), "quantiles": list(RULE.quantiles), "positive": 3}
    assert "0.123456" in contract["decision"] and "somebody's photos" in contract["decision"]
    rule = PhoneModel(place).rule
    assert (rule.temperature, rule.threshold) == pytest.approx((1.75, 0.123456), abs=1e-6)
    assert rule.quantiles == pytest.approx(RULE.quantiles, abs=1e-6)
    assert report["verification"]["exported"]["threshold"] == 0.123456


def test_another_target_than_the_chosen_one_is_refused(chosen: Path, phone_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"was made with target_sensitivity=0\.9"):
        export(export_config(phone_run, tmp_path, "run=null", f"chosen={chosen}", "target_sensitivity=0.95"))


def test_the_final_network_is_asked_for_before_it_is_there(chosen: Path, phone_run: Path, tmp_path: Path) -> None:
    chosen.write_text(chosen.read_text().replace("fold: 0", "fold: all"))
    with pytest.raises(UserError, match=r"not there yet.*python -m mpox\.train study=phones .*fold=all"):
        export(export_config(phone_run, tmp_path, "run=null", f"chosen={chosen}"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.0}, "temperature of 0.0"),
        ({"temperature": float("nan")}, "temperature of nan"),
        ({"threshold": 7}, "threshold of 7"),
        ({"threshold": float("nan")}, "threshold of nan"),
        ({"quantiles": [0.1, "x"]}, "could not convert"),
        ({"quantiles": [0.1, 0.2]}, "quantiles of 2 classes"),
        ({"splits_sha256": "0" * 64}, "made of other splits"),
        ({"fold": [1]}, "holds no choice"),
    ],
)
def test_a_choice_that_was_changed_is_refused(
    chosen: Path, phone_run: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    chosen.write_text(yaml.safe_dump({**yaml.safe_load(chosen.read_text()), **changes}))
    with pytest.raises(UserError, match=words):
        export(export_config(phone_run, tmp_path, "run=null", f"chosen={chosen}"))
    assert not list(tmp_path.iterdir())


def test_constants_of_a_file_that_were_changed_are_refused() -> None:
    sound = {"labels": ["a", "mpox"], "image_size": 64, "interpolation": "bicubic", "temperature": 1.0, "version": "1"}
    assert checked_facts(sound, Path("model.onnx")) == sound
    for changes in (
        *({"labels": "mpox"}, {"labels": ["a", "a"]}, {"image_size": 0}, {"image_size": "64"}, {"positive": 2}),
        *({"temperature": -1.0}, {"temperature": "1"}, {"threshold": 2.0}, {"quantiles": [0.1]}, {"quantiles": 3}),
    ):
        with pytest.raises(UserError, match=r"model\.onnx holds"):
            checked_facts({**sound, **changes}, Path("model.onnx"))
    with pytest.raises(UserError, match="lacks the constants version"):
        checked_facts({name: value for name, value in sound.items() if name != "version"}, Path("model.onnx"))
