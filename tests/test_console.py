"""Names on the terminal: shown as they are, and never obeyed."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from mpox.console import PlainFormatter, results_console, shown, visible

HOSTILE = {
    "\x1b[2J\x1b[31mred": "\\x1b[2J\\x1b[31mred",  # clears the screen
    "a\nerror: b": "a\\nerror: b",  # passes for another line
    "photo\u202egpj.exe": "photo\\u202egpj.exe",  # reads as photoexe.jpg
    "a\rb\x07\x9b1m": "a\\rb\\x07\\x9b1m",
    "a\u2028b\u2066c": "a\\u2028b\\u2066c",
    "caf\udce9": "caf\\xe9",  # a name of bytes that are no UTF-8
}
HARMLESS = ["Röteln", "天然痘", "مرض", "क्ष", "a b", "[red]x[/]", "👩\u200d⚕️", "nu\u202fbien"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_written_out(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = results_console()
    console.print(f"{name}: no such file")
    table = Table(title=shown(name))
    table.add_column("photo")
    table.add_row(shown(name))
    console.print(table)
    printed = capsys.readouterr().out
    assert printed.count(HOSTILE[name]) == 3
    assert name not in printed
    record = logging.makeLogRecord({"msg": "%s is no photo", "args": (name,), "levelname": "WARNING"})
    assert PlainFormatter("%(levelname)s: %(message)s").format(record) == f"WARNING: {HOSTILE[name]} is no photo"


@pytest.mark.parametrize("name", HARMLESS)
def test_other_names_are_shown_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = results_console()
    table = Table("photo")
    table.add_row(shown(name))
    console.print(name)
    console.print(table)
    assert visible(name) == name
    assert capsys.readouterr().out.count(name) == 2


def test_an_encoding_without_the_signs_loses_no_table() -> None:
    """Output that is not UTF-8: the table is there, in letters of that encoding."""
    program = (
        "from mpox.console import accept_every_letter, results_console\n"
        "from mpox.runs.journal import Entry\n"
        "from mpox.training.sweep import table\n"
        "accept_every_letter()\n"
        "done, failed = (Entry('\\xe9', 'm', k, state, 1.0, '') for k, state in enumerate(('done', 'failed')))\n"
        "results_console().print(table([done, failed]))\n"
        "print('\\u5929')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env=environment,
        cwd=Path(__file__).parents[1],
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.decode("ascii")
    assert (
        "study \\xe9: models by folds" in printed
        and "+ 1 done" in printed
        and "x 1 failed" in printed
        and "\\u5929" in printed
    )
