"""The processor that latencies are measured on: its name, and what it has for int8 and bf16 arithmetic. No PyTorch.

Int8 is fast where a processor has dot products of 8-bit numbers, and hardly faster than float where it has none, so
that a latency says little without these facts.
"""

import functools
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

# Features by what they are for, under the names of this project, with the names that Linux and macOS give them.
INT8 = {
    "avx2": ("avx2",),
    "avx512bw": ("avx512bw",),
    "avx_vnni": ("avx_vnni",),
    "avx512_vnni": ("avx512_vnni",),
    "avx_vnni_int8": ("avx_vnni_int8",),
    "amx_int8": ("amx_int8",),
    "dotprod": ("asimddp", "FEAT_DotProd"),
    "i8mm": ("i8mm", "FEAT_I8MM"),
    "sve": ("sve",),
    "sme": ("sme", "FEAT_SME"),
}
BF16 = {
    "avx512_bf16": ("avx512_bf16",),
    "amx_bf16": ("amx_bf16",),
    "bf16": ("bf16", "FEAT_BF16"),
}
CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def _found() -> tuple[str, frozenset[str] | None]:
    """Name of this machine's processor and the names of its features; None where the system does not list them."""
    if sys.platform == "darwin":
        return _of_macos()
    return read_cpuinfo(CPUINFO.read_text() if CPUINFO.is_file() else "")


def processor_facts(threads: int | None = None) -> dict[str, Any]:
    """Return `processor` (its name), `architecture`, `int8` and `bf16` (its features for them), and `threads` if given.

    The features are None where the system does not list them.
    """
    name, features = _found()
    return {
        "processor": name,
        "architecture": platform.machine(),
        "int8": _named(INT8, features),
        "bf16": _named(BF16, features),
        **({} if threads is None else {"threads": threads}),
    }


def in_words(facts: dict[str, Any] | None) -> str:
    """One line of `processor_facts`, to stand beside a latency; for None (older reports) that it is not known."""
    if facts is None:
        return "a processor that was not recorded"
    kinds = {"int8": facts["int8"], "bf16": facts["bf16"]}
    has = [
        f"{kind} by {', '.join(found)}" if found else f"{kind}: {'none' if found is not None else 'not known'}"
        for kind, found in kinds.items()
    ]
    number = facts.get("threads")
    used = "" if number is None else f", {number} thread{'' if number == 1 else 's'}"
    return f"{facts['processor']} ({'; '.join(has)}){used}"


def read_cpuinfo(text: str) -> tuple[str, frozenset[str] | None]:
    """Read Linux's /proc/cpuinfo: name of the first processor and its features, None where it has no such line."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip(), value.strip())
    listed = entries.get("flags", entries.get("Features"))
    part = f"Arm part {entries['CPU part']}" if "CPU part" in entries else ""
    name = entries.get("model name") or part or platform.processor() or platform.machine()
    return name, None if listed is None else frozenset(listed.split())


def _of_macos() -> tuple[str, frozenset[str] | None]:
    try:
        done = subprocess.run(["sysctl", "machdep.cpu", "hw.optional"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return platform.processor() or platform.machine(), None
    entries = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    of_intel = " ".join(value for key, value in entries.items() if key.endswith("features")).lower().split()
    of_arm = [key.rpartition(".")[2] for key, value in entries.items() if ".FEAT_" in key and value == "1"]
    listed = frozenset((*of_intel, *of_arm))
    return entries.get("machdep.cpu.brand_string", platform.processor()), listed or None


def _named(wanted: dict[str, tuple[str, ...]], features: frozenset[str] | None) -> list[str] | None:
    return None if features is None else [name for name, names in wanted.items() if features & set(names)]
