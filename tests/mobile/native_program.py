"""apps/native, built by CMake for this machine or for Arm64."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from mpox.errors import UserError
from mpox.mobile.sdk.tools import Target, arm64, host, tools_folder

SOURCE = Path(__file__).parents[2] / "apps" / "native"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
FETCH = "apps/native/fetch_libraries.sh ~/.cache/mpox/native <architecture>"


class Program:
    """A built program and how to start it."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder

    def ask(self, *words: object, cpu: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [*self.target.command(self.folder / "mpox", cpu), *map(str, words)]
        environment = {**os.environ, **self.target.environment}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)


def build(kind: str, folder: Path, *options: str) -> Program:
    """Build for `host` or `arm64`; skips the test, saying so, where a tool or library is missing."""
    if shutil.which("cmake") is None:
        pytest.skip("no cmake here")
    try:
        target = host() if kind == "host" else arm64()
    except UserError as error:
        pytest.skip(str(error))
    architecture = ARCHITECTURES[platform.machine()] if kind == "host" else "arm64"
    words = [f"-DEXECUTORCH={target.sdk}", f"-DCMAKE_CXX_COMPILER={target.compiler[0]}", *options]
    words += [
        f"-DCMAKE_CXX_FLAGS={' '.join(target.compiler[1:])}",
        *_libraries(tools_folder().parent, architecture, kind),
    ]
    if kind == "arm64":
        words += ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]
    environment = {**os.environ, **target.environment}
    for command in (["cmake", "-S", str(SOURCE), "-B", str(folder), *words], ["cmake", "--build", str(folder), "-j2"]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    return Program(target, folder)


def _libraries(cache: Path, architecture: str, kind: str) -> list[str]:
    """CMake's options for libjpeg and Little CMS: those that were fetched, else the system's."""
    place = cache / "native" / architecture / "usr"
    if not place.is_dir():
        if kind == "host" and Path("/usr/include/lcms2.h").is_file() and Path("/usr/include/jpeglib.h").is_file():
            return []
        pytest.skip(f"no libjpeg and Little CMS for {architecture}: {FETCH}")
    triplet = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[architecture]
    include, lib = place / "include", place / "lib" / triplet
    return [
        *(f"-DJPEG_INCLUDE_DIR={include}", f"-DJPEG_CONFIG_DIR={include / triplet}", f"-DLCMS2_INCLUDE_DIR={include}"),
        *(f"-DJPEG_LIBRARY_RELEASE={lib / 'libjpeg.so'}", f"-DLCMS2_LIBRARY={lib / 'liblcms2.so'}"),
    ]
