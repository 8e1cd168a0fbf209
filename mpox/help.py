"""What `--help` prints: every option of a command with its meaning, default and choices, by section."""

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from mpox.command import Command
from mpox.options import Group, Option, read_options

# Lines longer than this are hard to read, however wide the terminal is.
WIDEST, NAMES = 100, 30
NOTICE = "Research software and decision support; never a diagnosis."


def overview(commands: Sequence[Command]) -> str:
    """Return the list of commands, one line each."""
    lines = ["mpox <command> [option=value ...]", ""]
    lines += [f"  {command.name:<10} {command.summary}" for command in commands]
    return "\n".join([*lines, "", "mpox <command> --help lists a command's options.", NOTICE])


def page(command: Command, arguments: Sequence[str]) -> str:
    """Return the help of a command; groups that `arguments` choose (data=folder) are shown as chosen."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    chosen = dict(word.split("=", 1) for word in arguments if "=" in word and not word.startswith(("+", "~", "-")))
    groups, options = read_options(command.configuration, chosen)
    words = f" [{'|'.join(command.words)}]" if command.words else ""
    lines = [
        f"python -m {command.module}{words} [option=value ...]",
        "",
        *textwrap.wrap(f"{command.summary}.", width),
        "",
    ]
    for word, meaning in command.words.items():
        lines += _entry(word, meaning, width)
    lines += ["", "Examples"] if command.words else ["Examples"]
    lines += [f"  {example}" for example in command.examples]
    typed = {own: name for name, own in command.renamed.items()}
    hidden = {"command"} if command.words else set()
    section = None
    for option in options:
        if option.name in hidden:
            continue
        if option.section != section:
            section = option.section
            lines += ["", section] if section else [""]
        lines += _option(option, width, typed.get(option.name, option.name))
    if groups:
        lines += ["", "Groups: each is a choice of one file of conf/<group>/, with options of its own"]
    for group in groups:
        lines += ["", *_group(group, width)]
    lines += [
        "",
        *textwrap.wrap(
            "Several values at once, after -m: 'fold=range(10)' 'model=glob(*)' seed=0,1. A value with spaces or signs "
            "needs quotes in the shell: 'study=my study'. --cfg job prints the configuration and runs nothing.",
            width,
        ),
        NOTICE,
    ]
    return "\n".join(lines)


def _group(group: Group, width: int) -> list[str]:
    lines = textwrap.wrap(f"{group.name}={group.chosen}  {group.words}".rstrip(), width)
    choices = ", ".join(group.choices)
    lines += textwrap.wrap(f"choices: {choices}", width, initial_indent="  ", subsequent_indent="  ")
    if group.title:
        lines += textwrap.wrap(f"{group.chosen}: {group.title}", width, initial_indent="  ", subsequent_indent="  ")
    for option in group.options:
        if not str(option.default).startswith("${"):
            lines += _option(option, width, option.name)
    return lines


def _option(option: Option, width: int, name: str) -> list[str]:
    if option.kind == "block":
        return _entry(f"{name}:", option.words, width) if option.words else []
    kind = {"int": "whole number", "number": "number"}.get(option.kind, "")
    least = f"{kind} of at least {option.least}" if kind and option.least is not None else kind
    notes = [option.words, f"({least})" if least and option.default is None else ""]
    return _entry(f"{name}={written(option.default)}", " ".join(filter(None, notes)), width)


def _entry(name: str, words: str, width: int) -> list[str]:
    """A name, and beside or below it what it is."""
    indent = " " * (NAMES + 2)
    if not words:
        return [f"  {name}"]
    if len(name) + 2 > NAMES:
        return [f"  {name}", *textwrap.wrap(words, width, initial_indent=indent, subsequent_indent=indent)]
    return textwrap.wrap(words, width, initial_indent=f"  {name:<{NAMES}}", subsequent_indent=indent)


def written(default: Any) -> str:
    """A default as it would be typed."""
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return f"[{','.join(map(written, default))}]"
    if isinstance(default, dict):
        return "{" + ", ".join(f"{key}: {written(value)}" for key, value in default.items()) + "}"
    if isinstance(default, float):
        return f"{default:g}"
    return "<must be given>" if default == "???" else str(default) or '""'
