"""The table that ends a sweep: readable in the narrowest usual terminal, and complete."""

import io
from itertools import cycle, product
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console

from mpox.runs.journal import STATES, Entry, append
from mpox.training import sweep
from mpox.training.sweep import StudyReport, table


def test_ten_folds_of_the_longest_names_fit_80_columns() -> None:
    jobs = zip(product(("mobilenetv4_conv_small", "inception_resnet_v2"), range(10)), cycle(STATES), strict=False)
    entries = [Entry("paper", model, fold, state, 60.0) for (model, fold), state in jobs]
    console = Console(file=io.StringIO(), width=80)
    console.print(table(entries))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert "mobilenetv4_conv_small" in text
    assert "5 done, " in text
    assert "5 failed" in text
    row = next(line for line in text.splitlines() if "inception_resnet_v2" in line)
    assert (row.count("✗"), row.count("✓"), row.count("w")) == (3, 2, 3)


def test_a_sweep_is_failed_until_its_jobs_say_otherwise(tmp_path: Path) -> None:
    config = OmegaConf.create({"runs_dir": str(tmp_path)})
    append(tmp_path, Entry("s", "m", 0, "failed", 1.0, "of an earlier sweep"))
    report = StudyReport()
    report.on_run_start(config)
    assert sweep.exit_code == 1
    report.on_run_end(config)
    assert sweep.exit_code == 1  # no job noted its end
    report.on_run_start(config)
    append(tmp_path, Entry("s", "m", 0, "done", 1.0))
    report.on_run_end(config)
    assert sweep.exit_code == 0
    append(tmp_path, Entry("s", "m", 1, "failed", 1.0, "[enforce fail]"))
    report.on_run_end(config)
    assert sweep.exit_code == 1


def test_names_give_way_to_figures_where_several_studies_share_the_table() -> None:
    studies = ("leakage-none", "leakage-full")
    entries = [Entry(study, "tf_efficientnet_lite0", fold, "done", 12.0) for study in studies for fold in range(10)]
    console = Console(file=io.StringIO(), width=80)
    console.print(table(entries))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "seconds" in text and text.count("120") == 2
    assert "".join(text.split()).count("leakage-none/") == 1
