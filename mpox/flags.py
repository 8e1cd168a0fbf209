"""Hydra's own flags among the typed words: known, with their values, and not two that ask for different things."""

from collections.abc import Mapping, Sequence

from mpox.command import Command
from mpox.errors import UsageError
from mpox.options import every_option, nearest

# What may follow each flag: nothing, any word, or one of these. Left out: --experimental-rerun, which loads a pickle.
ANY = ("",)
FLAGS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("--multirun", "--run", "--resolve", "--shell-completion", "--hydra-help", "--version"), ()),
    **dict.fromkeys(("--config-dir", "--config-name", "--config-path", "--package"), ANY),
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
SHORT = {
    "-m": "--multirun",
    "-r": "--run",
    "-c": "--cfg",
    "-i": "--info",
    "-p": "--package",
    "-cd": "--config-dir",
    "-cn": "--config-name",
    "-cp": "--config-path",
    "-sc": "--shell-completion",
}
# Each asks for something else to be done: one at a time.
MODES = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")


def parted(command: Command, typed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the flags, each with its value behind `=`, and the other words. Raises UsageError for what is wrong."""
    flags: list[str] = []
    others: list[str] = []
    words = list(typed)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            others.append(word)
            continue
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        if name not in FLAGS:
            close = nearest(name.lstrip("-").replace("-", "_"), every_option(command.configuration))
            hint = f", here {close}=<value>" if close else ""
            raise UsageError(f"{name} is no flag of {command.module}: options are written name=value{hint}")
        allowed = FLAGS[name]
        if allowed and not equals:
            alone = name == "--info" and (not words or words[0] not in allowed)
            value = "all" if alone else words.pop(0) if words else ""
        if allowed and (not value if allowed == ANY else value not in allowed):
            wanted = "a value" if allowed == ANY else f"one of {', '.join(allowed)}"
            raise UsageError(f"{name} takes {wanted}, not '{value}': write it {name}=<value>")
        flags.append(f"{name}={value}" if allowed else name)
    modes = [mode for mode in MODES if any(flag.partition("=")[0] == mode for flag in flags)]
    if len(modes) > 1:
        raise UsageError(f"{' and '.join(modes)} do not go together: leave {'all but one' if modes[2:] else 'one'} out")
    return flags, others
