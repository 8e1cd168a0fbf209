"""Commands that are printed to be pasted: quoted for the shell and for Hydra, whatever names they hold."""

import re
import shlex
from typing import Any

# Words that Hydra's grammar reads as text, whatever follows: they begin with a letter, a slash, a dot or an underscore.
_PLAIN = re.compile(r"[A-Za-z_/][\w./:@-]*|\.{1,2}/[\w./:@-]*", re.ASCII)
_NOT_TEXT = ("null", "true", "false", "nan", "inf")


def command(module: str, *words: str, **options: Any) -> str:
    """Return `python -m <module> <words> <option>=<value> …` as a line for a shell.

    `words` are options as Hydra reads them; a value of `options` is text that reaches the program as it is (spaces,
    quotes, commas, `=`, numbers that are names), a list of such texts, or a number, a truth value or None.
    """
    given = [f"{name}={_value(value)}" for name, value in options.items()]
    return " ".join(["python", "-m", module, *map(for_shell, [*words, *given])])


def for_shell(text: str) -> str:
    """Return a word as a shell takes it whole; in double quotes where it holds single ones, and that is safe."""
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_value(one) for one in value)}]"
    return quoted(str(value))


def quoted(text: str) -> str:
    """Return text that Hydra reads as this text: as it is where it is a plain word, else in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    # In quotes, a backslash escapes a quote or, before one, another backslash; elsewhere it is literal.
    parts, slashes = [], 0
    escaped = text.replace("${", "\\${")  # else an interpolation
    for letter in f"{escaped}'":
        if letter == "\\":
            slashes += 1
            continue
        parts.append("\\" * (2 * slashes + 1 if letter == "'" else slashes) + letter)
        slashes = 0
    inside = "".join(parts)
    end = len(inside) - 2  # the closing quote needs no escape of its own
    return f"'{inside[:end]}'"
