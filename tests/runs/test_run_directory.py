import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpox.errors import UserError
from mpox.files import read_json, read_yaml, replacing, write_json
from mpox.runs import journal
from mpox.runs.differences import differences
from mpox.runs.run_directory import RunDirectory
from mpox.runs.run_state import damage

CONFIG: dict[str, Any] = {
    "fold": 0,
    "optimizer": {"lr": 0.1},
    "data": {"root": "a", "classes": None},
    "trainer": {"devices": 1},
}


FILES = ("predictions.parquet", "metrics.json")


def run_in(folder: Path) -> RunDirectory:
    return RunDirectory(folder, "study", "model", 0, FILES)


def finished(folder: Path, config: dict[str, Any] = CONFIG, content: str = "old") -> RunDirectory:
    """Make, or replace, a run whose files hold `content`."""
    run = run_in(folder)
    with run.claimed():
        run.begin(config, overwrite=True)
        for name in FILES:
            (run.path / name).write_text(content)
        run.resume.mkdir()
        run.finish(seconds=1.0)
        run.settle()
    return run


def test_life_of_a_run(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert run.path == tmp_path / "study" / "model" / "fold-0"
    assert run.state == "new" and not run.is_finished(CONFIG)
    with run.claimed():
        run.begin(CONFIG, overwrite=False)
        assert run.state == "running"
        assert not run.is_finished(CONFIG)
    finished(tmp_path)
    assert run.is_finished(CONFIG)
    assert not run.resume.exists()
    assert read_json(run.path / "status.json")["seconds"] == 1.0
    with pytest.raises(UserError, match=r"optimizer\.lr: 0\.1 -> 0\.2"):
        run.is_finished({**CONFIG, "optimizer": {"lr": 0.2}})


def test_a_run_with_nothing_to_lose_takes_another_configuration(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    other = {**CONFIG, "optimizer": {"lr": 0.2}}
    with run.claimed():
        run.begin(CONFIG, overwrite=False)
        run.fail("Traceback", "bad luck")
        assert not run.is_finished(other)
        run.begin(CONFIG, overwrite=False)
        run.resume.mkdir()
        epoch = run.resume / "last.ckpt"
        epoch.touch()
        with pytest.raises(UserError, match="another configuration"):
            run.is_finished(other)
        run.begin(CONFIG, overwrite=False)
        assert epoch.exists()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "changed"])
def test_a_done_run_whose_results_are_not_whole_is_not_finished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: str
) -> None:
    run = finished(tmp_path)
    path = run.path / name
    path.unlink() if harm == "gone" else path.write_text({"empty": "", "cut": "o", "changed": "new"}[harm])
    with caplog.at_level("WARNING"):
        assert not run.is_finished(CONFIG)
    assert name in caplog.text and "made again" in caplog.text
    run.begin(CONFIG, overwrite=False)
    assert run.path != run.place and (run.place / FILES[0]).parent.exists()  # what is left stays until then


def test_what_is_replaced_stays_until_its_replacement_is_whole(tmp_path: Path) -> None:
    finished(tmp_path)
    other = {**CONFIG, "optimizer": {"lr": 0.2}}
    run = run_in(tmp_path)
    with run.claimed():
        run.begin(other, overwrite=True)
        run.fail("Traceback", "power cut")
    assert run.state == "done" and (run.place / FILES[0]).read_text() == "old"
    assert run_in(tmp_path).is_finished(CONFIG)
    run.abandon()
    assert [path.name for path in run.place.parent.iterdir()] == ["fold-0"]
    run = finished(tmp_path, other, "new")
    assert run_in(tmp_path).is_finished(other)
    assert (run.place / FILES[0]).read_text() == "new"
    assert [path.name for path in run.place.parent.iterdir()] == ["fold-0"]


@pytest.mark.parametrize("step", ["before the first rename", "between the two", "before the old one is removed"])
def test_a_replacement_killed_at_its_last_step_takes_its_place(tmp_path: Path, step: str) -> None:
    finished(tmp_path)
    other = {**CONFIG, "optimizer": {"lr": 0.2}}
    run = run_in(tmp_path)
    run.begin(other, overwrite=True)
    for name in FILES:
        (run.path / name).write_text("new")
    run.finish()
    old = run.place.with_name("fold-0.old")
    if step != "before the first rename":
        run.place.rename(old)
    if step == "before the old one is removed":
        run.path.rename(run.place)
    again = run_in(tmp_path)
    with again.claimed():
        assert again.is_finished(other)
    assert (again.place / FILES[0]).read_text() == "new"
    assert [path.name for path in run.place.parent.iterdir()] == ["fold-0"]


def test_fold_zero_and_fold_one_are_different_runs(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path, "s", "m", 0).path != RunDirectory(tmp_path, "s", "m", 1).path


