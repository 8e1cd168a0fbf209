"""Time an exported file on an Android phone: push it, run ExecuTorch's own runner there, read its output.

The runner is ExecuTorch's `executor_runner` (examples/portable), built for the phone with XNNPACK and logging. Its
messages appear on the terminal or in the phone's log under the tag ExecuTorch.
"""

import re
import shlex
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpox.errors import UserError
from mpox.mobile.file.input_tensor import PLANES, as_input
from mpox.mobile.file.package import MODEL_FILE
from mpox.mobile.run.golden import GOLDEN, Golden, read_golden
from mpox.temporary import scratch

# The folder from which a phone runs programs that are not apps.
PLACE = "/data/local/tmp/mpox"
TIMEOUT_S = 600
LOADED = re.compile(r"Model loaded in ([\d.]+) ms")
ITERATION = re.compile(r"Iteration (\d+) of \d+: ([\d.]+) ms")
TOTAL = re.compile(r"Model executed successfully (\d+) time\(s\) in ([\d.]+) ms")
FACTS = {
    "maker": "ro.product.manufacturer",
    "model": "ro.product.model",
    "processor": "ro.soc.model",
    "android": "ro.build.version.release",
    "abi": "ro.product.cpu.abi",
}
BUILD = (
    "build it in ExecuTorch's sources for arm64-v8a with -DEXECUTORCH_BUILD_XNNPACK=ON -DEXECUTORCH_ENABLE_LOGGING=ON "
    "(target executor_runner), and give runner=<its path>"
)


@dataclass(frozen=True)
class Phone:
    """A phone that adb reaches: the adb program and the phone's serial number."""

    adb: str
    serial: str

    def shell(self, command: str) -> str:
        """Run a command on the phone; return its output. Raises UserError where it fails."""
        return self._adb("shell", command)

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the phone."""
        self._adb("push", str(source), target)

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the phone."""
        self._adb("pull", source, str(target))

    def log_since(self, moment: str) -> str:
        """Return what ExecuTorch wrote into the phone's log since `moment` (its clock's, MM-DD HH:MM:SS.000)."""
        return self._adb("logcat", "-d", "-v", "raw", "-T", moment, "-s", "ExecuTorch")

    def facts(self) -> dict[str, str]:
        """Return maker, model, processor, version of Android and instruction set."""
        return {name: self.shell(f"getprop {key}").strip() for name, key in FACTS.items()}

    def _adb(self, *arguments: str) -> str:
        done = _run([self.adb, "-s", self.serial, *arguments])
        if done.returncode != 0:
            output = " ".join((done.stdout + done.stderr).split())[-240:]
            what = f"phone {self.serial}: adb {arguments[0]} failed ({output or 'without output'})"
            raise UserError(f"{what}: {_remedy(output)}")
        return done.stdout + done.stderr


def find_phone(adb: str = "adb", serial: str | None = None) -> Phone:
    """Find the phone that is attached, or the one with this serial number.

    Raises UserError where adb is not installed, no phone is attached or ready, or several are and no serial number is
    given.
    """
    program = shutil.which(adb)
    if program is None:
        raise UserError(f"no program {adb}: install Android's platform-tools, or give adb=<path of adb>")
    done = _run([program, "devices"])
    if done.returncode != 0:
        raise UserError(f"{adb} devices failed ({' '.join(done.stderr.split())[:160]}): start adb by hand to see why")
    states = dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    ready = [name for name, state in states.items() if state.strip() == "device"]
    if serial is not None and serial not in ready:
        raise UserError(f"no phone {serial} is ready (attached: {_listed(states)}): see `adb devices`")
    if serial is None and not ready:
        raise UserError(
            f"no phone is ready (attached: {_listed(states)}): attach one, turn on USB debugging on it and allow this "
            "computer; `adb devices` must list it as `device`"
        )
    if serial is None and len(ready) > 1:
        raise UserError(f"several phones are attached ({', '.join(ready)}): give serial=<one of them>")
    return Phone(program, serial or ready[0])


