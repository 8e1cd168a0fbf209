"""The documentation: lengths, links, the site's contents, and that the commands in it are commands."""

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from documented import AT_THE_ROOT, CHECKOUT, DOCS, GENERATED, PAGES, commands, words

import mpox.options
from mpox.cli import DOORS
from mpox.errors import UserError
from mpox.usage import checked

LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


def options_pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("options_pages", DOCS / "options_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*PAGES, CHECKOUT / "README.md"]}
    assert {path.name: n for path, n in lengths.items() if n > (120 if path.name == "README.md" else 250)} == {}


def test_the_site_has_every_page() -> None:
    def named(entries: Any) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        return [name for one in entries for name in named(list(one.values()) if isinstance(one, dict) else one)]

    listed = named(tomllib.loads((CHECKOUT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    made = str(GENERATED.relative_to(DOCS))
    assert sorted(name for name in listed if not name.startswith(made)) == sorted(
        str(path.relative_to(DOCS)) for path in PAGES
    )
    assert {f"{made}/{name}.md" for name in ("index", *DOORS)} == {name for name in listed if name.startswith(made)}


@pytest.mark.parametrize("page", [*PAGES, *AT_THE_ROOT], ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Pages of the site are checked by `make docs` too; this needs no generator, and reads the files at the root."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http", "#", "mailto:")):
            file = (page.parent / target.partition("#")[0]).resolve()
            assert file.exists() or file.is_relative_to(GENERATED), f"{page.name}: {target}"


@pytest.mark.parametrize("page", [*PAGES, CHECKOUT / "README.md"], ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_commands_have_the_options_that_are_typed(page: Path) -> None:
    for line in commands(page):
        typed = words(line)
        name = typed[2].removeprefix("mpox.") if typed[:2] == ["python", "-m"] else ""
        if name in DOORS and "…" not in line:
            command = importlib.import_module(f"mpox.{name}").COMMAND
            checked(command, typed[3:])  # UsageError: the page's command is wrong


def test_options_have_pages(tmp_path: Path) -> None:
    options_pages().main(tmp_path)
    assert {f"{name}.md" for name in DOORS} < {path.name for path in tmp_path.iterdir()}
    text = (tmp_path / "train.md").read_text()
    assert "| `batch_size` | `32` | photos in a training step (whole number of at least 1) |" in text
    assert "[`schedule`](group_schedule.md) | `probe_then_finetune`" in text
    assert (
        "| `schedule.finetune.epochs` | `100` | passes over the training photos"
        in (tmp_path / "group_schedule.md").read_text()
    ), "a value that a file of a group changes keeps its meaning"


def test_an_option_without_a_comment_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CHECKOUT / "conf", tmp_path / "conf")
    path = tmp_path / "conf" / "curate.yaml"
    path.write_text(re.sub(r"^(undecided: keep) #.*$", r"\1", path.read_text(), flags=re.MULTILINE))
    monkeypatch.setattr(mpox.options, "config_dir", lambda name="conf": str(tmp_path / name))
    with pytest.raises(UserError, match=r"conf/curate\.yaml: undecided: no comment says what it is"):
        options_pages().main(tmp_path / "pages")
