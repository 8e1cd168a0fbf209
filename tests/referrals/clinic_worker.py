"""A clinic in a process of its own, for tests of races and of kills. Run by them: `python clinic_worker.py <mode> …`.

race <state> <name> <rounds>                claim and answer every case, `rounds` times, once a line is typed; print the
                                            cases that this process has answered
run <folder> <inbox> <key> <answer>         take and answer all that is in the inbox; the state is in the folder
kill <folder> <inbox> <key> <answer> <k>    the same, ended by SIGKILL at its k-th step: a file opened or renamed, a
                                            database or a connection opened
steps <folder> <key> <answer>               for k = 1, 2, …, until one gets through: the same in <folder>/<k>, whose
                                            inbox is a copy of <folder>/in; print how many were killed
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from mpox.referrals.state import Answer, LostError, Page, State, now

WATCHED = ("open", "os.rename", "os.link", "os.remove", "sqlite3.connect", "socket.connect")


def race(path: Path, name: str, rounds: int) -> None:
    state, page = State(path, lease=0), Page(f"session-of-{name}-0123456789", name)
    numbers = [case["id"] for case in state.cases()]
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    for _ in range(rounds):
        for number in numbers:
            with contextlib.suppress(LostError):
                state.claim(number, page)
                state.first(number, page, name)
                state.answer(number, page, Answer(name, "", now(), name.encode()), blind=True)
                won.append(number)
    print(*won)


def work(state: State, inbox: Any, key: Any, answer: str, way: Any) -> None:
    """Take, answer and send whatever is left to be done."""
    from mpox.referrals.desk import Desk  # imported late: two that race start sooner

    desk, page = Desk(state, inbox, key, way), Page("the-one-page-of-this-test", "N.")
    desk.look()
    for case in state.cases():
        if case["state"] == "open":
            desk.open(case["id"], page)
            desk.first(case["id"], page, "cannot tell")
            desk.answer(case["id"], page, answer, "Please come in.")
    desk.look()


def run(folder: Path, inbox: str, key_file: str, answer: str) -> None:
    """What the command does at its start, and a clinician then; `folder` holds the state, and an inbox called `in`."""
    from mpox.referrals.fhir_server import FhirServer
    from mpox.referrals.keys import read_key

    place: Path | FhirServer = FhirServer(inbox) if "://" in inbox else folder / inbox
    way = place / "answers" if isinstance(place, Path) else place
    work(State(folder / "state.sqlite"), place, read_key(Path(key_file)), answer, way)


def run_to(step: int, *given: Any) -> None:
    """The same, killed at its step of this number."""
    left = step

    def count(event: str, _: Any) -> None:
        nonlocal left
        left -= event in WATCHED
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    run(*given)


def steps(base: Path, key_file: str, answer: str) -> None:
    for step in range(1, 10_000):
        folder = base / f"{step:04d}"
        shutil.copytree(base / "in", folder / "in")
        child = os.fork()
        if child == 0:
            run_to(step, folder, "in", key_file, answer)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            print(step - 1)
            return


def warm(key_file: str) -> None:
    """Import all that the work imports on its way: opening a module is no step of it."""
    from made_referral import referral, write

    with tempfile.TemporaryDirectory() as folder:
        path, _ = write(Path(folder) / "in", referral(0, side=32), read_public(key_file))
        os.utime(path, (1, 1))
        run(Path(folder), "in", key_file, "acne")


def read_public(key_file: str) -> dict[str, Any]:
    from mpox.referrals.keys import PUBLIC

    content: dict[str, Any] = json.loads(Path(key_file).with_name(PUBLIC).read_text())
    return content


if __name__ == "__main__":
    mode, given = sys.argv[1], sys.argv[2:]
    if mode == "race":
        race(Path(given[0]), given[1], int(given[2]))
    else:
        key_file = given[1] if mode == "steps" else given[2]
        warm(key_file)
        print("ready", flush=True)
        if mode == "steps":
            steps(Path(given[0]), *given[1:])
        elif mode == "run":
            run(Path(given[0]), *given[1:])
        else:
            run_to(int(given[4]), Path(given[0]), *given[1:4])
