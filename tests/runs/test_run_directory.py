from pathlib import Path

import pytest

from mpox.errors import UserError
from mpox.files import read_json, replacing, write_json
from mpox.runs import journal
from mpox.runs.run_directory import RunDirectory, differences

CONFIG = {"fold": 0, "optimizer": {"lr": 0.1}, "data": {"root": "a", "classes": None}, "trainer": {"devices": 1}}


def test_life_of_a_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "study", "model", 0)
    assert run.path == tmp_path / "study" / "model" / "fold-0"
    assert run.state == "new" and not run.is_finished(CONFIG)
    with run.claimed():
        run.begin(CONFIG, overwrite=False)
        assert run.state == "running"
        assert not run.is_finished(CONFIG)
        (run.resume).mkdir()
        run.finish(seconds=1.0)
    assert run.is_finished(CONFIG)
    assert not run.resume.exists()
    assert read_json(run.path / "status.json")["seconds"] == 1.0
    with pytest.raises(UserError, match=r"optimizer\.lr: 0\.1 -> 0\.2"):
        run.is_finished({**CONFIG, "optimizer": {"lr": 0.2}})


def test_a_run_with_nothing_to_lose_takes_another_configuration(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "study", "model", 0)
    other = {**CONFIG, "optimizer": {"lr": 0.2}}
    with run.claimed():
        run.begin(CONFIG, overwrite=False)
        run.fail("Traceback", "bad luck")
        assert not run.is_finished(other)
        run.begin(CONFIG, overwrite=False)
        run.resume.mkdir()
        run.last_epoch.touch()
        with pytest.raises(UserError, match="another configuration"):
            run.is_finished(other)
        run.begin(CONFIG, overwrite=False)
        assert run.last_epoch.exists()


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


def test_overwrite_empties_the_directory(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "study", "model", 0)
    with run.claimed():
        run.begin(CONFIG, overwrite=False)
        (run.path / "predictions.parquet").touch()
        run.begin({**CONFIG, "fold": 1}, overwrite=True)
    assert sorted(path.name for path in run.path.iterdir()) == [".lock", "config.yaml", "status.json"]


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


def test_journal_reads_from_where_a_sweep_began(tmp_path: Path) -> None:
    entries = [journal.Entry("s", "m", fold, "done", 1.5) for fold in range(3)]
    journal.append(tmp_path, entries[0])
    start = journal.size(tmp_path)
    for entry in entries[1:]:
        journal.append(tmp_path, entry)
    assert journal.read(tmp_path, start) == entries[1:]
    assert journal.read(tmp_path) == entries
    assert journal.read(tmp_path / "none") == []