def time_on_phone(
    export: Path, phone: Phone, runner: Path | None, *, form: str = PLANES, threads: int = 1, runs: int = 50
) -> dict[str, Any]:
    """Run an export's `model.pte` on a phone, on each of its golden pictures, and compare the probabilities.

    `form` is that of the file's input, see `mpox.mobile.file.input_tensor`. Returns `phone` (its facts), `threads`,
    what `read_times` returns for the first picture (`runs` + 1 executions), and `golden_difference` (largest of the
    probabilities). Raises UserError where the runner is missing, too old or prints no times.
    """
    if runner is None or not runner.is_file():
        raise UserError(f"no runner at {runner or 'runner='}: {BUILD}")
    golden = read_golden(export / GOLDEN)
    phone.shell(f"mkdir -p {PLACE}")
    phone.push(runner, f"{PLACE}/executor_runner")
    phone.push(export / MODEL_FILE, f"{PLACE}/{MODEL_FILE}")
    phone.shell(f"chmod 755 {PLACE}/executor_runner")
    try:
        times: dict[str, Any] = {}
        difference = 0.0
        for k in range(len(golden.names)):
            output, probabilities = _execute(phone, golden, k, form, threads, runs + 1 if k == 0 else 1)
            times = times or read_times(output)
            difference = max(difference, float(np.abs(probabilities - golden.probabilities[k]).max()))
        return {"phone": phone.facts(), "threads": threads, **times, "golden_difference": round(difference, 6)}
    finally:
        phone.shell(f"rm -r {PLACE}")


def read_times(text: str) -> dict[str, Any]:
    """Read the runner's messages: `load_ms`, `first_ms`, `median_ms`, `p90_ms` and `runs` (the first not counted).

    For a runner that reports only the total, `median_ms` and `p90_ms` are None and `mean_ms` is of all runs. Raises
    UserError where there is no time.
    """
    total = TOTAL.search(text)
    if total is None:
        raise UserError(
            f"the runner reports no times (its output: {' '.join(text.split())[-160:] or 'empty'}): {BUILD}"
        )
    loaded = LOADED.search(text)
    each = [float(ms) for _, ms in ITERATION.findall(text)]
    first, rest = (each[0] if each else None), each[1:]
    return {
        "load_ms": float(loaded[1]) if loaded else None,
        "first_ms": first,
        "median_ms": round(statistics.median(rest), 3) if rest else None,
        "p90_ms": round(float(np.quantile(rest, 0.9)), 3) if rest else None,
        "mean_ms": round(float(total[2]) / max(1, int(total[1])), 3),
        "runs": max(0, int(total[1]) - 1),
    }


def _execute(phone: Phone, golden: Golden, k: int, form: str, threads: int, runs: int) -> tuple[str, np.ndarray]:
    """Run the file on golden picture k; return the runner's output and the probabilities (C) float32."""
    with scratch() as folder:
        tensor, result = folder / "picture.bin", folder / "answer.bin"
        as_input(golden.pictures[k], golden.pictures.shape[1], form).tofile(tensor)
        phone.push(tensor, f"{PLACE}/picture.bin")
        moment = phone.shell("date '+%m-%d %H:%M:%S.000'").strip()
        options = {
            "model_path": MODEL_FILE,
            "method_name": "forward",
            "inputs": "picture.bin",
            "output_file": "answer",
            "num_executions": runs,
            "cpu_threads": threads,
            "print_output": "none",
        }
        flags = " ".join(f"--{name}={shlex.quote(str(value))}" for name, value in options.items())
        output = phone.shell(f"cd {PLACE} && ./executor_runner {flags}")
        if TOTAL.search(output) is None:
            output += phone.log_since(moment)
        phone.pull(f"{PLACE}/answer-0.bin", result)
        return output, np.fromfile(result, "<f4")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{' '.join(command[:4])} did not end in {TIMEOUT_S} s: check the phone") from error


def _remedy(output: str) -> str:
    if "unknown command line flag" in output:
        return "the runner is too old; build that of ExecuTorch 1.5 or later"
    return "check the phone, and try the command by hand"


def _listed(states: dict[str, str]) -> str:
    return ", ".join(f"{name} {state.strip()}" for name, state in states.items()) or "none"
