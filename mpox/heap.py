"""Keep memory that was freed for what is allocated next, on Linux with glibc.

glibc gives large blocks back to the system as they are freed and gets them again page by page, each filled with zeros
by the kernel: up to half of the processor time of training on a CPU, where each step frees and allocates its tensors.
"""

import ctypes
import functools
import os

# Of glibc's malloc.h: from how many bytes on a block is the system's; how much free memory is kept at the heap's end.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_OWN_BLOCK, _KEPT = 2**30, 2**31 - 1
# Where these are set, somebody has chosen.
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep blocks of up to 1 GiB that it has freed; return whether that could be set.

    Its resident memory then stays near its peak. False under another C library, and where the environment has settings
    of malloc, which stand.
    """
    if any(name in os.environ for name in _CHOSEN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _OWN_BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
