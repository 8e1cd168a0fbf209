"""Write docs/reference/options/: every option of every command, from conf/*.yaml and the comments there.

`make docs` runs it; the pages are in git, for readers without the site. An option without a comment ends it.
"""

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mpox.cli import DOORS
from mpox.command import Command
from mpox.errors import UserError
from mpox.files import replacing
from mpox.help import written
from mpox.options import Group, Option, read_options

PLACE = Path(__file__).parent / "reference" / "options"
# What a group's file repeats for its own class: the value is that of another option.
REFERENCE = "${"
# Values of an option, or files with one, that are listed; more are counted.
MANY = 4


def main(place: Path = PLACE) -> None:
    """Write a page a command and a page a group of options into `place`. UserError: options without a comment."""
    commands = [importlib.import_module(f"mpox.{name}").COMMAND for name in DOORS]
    pages = {f"{command.name}.md": page(command) for command in commands}
    for command in commands:
        for group in read_options(command.configuration)[0]:
            name = f"group_{group.name}.md"
            if name not in pages:  # several commands have it
                pages[name] = group_page(group.name, members(command.configuration, group))
    pages["index.md"] = contents(commands)
    place.mkdir(parents=True, exist_ok=True)
    for old in set(place.glob("*.md")) - {place / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        with replacing(place / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def contents(commands: Sequence[Command]) -> str:
    """Return the page that lists the commands."""
    rows = [f"| [`mpox.{command.name}`]({command.name}.md) | {command.summary} |" for command in commands]
    said = "Made from `conf/*.yaml` and the comments there; `--help` after a command prints the same."
    return "\n".join(["# Options of every command", "", said, "", *table(("command", "does"), rows), ""])


def page(command: Command) -> str:
    """Return the page of a command, in Markdown. Raises UserError where an option has no comment."""
    lines = [f"# mpox.{command.name}", "", f"{command.summary}.", "", "```bash", *command.examples, "```"]
    if command.words:
        rows = [f"| `{word}` | {cell(meaning)} |" for word, meaning in command.words.items()]
        lines += ["", "The first word says which step:", "", *table(("word", "does"), rows)]
    if command.configuration != command.name:
        lines += ["", f"It takes the options of [`mpox.{command.configuration}`]({command.configuration}.md)."]
        return "\n".join([*lines, ""])
    groups, options = read_options(command.configuration)
    check(command.configuration, options)
    typed = {own: name for name, own in command.renamed.items()}
    shown = [option for option in options if not (command.words and option.name == "command")]
    blocks = {option.name: option.words for option in shown if option.kind == "block"}
    for section in dict.fromkeys(option.section for option in shown):
        inside = [option for option in shown if option.section == section]
        rows = [row(option, typed.get(option.name, option.name), blocks) for option in inside]
        lines += ["", f"## {section or 'Options'}", "", *table(("option", "default", "meaning"), rows)]
    if groups:
        rows = [f"| [`{one.name}`](group_{one.name}.md) | `{one.chosen}` | {cell(one.words)} |" for one in groups]
        said = "Each is a choice of one file of `conf/<group>/`, with options of its own."
        lines += ["", "## Groups", "", said, "", *table(("group", "default", "what it is"), rows)]
    return "\n".join([*lines, ""])


def members(configuration: str, group: Group) -> list[Group]:
    """Return a group once for each of its files, as it is with that file chosen."""
    read = [read_options(configuration, {group.name: choice})[0] for choice in group.choices]
    return [next(one for one in found if one.name == group.name) for found in read]


def check(name: str, options: Sequence[Option]) -> None:
    """Raise UserError for options of which nothing is said: neither of the option nor of the block it stands in."""
    explained = {option.name for option in options if option.words}
    bare = {
        option.name
        for option in options
        if not option.words
        and not str(option.default).startswith(REFERENCE)
        and not any(option.name.startswith(f"{block}.") for block in explained)
    }
    if bare - explained:
        raise UserError(
            f"conf/{name}.yaml: {', '.join(sorted(bare - explained))}: no comment says what it is; add `# …`"
        )


def group_page(name: str, files: Sequence[Group]) -> str:
    """Return the page of a group: its choices, and the options that each of them has. UserError as `page`."""
    every = [option for one in files for option in one.options]
    check(f"{name}/*", every)  # what one file of a group explains, its other files need not
    common = {option.name: meaning_of(option) for option in reversed(every) if option.words}
    rows = [f"| `{name}={one.chosen}` | {cell(one.title)} |" for one in files]
    lines = [f"# {name}=…", "", f"One file of `conf/{name}/`.", "", *table(("choice", "what it is"), rows)]
    seen: dict[tuple[str, str], dict[str, list[str]]] = {}
    for member in files:
        blocks = {option.name: option.words for option in member.options if option.kind == "block"}
        for option in member.options:
            if not str(option.default).startswith(REFERENCE) and option.kind != "block":
                meaning = meaning_of(option) or common.get(option.name) or of_block(option.name, blocks)
                seen.setdefault((option.name, meaning), {}).setdefault(default_of(option), []).append(member.chosen)
    rows = []
    for (option_name, meaning), defaults in seen.items():
        if len(defaults) > MANY:
            defaults = {"its own": [choice for of in defaults.values() for choice in of]}
        for default, of in defaults.items():
            only = "" if len(of) == len(files) else ", ".join(of) if len(of) <= MANY else f"{len(of)} of them"
            rows.append(f"| `{option_name}` | {default} | {meaning} | {only} |")
    if rows:
        lines += ["", "## Options", "", *table(("option", "default", "meaning", "of"), rows)]
    return "\n".join([*lines, ""])


def of_block(name: str, blocks: Mapping[str, str]) -> str:
    """Return what is said of the nearest block that an option stands in; "" where nothing is."""
    near = [block for block, words in blocks.items() if words and name.startswith(f"{block}.")]
    return f"of `{max(near, key=len)}`: {cell(blocks[max(near, key=len)])}" if near else ""


def row(option: Option, name: str, blocks: Mapping[str, str]) -> str:
    """Return an option as a row of a table."""
    default = "" if option.kind == "block" else default_of(option)
    return f"| `{name}` | {default} | {meaning_of(option) or of_block(name, blocks)} |"


def default_of(option: Option) -> str:
    """Return the default as it would be typed; nothing for one that must be given."""
    return "must be given" if option.default == "???" else f"`{written(option.default)}`".replace("|", r"\|")


def meaning_of(option: Option) -> str:
    """Return what an option means, with its bound."""
    kind = {"int": "whole number", "number": "number"}.get(option.kind, "")
    least = f" ({kind} of at least {option.least})" if kind and option.least is not None else ""
    return cell(option.words + least)


def cell(text: str) -> str:
    """Return text for a cell of a table: names of files and values in it must not become markup."""
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


def table(heads: Sequence[str], rows: Iterable[str]) -> list[str]:
    """Return the lines of a table."""
    return ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *rows]


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
