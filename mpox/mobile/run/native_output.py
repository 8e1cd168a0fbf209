"""Keep the debug output of native libraries off the terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_stderr_discarded() -> Iterator[None]:
    """Discard writes to file descriptor 2 during the block: ExecuTorch prints details of the processor there.

    Errors are still raised. Not for blocks in which other threads write to it.
    """
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
