"""The table that ends a sweep: readable in the narrowest usual terminal, and complete."""

import io
import time
from itertools import cycle, product
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from rich.console import Console

from mpox.runs.journal import STATES, Entry, append, note
from mpox.training.sweep import StudyReport, SweepProgress, table


def test_ten_folds_of_the_longest_names_fit_80_columns() -> None:
    jobs = zip(product(("mobilenetv4_conv_small", "inception_resnet_v2"), range(10)), cycle(STATES), strict=False)
    entries = [Entry("paper", model, fold, state, 60.0) for (model, fold), state in jobs]
    console = Console(file=io.StringIO(), width=80)
    console.print(table(entries))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert "mobilenetv4_conv_small" in text
    assert "4 done, " in text
    assert "4 failed" in text
    row = next(line for line in text.splitlines() if "inception_resnet_v2" in line)
    assert (row.count("✗"), row.count("✓"), row.count("w")) == (2, 2, 2)


def test_a_command_fails_unless_its_jobs_record_success(tmp_path: Path) -> None:
    config = OmegaConf.create({"runs_dir": str(tmp_path)})
    over = JobReturn(status=JobStatus.COMPLETED)
    append(tmp_path, Entry("s", "m", 0, "failed", 1.0, "of an earlier sweep"))
    report = StudyReport()
    report.on_run_start(config)
    with pytest.raises(SystemExit, match="1"):  # no job recorded its end
        report.on_run_end(config, job_return=over)
    report.on_run_start(config)
    note(tmp_path, Entry("s", "m", 0, "done", 1.0))
    append(tmp_path, Entry("s", "m", 2, "failed", 1.0, "of somebody else's sweep, meanwhile"))
    report.on_run_end(config, job_return=over)
    note(tmp_path, Entry("s", "m", 1, "failed", 1.0, "[enforce fail]"))
    with pytest.raises(SystemExit, match="1"):
        report.on_run_end(config, job_return=over)


def test_a_journal_that_cannot_be_written_costs_no_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    report, config = StudyReport(), OmegaConf.create({"runs_dir": str(tmp_path)})
    report.on_run_start(config)
    (tmp_path / "journal.jsonl").mkdir()
    with caplog.at_level("WARNING"):
        note(tmp_path, Entry("s", "m", 0, "done", 1.0))
    assert "journal.jsonl cannot be written" in caplog.text
    report.on_run_end(config, job_return=JobReturn(status=JobStatus.COMPLETED))


def test_remaining_time_is_estimated_from_the_jobs_that_trained() -> None:
    progress = SweepProgress(jobs=30, began=time.time() - 60)
    entries = [Entry("s", "m", 0, "skipped", 0.1), Entry("s", "m", 1, "done", 30.0), Entry("s", "m", 2, "done", 30.0)]
    assert progress.remaining_time(entries) == "; about 14 min left"
    assert progress.remaining_time(entries[:1]) == ""


def test_names_are_wrapped_and_figures_are_not_where_several_studies_share_the_table() -> None:
    studies = ("leakage-none", "leakage-full")
    entries = [Entry(study, "tf_efficientnet_lite0", fold, "done", 12.0) for study in studies for fold in range(10)]
    console = Console(file=io.StringIO(), width=80)
    console.print(table(entries))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "seconds" in text and text.count("120") == 2
    assert "".join(text.split()).count("leakage-none/") == 1
