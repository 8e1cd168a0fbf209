"""The options of a command, read from the comments of its configuration as text, without Hydra or anything heavy.

In conf/*.yaml an option is `name: default # kind: what it does`. The kind may be missing; it is one of
    path, paths    a file or folder (or several); `~` and `$HOME` are expanded
    text, texts    taken as it is, numbers too: a label called 0, a study called 2024 (`texts`: a list or a mapping)
    name           text that becomes a folder's name
    int, number    with a lower bound where one is given: int>=1; `int>=0|all` allows the word, too
`## Title` begins a section, and a line of `defaults:` names a group: a folder of conf/, of which one file is chosen.
"""

import difflib
import functools
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from mpox.errors import UserError

_LINE = re.compile(r"^(?P<indent> *)(?P<key>[\w./-]+):(?: +(?P<value>.*?))??(?: +# *(?P<comment>.*))?$")
_GROUP = re.compile(r"^ *- (?P<name>[\w/]+): *(?P<member>[\w-]+)(?: +# *(?P<comment>.*))?$")
_KIND = re.compile(
    r"^(?P<kind>paths?|texts?|name|int|number)(?:>=(?P<least>\d+))?(?:\|(?P<word>\w+))?(?:: *(?P<words>.*)|)$"
)
# Kinds whose values are text, and those of them that are places.
PATHS = ("path", "paths")
TEXTS = ("text", "texts", "name", *PATHS)
# Parts of a configuration that are Hydra's, not options.
_HIDDEN = ("hydra", "defaults")


@dataclass(frozen=True)
class Option:
    """One option: its dotted name, default (as Python reads the YAML), kind ("" where none is given) and meaning.

    `least` bounds a number, `word` may be given instead.
    """

    name: str
    default: Any
    kind: str = ""
    least: int | None = None
    words: str = ""
    section: str = ""
    word: str = ""


@dataclass(frozen=True)
class Group:
    """A folder of conf/ of which one file is chosen: its name, the file chosen now, all files, and what it is."""

    name: str
    chosen: str
    choices: tuple[str, ...]
    words: str = ""
    options: tuple[Option, ...] = field(default=())
    title: str = ""


def config_dir(name: str = "conf") -> str:
    """Return the folder `conf` (or `sweeps`): inside the installed package, or beside it in a checkout.

    Raises UserError where neither is there.
    """
    package = Path(str(resources.files("mpox")))
    for place in (package / name, package.parent / name):
        if place.is_dir():
            return str(place)
    raise UserError(f"no '{name}' folder in {package} or beside it: install mpox again")


def read_options(config: str, chosen: Mapping[str, str] | None = None) -> tuple[list[Group], list[Option]]:
    """Return the groups and the options of conf/<config>.yaml; `chosen` names other files of its groups than usual."""
    place = Path(config_dir())
    lines = (place / f"{config}.yaml").read_text(encoding="utf-8").splitlines()
    groups = []
    for found in filter(None, map(_GROUP.match, lines)):
        name, words = found["name"], found["comment"] or ""
        choices = tuple(sorted(path.stem for path in (place / name).glob("*.yaml")))
        member = (chosen or {}).get(name, found["member"])
        title, options = _member(place, name, member) if member in choices else ("", [])
        groups.append(Group(name, member, choices, words, tuple(options), title))
    return groups, _options(lines)


@functools.cache
def every_option(config: str) -> Mapping[str, Option]:
    """Return all options that conf/<config>.yaml can have, whichever files of its groups are chosen, by name.

    Read once a process: every job of a sweep asks for them.
    """
    groups, options = read_options(config)
    found = {option.name: option for option in options}
    for group in groups:
        for choice in group.choices:
            for option in _member(Path(config_dir()), group.name, choice)[1]:
                found.setdefault(option.name, option)
    return found


def expanded(path: str) -> str:
    """Return a path with `~`, `~name` and `$NAME` replaced, as a shell would where they are not in quotes."""
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 - a Path would drop a trailing slash


