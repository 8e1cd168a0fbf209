"""Names as people mean them: compared without regard to case or to how letters are composed."""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any


def key(name: str) -> str:
    """Return what equal names have in common: NFC, case folded, white space at the ends off and within made one."""
    return unicodedata.normalize("NFC", " ".join(unicodedata.normalize("NFC", name).casefold().split()))


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of two or more different names that `key` makes equal, sorted."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(key(name), set()).add(name)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def by_key(mapping: Mapping[Any, Any]) -> dict[str, str]:
    """Return a mapping of names to names, which may be spelt as numbers, with its keys made comparable by `key`."""
    return {key(str(name)): str(value) for name, value in mapping.items()}


def is_utf8(name: str) -> bool:
    """Return whether a name of the file system can be written as UTF-8, as every table and page needs it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
