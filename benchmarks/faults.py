"""A disk that fails at a chosen moment, for a process that is to be tried: the n-th file operation gives an error."""

import builtins
import errno
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What goes wrong, by the name in the table.
KINDS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "short write": errno.ENOSPC}


class Injector:
    """Counts the operations that write below a folder: opening to write, writing, flushing, renaming; fails the n-th.

    Only what goes through Python is counted: PyTorch and Arrow write by themselves (`limit_file_size` reaches those).
    `at` 0 counts and fails nothing.
    """

    def __init__(self, folder: Path, kind: str, at: int) -> None:
        self.folder, self.kind, self.at, self.count = os.path.realpath(folder), kind, at, 0
        self.open, self.raw_open = io.open, os.open

    def install(self) -> None:
        """Put it between this process and its files."""
        builtins.open = io.open = self._open
        os.open = self._raw_open
        for name in ("replace", "rename", "fsync", "write", "mkdir", "posix_fallocate"):
            setattr(os, name, self._failing(getattr(os, name)))

    def _hit(self, path: Any) -> bool:
        if not isinstance(path, int) and not os.path.realpath(os.fspath(path)).startswith(self.folder):
            return False
        self.count += 1
        return self.count == self.at

    def _fail(self, path: Any) -> None:
        code = KINDS[self.kind]
        raise OSError(code, os.strerror(code), path if isinstance(path, str) else None)

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def tried(path: Any, *arguments: Any, **named: Any) -> Any:
            if self._hit(path):
                if self.kind == "short write" and function.__name__ == "write":
                    return function(path, arguments[0][: len(arguments[0]) // 2])
                self._fail(path)
            return function(path, *arguments, **named)

        return tried

    def _raw_open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and "dir_fd" not in named and self._hit(path):
            self._fail(path)
        return self.raw_open(path, flags, *arguments, **named)

    def _open(self, file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        writes = set(mode) & set("wax+") and not isinstance(file, int)
        if writes and self._hit(file):
            self._fail(file)
        opened = self.open(file, mode, *arguments, **named)
        return _Watched(opened, self, str(file)) if writes and self._is_below(file) else opened

    def _is_below(self, file: Any) -> bool:
        return os.path.realpath(os.fspath(file)).startswith(self.folder)


class _Watched:
    """A file whose writes are counted."""

    def __init__(self, file: Any, injector: Injector, name: str) -> None:
        self._file, self._injector, self._name = file, injector, name

    def write(self, content: Any) -> Any:
        if self._injector._hit(self._name):
            if self._injector.kind == "short write":
                self._file.write(content[: len(content) // 2])
                self._file.flush()
            self._injector._fail(self._name)
        return self._file.write(content)

    def __enter__(self) -> "_Watched":
        self._file.__enter__()
        return self

    def __exit__(self, *facts: Any) -> Any:
        return self._file.__exit__(*facts)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def limit_file_size(size: int) -> None:
    """No file of this process may grow beyond `size` bytes: what PyTorch and Arrow write meets that, too."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
