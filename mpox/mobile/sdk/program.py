"""The program that runs an exported file outside of Python: built once, then asked for answers, on any `Target`."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from mpox.errors import UserError
from mpox.mobile.sdk.tools import Target, emulator_version, run_tool, tools_folder, version
from mpox.temporary import scratch

PROGRAM, PLUGIN = "answers.cpp", "counting.c"
# Kinds of instructions, in the order in which the plugin writes them.
KINDS = (
    "dot_products",
    "integer_products",
    "float_products",
    "conversions",
    "other_vector",
    "loads",
    "stores",
    "other",
)
TIMEOUT_S = 3600


@dataclass(frozen=True)
class Answers:
    """First outputs of a file (N, C) float32, and the bytes that loading and running it added to the heap at its peak.

    `instructions` of one photo, by kind (see KINDS), where they were counted.
    """

    outputs: np.ndarray
    heap_bytes: int
    instructions: dict[str, int] | None = None


def built(target: Target) -> Path:
    """Return the program for a target, built where its source, compiler or libraries are not those of the last time."""
    return _cached(PROGRAM, target, lambda source, program: target.compile([source], program))


def plugin(target: Target) -> Path:
    """Return the plugin that counts instructions in a target's emulator, built by this machine's compiler."""
    major, minor = emulator_version(target)
    interface = 1 if major < 9 else 2 if (major, minor) == (9, 0) else 3
    c = shutil.which("cc") or shutil.which("gcc")
    if c is None:
        raise UserError("no C compiler (cc or gcc) on PATH: install gcc")

    def compile_plugin(source: Path, library: Path) -> None:
        run_tool([c, "-O2", "-shared", "-fPIC", f"-DAPI={interface}", str(source), "-o", str(library)], {})

    return _cached(PLUGIN, target, compile_plugin, f"API={interface}")


def answer(target: Target, file: Path, photos: np.ndarray, *, cpu: str | None = None) -> Answers:
    """Run a `.pte` on photos in its own form (N, …), float32 or uint8, one thread. UserError where that fails."""
    with scratch() as folder:
        return _run(target, file, photos, folder, cpu)


def count(target: Target, file: Path, photo: np.ndarray, *, cpu: str, plugin: Path) -> Answers:
    """Run one photo (1, …) twice and count the instructions of the second run, on a core of an emulated target."""
    with scratch() as folder:
        marks = folder / "counts"
        found = _run(target, file, np.concatenate([photo, photo]), folder, cpu, plugin, marks)
        *_, start, end = [np.array(line.split(), "int64") for line in marks.read_text().splitlines()]
    instructions = dict(zip(KINDS, map(int, end - start), strict=True))
    return Answers(found.outputs[:1], found.heap_bytes, instructions)


def _run(
    target: Target,
    file: Path,
    photos: np.ndarray,
    folder: Path,
    cpu: str | None,
    plugin: Path | None = None,
    marks: Path | None = None,
) -> Answers:
    given, found = folder / "photos", folder / "answers"
    np.ascontiguousarray(photos).tofile(given)
    command = [*target.command(built(target), cpu, plugin, marks), str(file.resolve()), str(given), str(found)]
    printed = run_tool([*command, str(len(photos))], target.environment, TIMEOUT_S)
    outputs = np.fromfile(found, "<f4").reshape(len(photos), -1)
    return Answers(outputs, int(_last_line(printed)))


def _last_line(printed: str) -> str:
    """The line of the program among those that the runtime prints about the processor."""
    return next(line for line in reversed(printed.splitlines()) if line.strip().isdigit())


def _cached(name: str, target: Target, compile_source: Callable[[Path, Path], None], *facts: str) -> Path:
    source = resources.files("mpox.mobile.sdk") / name
    parts = (source.read_text(), target.name, *target.compiler, *target.flags, version(), *facts)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    path = tools_folder() / "built" / f"{Path(name).stem}-{key}"
    if not path.is_file():
        with resources.as_file(source) as place, scratch(path.parent) as folder:
            compile_source(place, folder / path.name)
            (folder / path.name).replace(path)
    return path
