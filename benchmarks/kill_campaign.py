"""Commands killed at random moments, stopped by signals, failed by their disk: do they heal when typed again?

Each trial copies what the stage starts from, starts the command, disturbs it, types it again and holds the results bit
for bit against those of a command that nothing disturbed, and the files that lie there against its. Seeded; the moments
are drawn over the time that the clean command takes. Commands are forked from this process, which has imported
everything, so that the moments fall into the work and not into imports.
`python -m benchmarks.kill_campaign --kills 200 --signals 50 --faults 60`
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.campaign_stages import STAGES, Stage, draw_photos, leftovers, listing, results
from benchmarks.faults import KINDS, Injector, limit_file_size
from mpox.cli import start

PATIENCE_S, BEGUN_S = 300.0, 0.1
SIGNALS = {"SIGTERM": (signal.SIGTERM, 143), "SIGINT": (signal.SIGINT, 130)}


@dataclass(frozen=True)
class Clean:
    """A stage that nothing disturbed: seconds, results, all paths, file operations, and where it started from."""

    seconds: float
    results: dict[str, str]
    paths: set[str]
    operations: int
    place: Path


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: by that signal) and what it printed."""

    code: int
    printed: str


def fork(stage: Stage, place: Path, injector: Injector | None = None, limit: int = 0) -> int:
    """Start a stage's command in `place` as a process of its own, on a disk that fails as asked. Returns its id.

    The operations that an injector counted are left in `<place>.count`.
    """
    (place / "tmp").mkdir(exist_ok=True)
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        os.chdir(place)
        tempfile.tempdir = os.environ["TMPDIR"] = str(place / "tmp")
        output = os.open(place.with_name(f"{place.name}.out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if injector:
            injector.install()
        if limit:
            limit_file_size(limit)
        start(import_module(f"mpox.{stage.door}").COMMAND, list(stage.arguments))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        if injector:
            with injector.open(f"{place}.count", "w") as file:
                file.write(str(injector.count))
        os._exit(code)


def wait(child: int, place: Path, seconds: float = PATIENCE_S) -> Ended | None:
    """Wait for a command; None where it is still running after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return Ended(code, place.with_name(f"{place.name}.out").read_text(errors="replace"))
        time.sleep(0.002)
    return None


def run(stage: Stage, place: Path, injector: Injector | None = None, limit: int = 0) -> Ended:
    """Run a stage's command to its end, on a disk that fails as asked; one that hangs is killed."""
    child = fork(stage, place, injector, limit)
    ended = wait(child, place)
    if ended is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Ended(-int(signal.SIGALRM), "it hangs")
    return ended


def clean(stage: Stage, folder: Path) -> Clean:
    """Make what a stage starts from by the stages before it, run it, and count its file operations."""
    base = folder / f"{stage.name}-before"
    base.mkdir()
    draw_photos(base)
    for name in stage.after:
        ended = run(STAGES[name], base)
        assert ended.code == 0, ended.printed
    shutil.rmtree(base / "tmp", ignore_errors=True)
    place = folder / f"{stage.name}-clean"
    shutil.copytree(base, place, symlinks=True)
    begin = time.perf_counter()
    ended = run(stage, place)
    seconds = time.perf_counter() - begin
    assert ended.code == 0, ended.printed
    counted = folder / f"{stage.name}-counted"
    shutil.copytree(base, counted, symlinks=True)
    assert run(stage, counted, Injector(counted, "EIO", 0)).code == 0
    operations = int(counted.with_name(f"{counted.name}.count").read_text())
    shutil.rmtree(counted)
    return Clean(seconds, results(stage, place), listing(place), operations, base)


def judged(stage: Stage, whole: Clean, place: Path, found: Counter[str]) -> list[str]:
    """Type the command again; count and return what is not as after the clean one."""
    again = run(stage, place)
    wrong = []
    if again.code != 0:
        wrong.append(f"typed again it ends with {again.code}: {again.printed[-1500:]}")
    elif (now := results(stage, place)) != whole.results:
        differ = sorted(name for name in now.keys() | whole.results if now.get(name) != whole.results.get(name))
        wrong.append(f"other results: {', '.join(differ[:5])}")
    if left := leftovers(place, whole.paths) if again.code == 0 else []:
        wrong.append(f"left over: {', '.join(left[:5])}")
    found["same"] += again.code == 0 and not wrong
    found["left"] += len(left)
    return wrong


def disturbed(stage: Stage, whole: Clean, how: str, place: Path, rng: random.Random, found: Counter[str]) -> list[str]:
    """Disturb one command in `how`; return what is wrong with how it ended. Counts it unless it ended before that."""
    shutil.copytree(whole.place, place, symlinks=True)
    if how in (*KINDS, "file size"):
        at = rng.randint(1, max(1, whole.operations))
        size = round(2 ** rng.uniform(6, 20))
        ended = run(stage, place, limit=size) if how == "file size" else run(stage, place, Injector(place, how, at))
        found["tried"] += 1
        found["warned"] += ended.code == 0
        if ended.code < 0 or "Traceback (most recent" in ended.printed:
            return [f"{how} at {size if how == 'file size' else at}: ended with {ended.code}: {ended.printed[-1500:]}"]
        return []
    child = fork(stage, place)
    # A signal is answered by a command that has begun: before that the interpreter ends by itself.
    least = 0.0 if how == "SIGKILL" else BEGUN_S
    ended_before = wait(child, place, least + rng.uniform(0.0, 0.97) * (whole.seconds - least))
    if ended_before is not None:
        return []
    number, code = (signal.SIGKILL, -9) if how == "SIGKILL" else SIGNALS[how]
    os.kill(child, number)
    ended = wait(child, place) or Ended(0, "it hangs")
    if ended.code == 0:  # it was at its end
        return []
    found["tried"] += 1
    lines = ended.printed.count("stopped by SIG")
    if ended.code != code or (how != "SIGKILL" and lines != 1):
        return [f"{how}: ended with {ended.code}, {lines} lines say so: {ended.printed[-1500:]}"]
    return []


def campaign(stages: Sequence[str], counts: dict[str, int], seed: int, folder: Path) -> bool:
    """Run all trials and print the table as Markdown; say whether nothing was wrong."""
    print("| stage | clean, s | disturbed by | times | went on with a warning | same result | left over |")
    print("|---|---|---|---|---|---|---|")
    sound = True
    for name in stages:
        stage = STAGES[name]
        whole = clean(stage, folder)
        for how, wanted in counts.items():
            rng, found = random.Random(f"{seed} {name} {how}"), Counter[str]()
            problems: list[str] = []
            for trial in range(3 * wanted):
                if found["tried"] >= wanted:
                    break
                place = folder / f"{name}-{how.replace(' ', '-')}-{trial}"
                before = found["tried"]
                problems += disturbed(stage, whole, how, place, rng, found)
                if found["tried"] > before:
                    problems += judged(stage, whole, place, found)
                shutil.rmtree(place)
            warned = str(found["warned"]) if how in (*KINDS, "file size") else ""
            figures = f"{found['tried']} | {warned} | {found['same']} | {found['left']}"
            print(f"| {name} | {whole.seconds:.1f} | {how} | {figures} |", flush=True)
            sound &= not problems
            for problem in problems:
                print(f"  {name}, {how}: {problem}", file=sys.stderr, flush=True)
    return sound


def main() -> None:
    """Read the options, run the campaign, exit with 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs in all, over the stages")
    parser.add_argument("--signals", type=int, default=50, help="SIGTERMs and SIGINTs in all")
    parser.add_argument("--faults", type=int, default=60, help="failing file operations in all, over kinds and stages")
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ |= {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "COLUMNS": "160"}
    torch.set_num_threads(1)
    for name in {stage.door for stage in STAGES.values()}:
        import_module(f"mpox.{name}").COMMAND.load()  # what is imported here, no child imports again
    each = {"SIGKILL": options.kills, "SIGTERM": options.signals / 2, "SIGINT": options.signals / 2}
    each |= dict.fromkeys([*KINDS, "file size"], options.faults / (len(KINDS) + 1))
    counts = {how: -(-int(total) // len(options.stages)) for how, total in each.items() if total}
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        sys.exit(not campaign(options.stages, counts, options.seed, Path(folder)))


if __name__ == "__main__":
    main()
