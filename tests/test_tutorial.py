"""docs/tutorial.md as a reader follows it: each command as it is written, and each line of output shown there."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from documented import CHECKOUT, DOCS

BLOCK = re.compile(r"^```(bash|text|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """Commands of one block, what reads them, and the lines that they must print."""

    language: str
    text: str
    shown: tuple[str, ...]


def steps() -> list[Step]:
    found: list[Step] = []
    for language, text in BLOCK.findall((DOCS / "tutorial.md").read_text(encoding="utf-8")):
        if language == "text":
            found[-1] = Step(found[-1].language, found[-1].text, tuple(text.splitlines()))
        else:
            found.append(Step(language, text, ()))
    return found


@pytest.mark.slow
def test_the_tutorial_runs_as_written(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "COLUMNS": "160",
    }
    environment.pop("WANDB_MODE", None)
    for step in steps():
        command = ["bash", "-ec", step.text] if step.language == "bash" else [sys.executable, "-c", step.text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        printed = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 0, f"{step.text}{printed[-3000:]}"
        for line in step.shown:
            pattern = ".*?".join(re.escape(" ".join(part.split())) for part in line.split("…"))
            assert re.search(pattern, printed), f"{step.text}prints no line '{line}' but:\n{printed[-3000:]}"
    assert (tmp_path / "exports" / "tutorial" / "model.pte").is_file()