def first_sentence(config: str) -> str:
    """Return the first sentence of the comment that a file of conf/ begins with: what it is."""
    lines = (Path(config_dir()) / f"{config}.yaml").read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), lines))
    return re.split(r"(?<=[a-z0-9)]{2}[.]) (?=[A-Z])", comment, maxsplit=1)[0]


def _member(place: Path, group: str, member: str) -> tuple[str, list[Option]]:
    """Return what a group's file is and its options, those it inherits from files of the group first."""
    lines = (place / group / f"{member}.yaml").read_text(encoding="utf-8").splitlines()
    inherited: dict[str, Option] = {}
    for line in lines:
        if found := re.match(r"defaults: *\[(.*)\]", line):
            for other in filter(None, (name.strip() for name in found[1].split(","))):
                if other != "_self_":
                    inherited |= {option.name: option for option in _member(place, group, other)[1]}
    own = {f"{group}.{option.name}": option for option in _options(lines)}
    for name, option in own.items():
        above = inherited.get(name, Option(name, None))
        said = option if option.words or option.kind else above  # another value needs no comment of its own
        inherited[name] = Option(name, option.default, said.kind, said.least, said.words, word=said.word)
    return first_sentence(f"{group}/{member}"), list(inherited.values())


def _options(lines: Sequence[str]) -> list[Option]:
    """Return the options that the lines of a configuration define, nested ones by dotted names."""
    found: list[Option] = []
    above: list[tuple[int, str]] = []
    section = ""
    for number, line in enumerate(lines):
        if line.startswith("## "):
            section = line[3:].strip()
        match = _LINE.match(line)
        if match is None or line.lstrip().startswith(("#", "- ")):
            continue
        indent = len(match["indent"])
        above = [(depth, key) for depth, key in above if depth < indent]
        path = [key for _, key in above] + [match["key"]]
        if path[0] in _HIDDEN or any(part.startswith("_") for part in path):
            above.append((indent, match["key"]))
            continue
        kind, least, word, words = _read_comment(match["comment"] or "")
        text = match["value"] or ""
        if not text and (following := _following(lines, number, indent)):
            text = following
        if not text:
            above.append((indent, match["key"]))
            if words:
                found.append(Option(".".join(path), None, "block", None, words, section))
            continue
        default = _default(text)
        if isinstance(default, dict) and default and kind != "texts":
            own = {str(key): value for key, value in default.items() if not str(key).startswith("_")}
            found.append(Option(".".join(path), None, "block", None, words, section))
            found += [Option(".".join([*path, key]), value, section=section) for key, value in own.items()]
        else:
            found.append(Option(".".join(path), default, kind, least, words, section, word))
    return found


def _following(lines: Sequence[str], number: int, indent: int) -> str:
    """A list or mapping in braces that begins on the line after its key."""
    rest = lines[number + 1].strip() if number + 1 < len(lines) else ""
    deeper = number + 1 < len(lines) and len(lines[number + 1]) - len(lines[number + 1].lstrip()) > indent
    return rest if deeper and rest.startswith(("{", "[")) else ""


def _read_comment(comment: str) -> tuple[str, int | None, str, str]:
    """Return kind, lower bound, the word allowed beside numbers, and meaning."""
    match = _KIND.match(comment)
    if match is None:
        return "", None, "", comment
    least = None if match["least"] is None else int(match["least"])
    return match["kind"], least, match["word"] or "", match["words"] or ""


def _default(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 takes 5e-4 for text
        except ValueError:
            return value
    return value


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the word most like the one given, or None; the last part of a dotted name counts too."""
    names = list(words)
    if close := difflib.get_close_matches(word, names, 1):
        return close[0]
    by_part = {name.rpartition(".")[2]: name for name in reversed(names)}
    close = difflib.get_close_matches(word.rpartition(".")[2], list(by_part), 1)
    return by_part[close[0]] if close else None
