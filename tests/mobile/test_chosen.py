"""What leaves a study is what was chosen: an export takes temperature, threshold and sets from chosen.yaml."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from phone_exports import export_config

from mpox.commands.export import export
from mpox.errors import UserError
from mpox.files import read_json
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
