"""What apps count after deployment against what the study promised: `mpox.evaluate field=…`."""

import datetime
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from generated_study import make_study
from hydra import compose, initialize_config_dir

from mpox.commands.compare import compare
from mpox.commands.field import evaluate_field
from mpox.errors import UserError
from mpox.field.counts import Case, Day, PhoneCounts
from mpox.field.evidence import Evidence
from mpox.field.given import read_given
from mpox.field.report import field_report
from mpox.files import read_json
from mpox.mobile.run.decision_rule import REFER, decide
from mpox.options import config_dir
from mpox.stats.decision import OUTCOMES, DecisionRule

RULE = DecisionRule(1.0, 0.3, (0.6, 0.7, 0.5), promised_sensitivity=0.95, target_sensitivity=0.95, coverage=0.95)
LABELS = ("chickenpox", "healthy", "mpox")


def day(date: str, taken: int = 10, refused: int = 0, **answered: int) -> dict[str, Any]:
    return {
        "date": date, "site": "c0ffee", "taken": taken, "refused": {"blurred": refused} if refused else {},
        "answered": answered, "referred": {name: n for name, n in answered.items() if name == "suspected"},
    }  # fmt: skip


def phone(*days: dict[str, Any], cases: list[dict[str, Any]] | None = None, **facts: Any) -> dict[str, Any]:
    model = {
        "sha256": "0" * 64, "name": "lite0", "study": "default", "recipe": "int8_static", "labels": list(LABELS),
        "positive": "mpox", "threshold": 0.3, "days": list(days), "cases": cases or [], **facts,
    }  # fmt: skip
    return {"format": "mpox-field", "version": 1, "made": "2026-11-28", "models": [model]}


