"""A phone over adb, played by a script that prints in the formats of adb and of ExecuTorch's runner."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpox.errors import UserError
from mpox.files import write_json
from mpox.mobile.file.input_tensor import PIXELS, PLANES
from mpox.mobile.run.adb import find_phone, read_times, time_on_phone

# In the format of executor_runner's source: level, time since start, file and line, message. Not from a real phone.
RECORDED = """\
I 00:00:00.000412 executorch:executor_runner.cpp:376] Resetting threadpool with num threads = 1
I 00:00:00.001983 executorch:executor_runner.cpp:421] Loading inputs from input file(s).
I 00:00:00.003310 executorch:executor_runner.cpp:503] Model file model.pte is loaded.
I 00:00:00.003347 executorch:executor_runner.cpp:514] Using method forward
I 00:00:00.003391 executorch:executor_runner.cpp:587] Setting up CPU planned buffer 0, size 602160.
I 00:00:00.021846 executorch:executor_runner.cpp:672] Model loaded in 18.402000 ms.
I 00:00:00.034120 executorch:executor_runner.cpp:817] Iteration 1 of 5: 12.137000 ms
I 00:00:00.043011 executorch:executor_runner.cpp:817] Iteration 2 of 5: 8.771000 ms
I 00:00:00.051760 executorch:executor_runner.cpp:817] Iteration 3 of 5: 8.612000 ms
I 00:00:00.061052 executorch:executor_runner.cpp:817] Iteration 4 of 5: 9.154000 ms
I 00:00:00.069801 executorch:executor_runner.cpp:817] Iteration 5 of 5: 8.640000 ms
I 00:00:00.069822 executorch:executor_runner.cpp:828] Model executed successfully 5 time(s) in 47.314000 ms.
I 00:00:00.069840 executorch:executor_runner.cpp:836] 2 outputs:
"""
# As its Android build writes into the phone's log: the messages alone.
IN_LOG = "\n".join(["--------- beginning of main", *(line.partition("] ")[2] for line in RECORDED.splitlines())])
OLD = "ERROR: unknown command line flag 'print_output'"
PROBABILITIES = np.array([0.1, 0.6, 0.3], "<f4")

ADB = """#!/bin/sh
here=$(dirname "$0")
[ "$1" = devices ] && { printf 'List of devices attached\\n'; cat "$here/devices"; printf '\\n'; exit 0; }
shift 2
echo "$@" >> "$here/calls"
case "$1" in
  shell) case "$2" in
    *executor_runner\\ *) cat "$here/output"; exit $(cat "$here/code");;
    getprop*model) echo 'Pixel 8';;
    getprop*) echo something;;
    date*) echo '11-24 19:00:00.000';;
  esac;;
  logcat) cat "$here/log";;
  push) cp "$2" "$here/$(basename "$3")";;
  pull) cp "$here/answer.bin" "$3";;
esac
"""


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """A folder with the script `adb` and the files it gives out: `devices`, `output`, `code`, `log`, `answer.bin`."""
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "adb").write_text(ADB)
    (folder / "adb").chmod(0o755)
    for name, text in {"devices": "R5CT\tdevice\n", "output": RECORDED, "code": "0", "log": "", "calls": ""}.items():
        (folder / name).write_text(text)
    PROBABILITIES.tofile(folder / "answer.bin")
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export's model file and golden set; the phone never reads the model."""
    folder = tmp_path / "export"
    (folder / "golden").mkdir(parents=True)
    (folder / "model.pte").write_bytes(b"model")
    for name in ("photo-0", "photo-0-picture"):
        Image.new("RGB", (8, 8), (10, 20, 30)).save(folder / "golden" / f"{name}.png")
    expected = {"photo-0": {"probabilities": [0.1, 0.62, 0.28]}}
    write_json(folder / "golden" / "expected.json", {"answers": expected})
    return folder


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    (tmp_path / "executor_runner").write_bytes(b"runner")
    return tmp_path / "executor_runner"


@pytest.mark.parametrize("place", ["output", "log"])
def test_times_and_probabilities_are_read(place: str, phone: Path, export: Path, runner: Path) -> None:
    if place == "log":
        (phone / "output").write_text("")
        (phone / "log").write_text(IN_LOG)
    found = time_on_phone(export, find_phone(str(phone / "adb")), runner, threads=2, runs=4)
    assert found["phone"]["model"] == "Pixel 8"
    assert (found["load_ms"], found["first_ms"], found["runs"], found["threads"]) == (18.402, 12.137, 4, 2)
    assert found["median_ms"] == pytest.approx(np.median([8.771, 8.612, 9.154, 8.64]), abs=1e-3)
    assert found["p90_ms"] == pytest.approx(np.quantile([8.771, 8.612, 9.154, 8.64], 0.9), abs=1e-3)
    assert found["golden_difference"] == pytest.approx(0.02, abs=1e-6)
    calls = (phone / "calls").read_text()
    assert "--method_name=forward" in calls and "--cpu_threads=2" in calls and "--num_executions=5" in calls


@pytest.mark.parametrize(("form", "dtype"), [(PLANES, "<f4"), (PIXELS, "u1")])
def test_the_picture_is_pushed_as_the_file_takes_it(
    form: str, dtype: str, phone: Path, export: Path, runner: Path
) -> None:
    time_on_phone(export, find_phone(str(phone / "adb")), runner, form=form)
    pushed = np.fromfile(phone / "picture.bin", dtype)
    first = [10, 10] if form == PLANES else [10, 20]
    assert pushed.size == 3 * 8 * 8 and pushed[:2].tolist() == first


def test_a_runner_that_reports_only_the_total(phone: Path) -> None:
    found = read_times("Model executed successfully 4 time(s) in 36.000000 ms.")
    assert (found["mean_ms"], found["first_ms"], found["median_ms"], found["load_ms"]) == (9.0, None, None, None)


@pytest.mark.parametrize(
    ("devices", "serial", "message"),
    [
        ("", None, "no phone is ready"),
        ("R5CT\tunauthorized\n", None, "R5CT unauthorized"),
        ("R5CT\tdevice\nemulator-5554\tdevice\n", None, "several phones"),
        ("R5CT\tdevice\n", "OTHER", "no phone OTHER"),
    ],
)
def test_phones_that_cannot_be_used(devices: str, serial: str | None, message: str, phone: Path) -> None:
    (phone / "devices").write_text(devices)
    with pytest.raises(UserError, match=message):
        find_phone(str(phone / "adb"), serial)


def test_a_missing_part_gets_one_line(phone: Path, export: Path, runner: Path) -> None:
    with pytest.raises(UserError, match="install Android's platform-tools"):
        find_phone("no-such-adb")
    found = find_phone(str(phone / "adb"))
    with pytest.raises(UserError, match="EXECUTORCH_BUILD_XNNPACK"):
        time_on_phone(export, found, None)
    (phone / "output").write_text("")
    with pytest.raises(UserError, match=r"reports no times.*EXECUTORCH_ENABLE_LOGGING"):
        time_on_phone(export, found, runner)
    (phone / "output").write_text(OLD)
    (phone / "code").write_text("1")
    with pytest.raises(UserError, match="too old"):
        time_on_phone(export, found, runner)
    assert "rm -r" in (phone / "calls").read_text().splitlines()[-1]
