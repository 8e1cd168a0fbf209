"""Memory that is freed and allocated again is the process's own, page faults tell; settings of others stand."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# 16 MiB, written and freed ten times: some 4,096 pages each time they come from the system.
PROGRAM = """
import resource, numpy
from mpox.heap import keep_freed_memory
print(keep_freed_memory() if {keep} else None)
numpy.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    numpy.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, keep: bool, **environment: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)],
        capture_output=True, text=True, check=True, env={**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0", **environment},
    )  # fmt: skip
    said, number = done.stdout.split()
    return said, int(number)


def huge_pages_everywhere() -> bool:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.is_file() and "[always]" in setting.read_text()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
@pytest.mark.skipif(huge_pages_everywhere(), reason="pages of 2 MiB hide it")
def test_freed_memory_is_used_again_unless_the_environment_has_settings_of_malloc() -> None:
    said, number = faults(keep=True)
    assert said == "True" and number < 1000
    # As a user may set it: every block of more than a MiB is the system's.
    said, number = faults(keep=True, MALLOC_MMAP_THRESHOLD_="1048576")
    assert said == "False" and number > 10 * 1000
