"""The typed words checked against the options of a command; a mistake is answered in one line, with the fix.

Values of options that are text or paths reach the command as they are: quoted for Hydra here, so that a study called
2024 or a folder with brackets in its name needs no quotes in quotes.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from mpox.command import Command
from mpox.command_line import for_shell, quoted
from mpox.errors import UsageError, UserError
from mpox.flags import parted
from mpox.options import PATHS, TEXTS, Group, Option, every_option, expanded, nearest, read_options
from mpox.places import folder_name

KINDS = {"int": "a whole number", "number": "a number"}
# Values that a multirun takes apart.
SWEEP = re.compile(r"^(range|glob|choice|interval|shuffle|tag|sort|extend_list)\(|,")
_INTERPOLATION = "${"
CLOSING = {"[": "]", "{": "}"}


def checked(command: Command, arguments: Sequence[str]) -> list[str]:
    """Return what Hydra is given for what was typed: flags first, as its parser takes none between overrides.

    Raises UsageError for what is wrong.
    """
    flags, words = parted(command, arguments)
    given: list[str] = []
    if words and "=" not in words[0] and not words[0].startswith("~"):
        given.append(f"command={_first_word(command, words.pop(0))}")
    options, groups = every_option(command.configuration), {one.name for one in read_options(command.configuration)[0]}
    several = "--multirun" in flags or any(flag.startswith("--config-name") for flag in flags)
    given += [_override(command, word, options, groups, several) for word in words]
    return [*flags, *given]


def _first_word(command: Command, word: str) -> str:
    if word in command.words:
        return word
    if not command.words:
        raise UsageError(
            f"'{word}' is no option of {command.module}: options are written name=value ({command.module} --help)"
        )
    close = nearest(word, command.words)
    hint = f"did you mean {close}? " if close else ""
    raise UsageError(f"'{word}' is no command of {command.module}: {hint}choose {', '.join(command.words)}")


def _override(command: Command, word: str, options: Mapping[str, Option], groups: set[str], several: bool) -> str:
    name, equals, value = word.partition("=")
    key = name.lstrip("+~")
    sign = name[: len(name) - len(key)]
    if not equals and not sign.startswith("~"):
        raise UsageError(
            f"'{word}' is no option: options are written name=value; put a value with spaces in quotes, as in "
            "'study=my study'"
        )
    key = command.renamed.get(key, key)
    plain = key.partition("@")[0]
    top = re.split(r"[./]", plain)[0]
    known = {name.partition(".")[0] for name in options} | groups | {"hydra"}
    if top not in known or (sign and not sign.startswith("~") and plain not in options and "." not in key
                            and "/" not in plain and "@" not in key and plain not in groups):  # fmt: skip
        raise UsageError(unknown_option(command, plain, options, groups))
    option = options.get(key)
    if option is not None and equals:
        value = _value(option, value, several)
    text = f"{sign}{key}{equals}{value}"
    _parse(text, word)
    return text


def unknown_option(command: Command, key: str, options: Iterable[str], groups: Iterable[str]) -> str:
    """Return that there is no such option, with the nearest that there is."""
    typed = {own: name for name, own in command.renamed.items()}
    close = nearest(key, [*(typed.get(name, name) for name in options), *groups])
    hint = f": did you mean {close}?" if close else ""
    return f"{command.module} has no option '{key}'{hint} ({command.module} --help lists them)"


def _value(option: Option, text: str, several: bool) -> str:
    """Return a value as Hydra is to read it. Raises UsageError for one of the wrong kind."""
    swept = several and bool(SWEEP.search(text))
    if option.kind in TEXTS:
        return text if swept else _text(option, text)
    if swept or _INTERPOLATION in text:
        return text
    if option.kind in KINDS or isinstance(option.default, bool | int | float):
        _check_number(option, text)
    elif _is_list_of_numbers(option.default):
        return _numbers(option, text)
    return text


def _text(option: Option, typed: str, *, nested: bool = False) -> str:
    """Return a value that is text, or a list of such, quoted for Hydra wherever its grammar would read it as syntax.

    One text where several may be given is a list of one; `nested` are those of a list.
    """
    is_path = option.kind in PATHS
    text = expanded(typed) if is_path and not typed.startswith(("'", '"')) else typed
    inside = _without_quotes(text)
    if inside == text and (text in ("null", "???") or _INTERPOLATION in text):
        return text
    if option.kind in ("paths", "texts") and inside == text and text.startswith(("[", "{")):
        plain_list = text.startswith("[") and text.endswith("]") and not set(text[1:-1]) & set("[]{}'\"\\")
        if not plain_list or not text[1:-1].strip():
            return text
        return f"[{','.join(_text(option, one.strip(), nested=True) for one in text[1:-1].split(','))}]"
    if option.kind == "name":
        _check_name(option, inside)
    value = quoted(expanded(inside) if is_path else inside)
    return f"[{value}]" if option.kind == "texts" and not nested else value


def _without_quotes(text: str) -> str:
    """Return the text inside quotes meant for Hydra, to be treated as if it had been typed without them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import QuotedString
    from hydra.errors import HydraException

    if text[:1] not in ("'", '"') or _INTERPOLATION in text:
        return text
    try:
        value = OverridesParser.create().parse_override(f"x={text}").value()
    except HydraException:
        return text
    return str(value.text) if isinstance(value, QuotedString) else str(value)


