"""Download the tools for Arm64 into a folder, by pip and apt, only when asked to. Needs no root."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from mpox.errors import UserError
from mpox.files import replacing_folder
from mpox.mobile.sdk.tools import COMPILER, EMULATOR, ROOT, run_tool, sdk_folder, version
from mpox.temporary import scratch

PLATFORM = "manylinux_2_28_aarch64"
PACKAGES = {COMPILER: "g++-aarch64-linux-gnu", EMULATOR: "qemu-user"}


def fetch(tools: Path, report: Callable[[str], None]) -> None:
    """Fill `tools` with what is missing there: ExecuTorch's files for aarch64, the cross compiler, the emulator.

    What is there, or on PATH (compiler, emulator), is left as it is. `report` is called with a line before each
    download. Raises UserError where pip or apt cannot give them.
    """
    tools = tools.expanduser().absolute()
    if not sdk_folder(tools).is_dir():
        report(f"ExecuTorch {version()} for aarch64, 18 MB, by pip into {sdk_folder(tools)}")
        with replacing_folder(sdk_folder(tools)) as place:
            _fetch_sdk(place)
    own = str(tools / ROOT / "usr" / "bin")
    missing = [
        package for name, package in PACKAGES.items() if not (shutil.which(name, path=own) or shutil.which(name))
    ]
    if missing:
        report(f"{' and '.join(missing)} with what they need, 70 MB, by apt into {tools / ROOT}")
        with replacing_folder(tools / ROOT) as place:
            _fetch_packages(place)


def _fetch_sdk(place: Path) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    options = ["--platform", PLATFORM, "--python-version", python, "--dest"]
    with scratch() as folder:
        run_tool([*command, *options, str(folder), f"executorch=={version()}"], {})
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as content:
            for name in content.namelist():
                if name.startswith(("executorch/include/", "executorch/lib/")):
                    content.extract(name, folder)
        for part in (folder / "executorch").iterdir():
            shutil.move(part, place / part.name)


def _fetch_packages(place: Path) -> None:
    """Unpack the compiler, the emulator and all that they need and this machine lacks."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        names = " and ".join(PACKAGES.values())
        raise UserError(f"no apt-get here: install {names} with this machine's own package manager")
    simulated = run_tool(["apt-get", "install", "--simulate", "--no-install-recommends", *PACKAGES.values()], {})
    needed = [line.split()[1] for line in simulated.splitlines() if line.startswith("Inst ")]
    with scratch() as folder:
        try:
            subprocess.run(["apt-get", "download", *needed], cwd=folder, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            why = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"apt-get cannot download {len(needed)} packages ({why}): apt-get update, then again"
            ) from error
        for package in sorted(folder.glob("*.deb")):
            run_tool(["dpkg", "-x", str(package), str(place)], {})
