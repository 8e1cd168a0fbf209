"""What a command is: its name, its help and the function that does it; nothing heavy is imported for that."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command: how it is called, and the function `<module>:<name>` of its composed configuration that does it.

    `words`: what may be typed as the first word, with its meaning; it becomes the option `command`. `renamed`: options
    whose typed name means something else to Hydra. `place`: the option of the folder that results are written to.
    `jobs`: the function is one job of a sweep, which reports its own failure. `extra`: overrides that are always given.
    """

    name: str
    summary: str
    work: str
    examples: tuple[str, ...]
    config: str = ""
    words: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    place: str = "runs_dir"
    jobs: bool = False
    extra: tuple[str, ...] = ()

    @property
    def configuration(self) -> str:
        """The file of conf/ that holds its options."""
        return self.config or self.name

    @property
    def module(self) -> str:
        """What `python -m` is given."""
        return f"mpox.{self.name}"

    def load(self) -> Callable[[Any], Any]:
        """Import the function that does it, and with it all it needs."""
        module, _, name = self.work.partition(":")
        function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
        return function
