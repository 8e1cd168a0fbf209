"""What killed processes leave is removed by who comes next; what living ones use is not."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpox import temporary
from mpox.errors import UserError
from mpox.files import replacing, replacing_folder
from mpox.locks import HeldError, is_held, lock_of, locked
from mpox.temporary import scratch, sweep

# Writes half of a file in each of the ways there are, and is killed.
KILLED = """
import os, signal, sys
from pathlib import Path
from mpox.files import replacing
from mpox.locks import locked
from mpox.temporary import scratch
place = Path(sys.argv[1])
with replacing(place / "table.csv") as part, scratch(place) as folder, locked(place / "study"):
    part.write_text("half")
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(place: Path, code: str = KILLED) -> None:
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    killed(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    with replacing(tmp_path / "other.csv") as part:
        part.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


def test_what_is_in_use_or_belongs_to_others_stays(tmp_path: Path) -> None:
    theirs = [tmp_path / ".parentlock", tmp_path / ".project.lock", tmp_path / ".page.part"]
    for path in theirs:
        path.touch()
    with replacing(tmp_path / "a.csv") as part, scratch(tmp_path) as folder, locked(tmp_path / "study"):
        temporary.sweep.cache_clear()
        sweep(tmp_path)
        assert part.exists() and folder.exists() and is_held(tmp_path / "study")
        part.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.csv", *theirs])


@pytest.mark.parametrize("step", ["while it is written", "between the two renames", "before the old one is removed"])
def test_a_folder_killed_while_it_is_replaced_is_the_old_one_or_the_new(tmp_path: Path, step: str) -> None:
    folder = tmp_path / "release"
    new, old = tmp_path / ".release.new", tmp_path / ".release.old"
    folder.mkdir()
    (folder / "a").write_text("old")
    if step == "while it is written":
        new.mkdir()
    elif step == "between the two renames":
        new.mkdir()
        folder.rename(old)
    else:
        old.mkdir()
    with pytest.raises(RuntimeError, match="stop"), replacing_folder(folder):
        assert (folder / "a").read_text() == "old"
        raise RuntimeError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    with replacing_folder(folder) as place:
        (place / "a").write_text("new")
    assert (folder / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_a_lock_is_held_by_one_and_leaves_nothing(tmp_path: Path) -> None:
    with locked(tmp_path / "study"):
        assert is_held(tmp_path / "study")
        with pytest.raises(HeldError), locked(tmp_path / "study", wait=False):
            pass
        with pytest.raises(UserError, match="another process"), replacing_folder(tmp_path / "study"):
            pass
    assert not is_held(tmp_path / "study") and not lock_of(tmp_path / "study").exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def lacking(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", lacking)
    place = tmp_path / "study"
    with caplog.at_level("WARNING"), locked(place, wait=False), replacing(place / "a.csv") as part:
        part.write_text("whole")
    assert "without locks" in caplog.text
    assert [path.name for path in tmp_path.rglob("*")] == ["study", "a.csv"]