def _check_name(option: Option, text: str) -> None:
    """Refuse before Hydra makes a folder of it; names of a sweep are refused where they are used."""
    try:
        folder_name(option.name, text)
    except UserError as error:
        raise UsageError(str(error)) from None


def _check_number(option: Option, text: str) -> None:
    is_flag = isinstance(option.default, bool)
    kind = option.kind or ("" if is_flag else "int" if isinstance(option.default, int) else "number")
    if (text == "null" and (option.default is None or not kind)) or (option.word and text == option.word):
        return
    if is_flag:
        if text.lower() not in ("true", "false", "yes", "no", "on", "off", "0", "1"):
            raise UsageError(f"{option.name} is true or false, not '{text}': write {option.name}=true")
        return
    try:
        value = _finite(text) if kind == "number" else int(text)
    except ValueError:
        example = f"as in {option.name}={option.default}" if option.default is not None else f"{option.name}=<{kind}>"
        several = "; several values at once need -m" if "," in text and text[0] not in "[{" else ""
        allowed = f"{KINDS[kind]} or {option.word}" if option.word else KINDS[kind]
        raise UsageError(f"{option.name} takes {allowed}, not '{text}': write it {example}{several}") from None
    if option.least is not None and value < option.least:
        raise UsageError(f"{option.name}={text} is too small: {option.name} is at least {option.least}")


def _is_list_of_numbers(default: object) -> bool:
    return isinstance(default, list) and bool(default) and all(isinstance(one, int | float) for one in default)


def _numbers(option: Option, text: str) -> str:
    """Return a list of numbers as Hydra is to read it; one number is a list of one."""
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        for one in inside.split(",") if inside.strip() else ():
            _finite(one)
    except ValueError:
        raise UsageError(
            f"{option.name} takes a list of numbers, not '{text}': write it as in '{option.name}={option.default}'"
        ) from None
    return f"[{inside}]"


def _finite(text: str) -> float:
    """Return the number that a text is. Raises ValueError for another text, NaN and infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _parse(text: str, typed: str) -> None:
    """Check an override with Hydra's grammar, whose own messages name its tokens."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        raise UsageError(unreadable(typed)) from None


def unreadable(typed: str) -> str:
    """Return how to write an override whose value Hydra's grammar cannot read."""
    name, _, value = typed.partition("=")
    inside = value.strip("'\"")
    if value[:1] in ("[", "{"):
        return (
            f"the list in {typed} cannot be read: close its brackets, separate by commas, and put it in quotes for the "
            f"shell, as in {for_shell(f'{name}={value[0]}…{CLOSING[value[0]]}')}"
        )
    return f"the value in {typed} cannot be read: write {for_shell(f'{name}={quoted(inside)}')}"


def explained(command: Command, error: Exception) -> str:
    """Return one line for an error of Hydra's or omegaconf's, in the words of the command line."""
    text = " ".join(str(error).split())
    groups, _ = read_options(command.configuration)
    options = every_option(command.configuration)
    if found := re.search(r"Could not (?:override|append to config|delete from config\.)[^']*'([^']+)'", text):
        return _misplaced(command, found[1], options, groups)
    if found := re.search(r"Could not find '(?P<group>[\w/]+)/(?P<member>[^']+)'", text):
        choices = next((group.choices for group in groups if group.name == found["group"]), ())
        close = nearest(found["member"], choices)
        hint = f"did you mean {close}? " if close else ""
        listed = f"choose {', '.join(choices)}" if choices else "see conf/"
        return f"{found['group']}={found['member']} is unknown: {hint}{listed}"
    if found := re.search(r"(?:Missing mandatory value|Missing key)[: ]+'?([\w.]+)", text):
        return f"{found[1]} must be given: add {found[1]}=<value>"
    if "Ambiguous value" in text and (found := re.search(r"argument '([^']+)'", text)):
        name, _, value = found[1].partition("=")
        return (
            f"{found[1]} names several values: add -m to run each, write '{name}=[{value}]' for a list, or "
            f"{for_shell(f'{name}={quoted(value)}')} for one text"
        )
    if found := re.search(r"Interpolation key '([^']+)' not found", text):
        return f"a value refers to '{found[1]}', which there is not: correct the ${{…}} in it"
    if found := re.search(r"Unsupported interpolation type (\w+)", text):
        return f"a value refers to ${{{found[1]}:…}}, which there is not: correct the ${{…}} in it"
    key = getattr(error, "full_key", None)
    plain = re.sub(r"\s*(full_key|object_type|reference_type)[:=].*$", "", text)
    return f"{key}: {plain}" if key and key not in plain else plain


def _misplaced(command: Command, key: str, options: Mapping[str, Option], groups: Sequence[Group]) -> str:
    """An option that the chosen file of its group does not have, or that does not exist."""
    group = next((one for one in groups if key.startswith(f"{one.name}.")), None)
    if group is not None and key in options:
        own = [c for c in group.choices if any(o.name == key for o in _options_of(command, group.name, c))]
        return f"{key} is no option of the {group.name} chosen: it belongs to {group.name}={' or '.join(own)}"
    return unknown_option(command, key, options, [one.name for one in groups])


def _options_of(command: Command, group: str, choice: str) -> Sequence[Option]:
    groups, _ = read_options(command.configuration, {group: choice})
    return next(one.options for one in groups if one.name == group)
