"""The tools that build and run C++ beside ExecuTorch: for this machine, and for Arm64 by a cross compiler and qemu.

They are searched in a folder (see `tools_folder`, filled by `mpox.mobile.sdk.fetch`) and then on PATH. Nothing is
downloaded here.
"""

import functools
import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from mpox.errors import UserError

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
# ExecuTorch's libraries that an exported file needs; none of them needs PyTorch.
LIBRARIES = (
    "executorch",
    "executorch_kernels_optimized",
    "executorch_kernels_quantized",
    "executorch_backend_xnnpack",
    "executorch_threadpool",
)
FETCH = "python -m mpox.mobile.arm --fetch"
# Folder, below the tools folder, into which Debian packages are unpacked.
ROOT = "root"
TIMEOUT_S = 600


@dataclass(frozen=True)
class Target:
    """A processor that C++ is built for: `name`, the compiler's command, ExecuTorch's `include/` and `lib/`.

    `emulator` is put before the path of a program that this machine cannot run itself (empty: it can); `environment` is
    what compiler and emulator need beside this process's own.
    """

    name: str
    compiler: tuple[str, ...]
    sdk: Path
    emulator: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> tuple[str, ...]:
        """What to give the compiler beside sources: language, ExecuTorch's headers and libraries (linked by rpath)."""
        include, lib = self.sdk / "include", self.sdk / "lib"
        headers = [include, include / "executorch/runtime/core/portable_type/c10"]
        return (
            *("-std=c++20", "-O2", "-DC10_USING_CUSTOM_GENERATED_MACROS"),
            *(word for folder in headers for word in ("-isystem", str(folder))),
            *(f"-L{lib}", f"-Wl,-rpath,{lib}", "-Wl,--no-as-needed", *(f"-l{name}" for name in LIBRARIES)),
            "-Wl,--allow-shlib-undefined",
        )

    def compile(self, sources: Sequence[Path], program: Path, *flags: str) -> None:
        """Compile and link C++ into `program`. Raises UserError with the compiler's first error."""
        run_tool([*self.compiler, *map(str, sources), "-o", str(program), *self.flags, *flags], self.environment)

    def command(
        self, program: Path, cpu: str | None = None, plugin: Path | None = None, out: Path | None = None
    ) -> list[str]:
        """Return the command that starts a program: on an emulated core `cpu`, with a plugin that writes into `out`."""
        if not self.emulator:
            return [str(program)]
        core = ["-cpu", cpu] if cpu else []
        counted = ["-plugin", f"{plugin},out={out}"] if plugin else []
        return [*self.emulator, *core, *counted, str(program)]


def host() -> Target:
    """Return this machine's own compiler and the installed ExecuTorch. Raises UserError where there is no compiler."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise UserError("no C++ compiler (c++ or g++) on PATH: install g++")
    spec = find_spec("executorch")
    assert spec is not None and spec.submodule_search_locations
    return Target("host", (compiler,), Path(next(iter(spec.submodule_search_locations))))


def arm64(tools: Path | None = None) -> Target:
    """Return the Arm64 target of a tools folder (`tools_folder()` where None). UserError for what is missing."""
    place = (tools or tools_folder()).expanduser().absolute()
    sdk = sdk_folder(place)
    if not (sdk / "lib" / "libexecutorch.so").is_file():
        raise UserError(f"no ExecuTorch {version()} for aarch64 at {sdk}: {FETCH} downloads it (18 MB)")
    root, environment = place / ROOT, {}
    own = root / "usr" / "bin"
    if own.is_dir():
        environment["LD_LIBRARY_PATH"] = str(root / "usr" / "lib" / "x86_64-linux-gnu")
    compiler, emulator = _found(COMPILER, own, place), _found(EMULATOR, own, place)
    sysroot = (f"--sysroot={root}",) if compiler.parent == own else ()
    libraries = (root if sysroot else Path("/")) / "usr" / "aarch64-linux-gnu"
    if not libraries.is_dir():
        raise UserError(f"no Arm64 C library at {libraries}: install libc6-arm64-cross, or {FETCH}")
    if "-plugin" not in _help_of(str(emulator), environment.get("LD_LIBRARY_PATH")):
        raise UserError(
            f"{emulator} counts no instructions, as it was built without plugins (Debian 12's qemu-user has them, "
            "Debian 13's not): build qemu with --enable-plugins --target-list=aarch64-linux-user"
        )
    emulated = (str(emulator), "-L", str(libraries), "-U", "LD_LIBRARY_PATH")
    return Target("aarch64", (str(compiler), *sysroot), sdk, emulated, environment)


def tools_folder() -> Path:
    """Return where tools for Arm64 are kept, unless an option names another folder: `mpox/arm` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mpox" / "arm"


def sdk_folder(tools: Path) -> Path:
    """Return the folder of a tools folder that holds ExecuTorch's `include/` and `lib/` for aarch64."""
    return tools / f"executorch-{version()}"


def version() -> str:
    """Return the version of the installed ExecuTorch; the one for aarch64 must be the same."""
    return importlib.metadata.version("executorch").partition("+")[0]


def emulator_version(target: Target) -> tuple[int, int]:
    """Return major and minor version of a target's qemu. Raises UserError where it does not print them."""
    printed = run_tool([target.emulator[0], "--version"], target.environment)
    words = printed.partition("version ")[2].split()
    parts = words[0].split(".") if words else []
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        raise UserError(f"{target.emulator[0]} --version prints no version ({printed[:80]!r}): install qemu-user")
    return int(parts[0]), int(parts[1])


def run_tool(command: Sequence[str], environment: Mapping[str, str], timeout_s: int = TIMEOUT_S) -> str:
    """Run a command; return what it printed, stdout and stderr. UserError, with its first error, where it fails."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command[0]} cannot be run ({error}): install it again") from error
    printed = done.stdout + done.stderr
    if done.returncode != 0:
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        why = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "without output")
        raise UserError(f"{Path(command[0]).name} failed with exit code {done.returncode}: {why[:300]}")
    return printed


def _found(name: str, own: Path, place: Path) -> Path:
    path = shutil.which(name, path=str(own)) or shutil.which(name)
    if path is None:
        package = "g++-aarch64-linux-gnu" if name == COMPILER else "qemu-user"
        raise UserError(f"no {name} in {place} or on PATH: install {package}, or {FETCH} unpacks it there")
    return Path(path)


@functools.cache
def _help_of(emulator: str, libraries: str | None) -> str:
    return run_tool([emulator, "--help"], {"LD_LIBRARY_PATH": libraries} if libraries else {})
