"""An array written to a file row by row: its space is reserved first, its checksum made on the way.

Not through a memory map: where the disk fills up under one, the process is killed (SIGBUS) instead of getting an error.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np


class ArrayWriter:
    """Rows of one .npy file, appended in order."""

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.file, self.shape, self.dtype = file, shape, dtype
        self.rows, self.digest = 0, hashlib.sha256()
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        _reserve(file, header.tell() + int(np.prod(shape)) * dtype.itemsize)
        self._write(header.getvalue())

    def append(self, row: np.ndarray) -> None:
        """Write the next row; ValueError where it does not fit the array."""
        if row.shape != self.shape[1:] or row.dtype != self.dtype or self.rows == self.shape[0]:
            raise ValueError(f"row {self.rows}, {row.dtype} {row.shape}, does not fit {self.dtype} {self.shape}")
        self._write(np.ascontiguousarray(row).tobytes())
        self.rows += 1

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of what was written so far."""
        return self.digest.hexdigest()

    def _write(self, content: bytes) -> None:
        self.file.write(content)
        self.digest.update(content)


@contextlib.contextmanager
def array_file(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> Iterator[ArrayWriter]:
    """Yield a writer of the rows of an array (`shape`: rows first) into `path`, as `np.load` reads it.

    Raises OSError, before any row, where the disk has no room for all of them; ValueError where the block succeeds and
    rows are missing.
    """
    with path.open("wb") as file:
        writer = ArrayWriter(file, shape, np.dtype(dtype))
        yield writer
        if writer.rows != shape[0]:
            raise ValueError(f"{path}: {writer.rows} of {shape[0]} rows were written")


def _reserve(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):  # Linux; elsewhere a full disk is met on the way
        os.posix_fallocate(file.fileno(), 0, size)