def write(folder: Path, **phones: dict[str, Any]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, content in phones.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [folder]


def test_outcomes_are_those_of_predict_and_the_app() -> None:
    chances = np.random.default_rng(0).dirichlet((0.7, 0.7, 0.7), 500)
    chances = np.concatenate([chances, [[0.35, 0.35, 0.3], [0.4, 0.3, 0.3], [0.1, 0.6, 0.3 - 1e-9]]])
    for found, one in zip(RULE.outcomes(chances, 2), chances, strict=True):
        decision = decide(one, LABELS, 2, RULE, 0.5)
        assert (OUTCOMES[found] != "not_suspected") == (decision.action == REFER)
        assert (OUTCOMES[found] in ("suspected", "not_ruled_out")) == (decision.label == "mpox")
        assert (OUTCOMES[found] == "suspected") == (one.argmax() == 2)


def counts(days: list[Day], cases: list[Case], threshold: float = 0.3) -> Evidence:
    one = PhoneCounts("a.json", "default", "lite0", "0" * 64, "mpox", threshold, tuple(days), tuple(cases))
    return Evidence("default", "mpox", (one,))


def test_what_drifts_and_what_is_not_kept_is_said() -> None:
    months = [
        Day(datetime.date(2026, k, 1), 90, {"blurred": 10 * k}, {"suspected": 60, "not_suspected": 30}, {})
        for k in (1, 6)
    ]
    cases = (
        [Case("suspected", 0.9, "mpox")] * 20
        + [Case("not_suspected", 0.1, "mpox")] * 10
        + [Case("unclear", 0.2, "cannot tell")]
    )
    report = field_report(counts(months, cases, threshold=0.4), RULE, np.repeat([0, 3], [10, 90]))
    assert [one.month for one in report.months] == ["2026-01", "2026-06"]
    assert report.months[0].refused.value == pytest.approx(10 / 100) and report.months[
        1
    ].refused.value == pytest.approx(60 / 150)
    assert (report.cases, report.checked, report.cannot_tell) == (180, 31, 1)
    assert report.sensitivity.value == pytest.approx(2 / 3) and report.promised_outcomes["suspected"] == 0.1
    assert report.proposed_threshold == 0.1 and report.proposed_sensitivity == pytest.approx(30 / 31)
    said = " ".join(report.cautions)
    for words in ("another rate in 2026-06", "more often", "0.400, not at that", "below the 0.950", "one phone"):
        assert words in said
    few = field_report(counts(months, cases[:18]), RULE, np.zeros(5))
    assert few.proposed_threshold is None and "cannot be known" in " ".join(few.cautions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "it is other 1"),
        ({"version": 2}, "not mpox-field 1"),
        ({"models": [{}]}, "it lacks 'labels'"),
        (phone(day("2026-13-01")), "month must be in 1..12"),
        (phone(day("2026-01-01", taken=-1)), "-1 is no count"),
        (phone(day("2026-01-01", sure=1)), "sure is no outcome"),
        (phone(cases=[{"outcome": "suspected", "mpox": 3, "clinician": "mpox"}]), "3 is no number from 0 to 1"),
        (phone(positive="measles"), "none of its labels"),
        (phone(study="other"), "of a model of study default"),
        (phone(sha256=None), "None is no SHA-256"),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        read_given(write(tmp_path / "in", a={**phone(), **change}), "default")
    assert words in str(error.value) and "\n" not in str(error.value)
    (tmp_path / "in" / "a.json").write_text("[1")
    with pytest.raises(UserError, match=r"a\.json is no file of an app's counts"):
        read_given([tmp_path / "in"], "default")


def test_two_files_of_one_phone_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    days = [day(f"2026-01-{k:02d}", taken=k, suspected=k) for k in range(1, 6)]
    paths = write(tmp_path / "in", earlier=phone(*days[:4]), later=phone(*days), other=phone(day("2026-01-01")))
    assert len(read_given(paths, "default").phones) == 3
    assert "earlier.json seems to be an earlier state of later.json" in caplog.text and caplog.text.count("seems") == 1


@pytest.mark.slow
def test_the_command_compares_with_the_chosen_model(trained: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained, runs)

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", *words, f"runs_dir={runs}"], capture_output=True, text=True)

    paths = write(tmp_path / "in", a=phone(day("2026-01-01", suspected=3), day("2026-02-01", unclear=1)))
    early = typed("mpox.evaluate", "study=default", f"field={paths[0]}")
    assert early.returncode == 1 and "select=best" in early.stderr and len(early.stderr.strip().splitlines()) == 1
    assert (
        typed("mpox.compare", "study=default", "select=best", "resamples=1000", "logger.mode=disabled").returncode == 0
    )
    chosen = yaml.safe_load((runs / "default" / "comparison" / "chosen.yaml").read_text())
    found = typed("mpox.evaluate", "study=default", f"field={paths[0]}")
    assert found.returncode == 0, found.stderr
    assert "4 cases on 1 phones" in found.stdout and "not a diagnosis" in found.stdout and "2026-02" in found.stdout
    content = read_json(runs / "default" / "field" / "all" / "field.json")
    assert content["threshold"] == chosen["threshold"] and content["outcomes"]["suspected"]["value"] == 0.75
    assert sum(content["promised_outcomes"].values()) == pytest.approx(1)


def test_what_was_promised_is_of_the_networks_there_are(tmp_path: Path) -> None:
    """A rule of an earlier comparison promises nothing of folds that were trained again since."""
    study = make_study(tmp_path / "runs", "s", {"a": 2.0}, n_photos=96, n_folds=3)
    others = make_study(tmp_path / "others", "s", {"a": 0.5}, n_photos=96, n_folds=3)
    paths = write(tmp_path / "in", a=phone(day("2026-01-01", suspected=3), study="s"))
    with initialize_config_dir(config_dir(), version_base="1.3"):
        places = [f"runs_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]
        compare(compose("compare", ["study=s", "select=best", "resamples=200", f"exports_dir={tmp_path}/no", *places]))
        field = compose("evaluate", ["study=s", f"field={paths[0]}", *places])
    evaluate_field(field)
    shutil.rmtree(study / "a" / "fold-1")
    shutil.copytree(others / "a" / "fold-1", study / "a" / "fold-1")
    with pytest.raises(UserError, match=r"chosen\.yaml rests on another network than that of .*fold-1 now"):
        evaluate_field(field)
