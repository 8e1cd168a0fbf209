"""The order of rooms: a module imports from its own room and from rooms below it, never up, never in a circle.

`python tests/test_layers.py` prints the picture of ARCHITECTURE.md that these tests hold it to.
"""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import mpox

PACKAGE = Path(mpox.__file__).parent
CHECKOUT = Path(__file__).parents[1]
DOORS = (
    *("app", "bench", "clinic", "compare", "curate", "doctor", "evaluate", "explain", "export", "predict", "publish"),
    "train",
)
# From top to bottom; rooms of one line do not import one another.
ROOMS: tuple[tuple[str, ...], ...] = (
    (*DOORS, "__main__", "api"),
    ("commands",),
    ("training",),
    ("report", "referrals"),
    ("mobile",),
    ("study",),
    ("xai", "external", "curation", "field"),
    ("runs",),
    ("stats",),
    ("model",),
    ("data",),
    ("cli",),
    ("config", "help", "usage"),
    ("cached", "flags"),
    ("addresses", "command", "command_line", "console", "files", "key_file", "options", "places", "progress"),
    ("locks",),
    ("extras", "temporary"),
    ("errors", "heap", "_torchvision"),
)
# The wings of mpox/mobile/, from top to bottom; `check` and the like test a finished export.
WINGS: tuple[tuple[str, ...], ...] = (
    ("arm", "check", "site"),
    ("recipient",),
    ("export",),
    ("int8",),
    ("run",),
    ("sdk",),
    ("file",),
)
# Who may name Hydra and omegaconf: rooms below are given plain values.
CONFIGURED = {"cli", "commands", "config", "training", "usage"}


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere in it, functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(r"mpox\.[\w.]+:\w+", str(node.value)):
            names.add(str(node.value).partition(":")[0])  # what a door has imported when its command runs
    return names


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): imported(path) for path in sorted(PACKAGE.rglob("*.py"))}


def arrows() -> dict[str, set[str]]:
    """For each module of mpox, the modules of mpox that it imports."""
    found: dict[str, set[str]] = {}
    for module, names in MODULES.items():
        found[module] = set()
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name not in ("", "mpox", module):
                found[module].add(name)
    return found


def part(module: str, depth: int) -> str:
    """The room (depth 1) or the wing (depth 2) of a module; empty for a package's own file."""
    return module.split(".")[depth] if module.count(".") >= depth else ""


def up(order: tuple[tuple[str, ...], ...], inside: str, depth: int) -> list[str]:
    """Imports that do not go down in `order`, among the modules of the package `inside`."""
    height = {name: -level for level, names in enumerate(order) for name in names}
    wrong = []
    for module, targets in arrows().items():
        for target in targets:
            if not (module.startswith(f"{inside}.") and target.startswith(f"{inside}.")):
                continue
            one, other = part(module, depth), part(target, depth)
            if one != other and height[one] <= height[other]:
                wrong.append(f"{module} -> {target}")
    return sorted(wrong)


def test_every_room_and_wing_has_its_place() -> None:
    assert {part(module, 1) for module in MODULES} - {""} == {room for level in ROOMS for room in level}
    wings = {part(module, 2) for module in MODULES if module.startswith("mpox.mobile.")}
    assert wings == {wing for level in WINGS for wing in level}


def test_imports_go_down() -> None:
    assert up(ROOMS, "mpox", 1) == []
    assert up(WINGS, "mpox.mobile", 2) == []


def test_nothing_imports_in_a_circle() -> None:
    assert len(list(TopologicalSorter(arrows()).static_order())) == len(MODULES)


def test_configuration_ends_at_the_doors() -> None:
    named = {
        module: names
        for module in MODULES
        if (names := {name.partition(".")[0] for name in MODULES[module]} & {"hydra", "omegaconf"})
    }
    assert {part(module, 1) for module in named} <= CONFIGURED


def test_the_package_stands_without_the_checkout() -> None:
    outside = {path.stem for path in CHECKOUT.iterdir() if path.is_dir() and path.name != "mpox"}
    for module, names in MODULES.items():
        assert not {name.partition(".")[0] for name in names} & outside, module


def picture() -> str:
    """The rooms as a Mermaid graph, arrows that follow from others left out."""
    below: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        one = "doors" if part(module, 1) in (*DOORS, "commands") else part(module, 1)
        below.setdefault(one, set()).update(part(target, 1) for target in targets)
    drawn = [room for level in (("doors",), *ROOMS[2:-7]) for room in level]
    reached: dict[str, set[str]] = {}
    lines = []
    for room in reversed(drawn):
        direct = (below[room] & set(drawn)) - {room}
        implied = {far for near in direct for far in reached[near]}
        reached[room] = direct | implied
        lines += [f"  {room} --> {near}" for near in sorted(direct - implied)]
    return "\n".join(["graph TD", *reversed(lines)])


def test_the_picture_in_the_documentation_is_of_this_code() -> None:
    text = (CHECKOUT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = re.search(r"```mermaid\n(.*?)\n```", text, re.DOTALL)
    assert drawn is not None and drawn[1] == picture(), "run python tests/test_layers.py and paste what it prints"


if __name__ == "__main__":
    print(picture())
