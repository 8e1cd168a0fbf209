"""Photos taken again as phones do: pictures, the report of an export, and a bound that refuses."""

from pathlib import Path

import numpy as np
import pytest
from phone_exports import export_config
from PIL import Image

from mpox.commands.export import export
from mpox.data.working_picture import TWO_STEP
from mpox.errors import UserError
from mpox.mobile.run.capture_report import capture_reasons, capture_report
from mpox.mobile.run.captures import AS_IT_IS, BY_CONTRACT, NAMES, TAKEN, Form, pictures
from mpox.stats.decision import DecisionRule

FORM = Form(48, "bicubic", TWO_STEP)


def levels_from_taken(photo: Image.Image) -> dict[str, float]:
    made = pictures(photo, FORM, np.random.default_rng(0))
    assert made.shape == (len(NAMES), 48, 48, 3) and made.dtype == np.uint8
    away = np.abs(made.astype(int) - made[NAMES.index(TAKEN)]).mean((1, 2, 3))
    return dict(zip(NAMES, away, strict=True))


def test_each_condition_changes_what_its_name_says() -> None:
    row, column = np.mgrid[:120, :160]
    drawn = np.stack([120 + 60 * np.sin(row / 9), 110 + 40 * np.sin(column / 7), 90 + 0 * row], -1)
    away = levels_from_taken(Image.fromarray(drawn.astype(np.uint8)))
    assert away["area (iOS, OpenCV)"] < away["plain bilinear (Android's createScaledBitmap)"]
    assert away["JPEG of quality 95"] < away["JPEG of quality 60"] < 3
    assert away["Display P3, converted"] < 1 < 3 < away["Display P3, read as sRGB"]
    assert all(away[name] > 1 for name in ("warmer light", "colder light", "a third of a stop darker"))
    assert away["out of focus"] > away["JPEG of quality 60"]


def test_noise_is_that_of_a_camera_and_averages_out() -> None:
    grey = Image.new("RGB", (60, 50), (120, 120, 120))
    away = levels_from_taken(grey)
    assert away[AS_IT_IS] < 0.5 < 2 < away["plain bilinear (Android's createScaledBitmap)"]


def test_the_report_counts_kept_answers_and_the_bound_names_the_worst_condition() -> None:
    logits = np.zeros((len(NAMES), 4, 2), np.float32)
    logits[:, :, 0] = 3
    shortcut, allowed = BY_CONTRACT.index(False), NAMES.index("JPEG of quality 60")
    logits[shortcut, :, 1] = 9
    logits[allowed, 0, 1] = 9
    found = capture_report(
        logits, np.zeros_like(logits), np.array([0, 0, 0, 1]), DecisionRule(1.0, None), held_out=True
    )
    by_name = {one["name"]: one for one in found["conditions"]}
    assert by_name[NAMES[shortcut]]["agreement"] == 0 and not by_name[NAMES[shortcut]]["contract"]
    jpeg = by_name["JPEG of quality 60"]
    assert (jpeg["agreement"], jpeg["agreement_with_network"]) == (0.75, 0.75)
    assert jpeg["balanced_accuracy"] == pytest.approx((2 / 3 + 0) / 2) and jpeg["max_delta_p"] > 0.9
    assert capture_reasons(found, None) == capture_reasons(found, 0.75) == []
    assert "keeps 75.0% of its answers (JPEG of quality 60), not 80.0%" in capture_reasons(found, 0.8)[0]


@pytest.mark.slow
def test_an_export_reports_its_captures_and_may_be_refused_for_them(phone_run: Path, exported: Path) -> None:
    exports, options = exported.parent, ["recipe=fp32", "timing.rounds=0", "capture.photos=1"]
    report = export(export_config(phone_run, exports, *options, "name=captured"))
    assert report["captures"]["photos"] == 1 and len(report["captures"]["conditions"]) == len(NAMES)
    assert all(one["agreement_with_network"] == 1 for one in report["captures"]["conditions"])
    card = (exports / "captured" / "model_card.md").read_text("utf-8")
    assert "| JPEG of quality 60 | yes |" in card and "createScaledBitmap" in card
    with pytest.raises(UserError, match=r"of 1 photos taken again by a phone it keeps .*not 101.0%") as refused:
        export(export_config(phone_run, exports, *options, "name=refused", "bound.capture=1.01"))
    assert "\n" not in str(refused.value) and not (exports / "refused").exists()
    with pytest.raises(UserError, match=r"give capture.photos=32"):
        export(export_config(phone_run, exports, "capture.photos=0", "bound.capture=0.9"))