def test_where_a_run_runs_is_not_compared() -> None:
    moved = {
        **CONFIG,
        "data": {"root": "b", "manifest": "m.csv", "classes": None},
        "trainer": {"devices": 4},
        "threads": 2,
    }
    assert differences(CONFIG, moved) == []
    assert differences(CONFIG, {**CONFIG, "optimizer": {"lr": 0.2}, "seed": 1}) == [
        "optimizer.lr: 0.1 -> 0.2",
        "seed: (not set) -> 1",
    ]


@pytest.mark.parametrize("other", ["./runs", "/data/runs", "archive/old runs"])
def test_where_the_runs_lie_is_not_compared(other: str) -> None:
    def config(runs: str) -> dict[str, Any]:
        kept = {"dirpath": f"{runs}/s/m/fold-0/resume", "monitor": None}
        paths = [f"{runs}/.cache/a", 3]
        return {**CONFIG, "runs_dir": runs, "cache_dir": f"{runs}/.cache", "callbacks": {"kept": kept, "paths": paths}}

    assert differences(config("runs"), config(other)) == []
    moved = config(other)
    moved["callbacks"]["kept"]["dirpath"] += "/elsewhere"
    (changed,) = differences(config("runs"), moved)
    assert changed.startswith("callbacks.kept.dirpath: runs/s/m/fold-0/resume -> ")


def test_a_run_of_the_former_release_is_finished_wherever_it_lies_now() -> None:
    place = Path(__file__).parents[1] / "before_the_move" / "study" / "tiny" / "fold-0"
    config = read_yaml(place / "config.yaml")
    text = (place / "config.yaml").read_text().replace("mpox.callbacks.average", "mpox.training.average")
    moved = yaml.safe_load(text.replace("runs/", "/mnt/runs/"))
    assert differences(config, {**moved, "runs_dir": "/mnt/runs", "cache_dir": "/mnt/runs/.cache"}) == []
    assert damage(place) == ""


@pytest.mark.parametrize("harm", ["gone", "empty", "cut"])
@pytest.mark.parametrize("name", ["checkpoint.ckpt", "predictions.parquet", "metrics.json"])
def test_results_of_the_former_release_are_read(tmp_path: Path, name: str, harm: str) -> None:
    whole = Path(__file__).parents[1] / "before_the_move" / "study" / "tiny" / "fold-0"
    place = Path(shutil.copytree(whole, tmp_path / "fold-0"))
    content = (place / name).read_bytes()
    (place / name).unlink()
    if harm != "gone":
        (place / name).write_bytes(content[: len(content) // 2 if harm == "cut" else 0])
    assert name in damage(place)


def test_what_a_person_put_beside_a_run_stays_with_it(tmp_path: Path) -> None:
    """Begun again, and replaced when it was done: what the tool wrote goes, notes stay."""
    run = RunDirectory(tmp_path, "study", "model", 0)
    notes = run.place / "notes.txt"
    with run.claimed():
        run.begin(CONFIG, overwrite=False)
        notes.write_text("a person's")
        (run.path / "metrics.json").touch()
        run.begin({**CONFIG, "fold": 1}, overwrite=True)
        assert {path.name for path in run.place.iterdir()} == {"config.yaml", "notes.txt", "status.json"}
        run.finish()
    again = RunDirectory(tmp_path, "study", "model", 0)
    with again.claimed():
        again.begin(CONFIG, overwrite=True)
        assert again.path != again.place and notes.exists()
        again.finish()
        again.settle()
    assert notes.read_text() == "a person's"
    assert {path.name for path in run.place.parent.iterdir() if not path.name.startswith(".")} == {"fold-0"}


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "study", "model", 0)
    with run.claimed(), pytest.raises(UserError, match="another process"), run.claimed():
        pass


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_the_journal_holds_what_was_noted_and_a_broken_line_costs_itself(tmp_path: Path) -> None:
    entries = [journal.Entry("s", "m", fold, "done", 1.5) for fold in range(3)]
    for entry in entries:
        journal.append(tmp_path, entry)
    assert journal.read(tmp_path) == entries
    path = journal.journal_path(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:20], lines[2]]))
    assert journal.read(tmp_path) == [entries[0], entries[2]]
    assert journal.read(tmp_path / "none") == []


def test_options_that_came_later_change_nothing_unless_given() -> None:
    before = {"data": {"_target_": "mpox.data.sources.manifest", "only": None}}
    later = {"data": before["data"] | {"may_miss": 0, "follow_links": False, "subject_pattern": None}}
    assert differences(before, later) == []
    assert differences(before, {"data": later["data"] | {"subject_pattern": "(x)"}}) == [
        "data.subject_pattern: (not set) -> (x)"
    ]
