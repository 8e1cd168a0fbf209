"""Text is text: what is typed for a name or a path arrives as it is, and what is printed can be pasted."""

import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from omegaconf import DictConfig

from mpox import curate, export, predict, train
from mpox.command import Command
from mpox.command_line import command
from mpox.config import plain, settled
from mpox.errors import UsageError, UserError
from mpox.options import config_dir
from mpox.usage import checked

TEXTS = [
    *("a", "my study", "2024", "007", "1e5", "0x10", "null", "true", "NaN", "it's", 'say "x"', "a=b", "a,b", "[x]"),
    *("{a: b}", "éü", "天然痘", "a$b", "a;b&c|d", "glob(*)", "choice(1,2)", "a:b", "#a", "%(x)s", "*", "!x", "`x`"),
    *("a'b\"c", "x(y)z", "-m", "--help", "~x", "a…b", "مرض"),
]
# Of what no single folder is called, but a path or a text may be.
ODD = ["a\\b", "a\\'b", "a\\", "\\'", "x y\\", "a/b c/d,e=f", " lead", "trail "]


def composed(program: Command, words: list[str]) -> DictConfig:
    """What the command's function is given when these words are typed."""
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return settled(compose(program.configuration, checked(program, words)), program.configuration)


def given(program: Command, words: list[str]) -> dict[str, str]:
    """What Hydra reads the checked words as, by option."""
    options = OverridesParser.create().parse_overrides(checked(program, words))
    assert not any(option.is_sweep_override() for option in options)
    values = {option.key_or_group: option.value() for option in options}
    return {key: value.text if isinstance(value, QuotedString) else str(value) for key, value in values.items()}


@pytest.mark.parametrize("text", [*TEXTS, *ODD])
def test_what_is_printed_can_be_pasted(text: str) -> None:
    options = {"about.name": text, "output": "x"} if text in ODD else {"about.name": text, "output": f"./{text}"}
    words = shlex.split(command("mpox.curate", "release", **options))
    assert words[:4] == ["python", "-m", "mpox.curate", "release"]
    assert given(curate.COMMAND, words[3:]) == {"command": "release", **options}


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "null"])
def test_a_name_typed_needs_no_quotes_for_hydra(text: str) -> None:
    """As the shell hands it over; what Hydra's quotes hold is the same."""
    assert given(train.COMMAND, [f"study={text}"]) == {"study": text}
    if "'" not in text:
        assert given(train.COMMAND, [f"study='{text}'"]) == {"study": text}


def test_numbers_are_names_where_names_belong(tmp_path: Path) -> None:
    cfg = composed(train.COMMAND, ["data=folder", "data.root=2024", "study=2025", "data.classes={0: mpox, 1: healthy}"])
    assert (cfg.data.root, cfg.study) == ("2024", "2025")
    assert dict(cfg.data.classes) == {"0": "mpox", "1": "healthy"}
    cfg = composed(train.COMMAND, ["data=manifest", "data.only=2019", "task=binary", "task.positive=[1]"])
    assert (cfg.data.only, list(cfg.task.positive)) == ("2019", ["1"])
    assert composed(predict.COMMAND, ["model=7", "photos=2024"]).photos == "2024"
    assert composed(export.COMMAND, ["run=7", "name=2024"]).name == "2024"
    cfg = composed(curate.COMMAND, ["release", "output=x", "about.creators=Ann É", "new_labels=[a b, 1]"])
    assert (list(cfg.about.creators), list(cfg.new_labels)) == (["Ann É"], ["a b", "1"])
    cfg = composed(curate.COMMAND, ["apply", "output=2024", "decisions=7", "new_labels=[3]"])
    assert (cfg.output, cfg.decisions, list(cfg.new_labels)) == ("2024", "7", ["3"])


@pytest.mark.parametrize("typed", ["~/x", "$HOME/x", "${HOME}/x", '"~/x"', "'$HOME/x'"])
def test_the_home_folder_is_meant_in_every_path(typed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    here = f"{tmp_path}/x"
    cfg = composed(train.COMMAND, ["data=folder", "weights=file", *(f"{name}={typed}" for name in (
        "runs_dir", "cache_dir", "splits", "data.root", "weights.path"))])  # fmt: skip
    assert {cfg.runs_dir, cfg.cache_dir, cfg.splits, cfg.data.root, cfg.weights.path} == {here}
    assert composed(train.COMMAND, ["data=manifest", f"data.manifest={typed}"]).data.manifest == here
    assert composed(predict.COMMAND, ["model=m", f"photos={typed}", f"maps={typed}", f"out={typed}"]).maps == here
    cfg = composed(export.COMMAND, [f"run={typed}", f"exports_dir={typed}"])
    assert (cfg.run, cfg.exports_dir) == (here, here)
    cfg = composed(curate.COMMAND, ["merge", f"output={typed}", f"decisions=[{typed},{typed}]"])
    assert (cfg.output, list(cfg.decisions)) == (here, [here, here])


@pytest.mark.parametrize("name", ["../x", "", ".cache", "a/b", " a", "'../x'", '""'])
def test_a_name_that_is_a_path_is_refused_before_anything_starts(name: str) -> None:
    for program, option in ((train.COMMAND, "study"), (export.COMMAND, "name")):
        with pytest.raises(UsageError, match=rf"{option}=.*give {option}="):
            checked(program, [f"{option}={name}"])


def test_values_that_a_comment_names_are_taken() -> None:
    """A default of 0 does not make a share a whole number, nor 1 a count that may be `auto`."""
    assert checked(export.COMMAND, ["run=x", "prune.ratio=0.3"])[-1] == "prune.ratio=0.3"
    assert checked(train.COMMAND, ["trainer.devices=auto"]) == ["trainer.devices=auto"]


@pytest.mark.parametrize("typed", ["prune={ratio: nan}", "bound={capture: inf}", "qat.rate=nan"])
def test_a_number_that_is_none_is_refused_within_a_mapping_too(typed: str) -> None:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("export", ["run=nowhere", typed])
    name = typed.partition("=")[0]
    with pytest.raises(UserError, match=rf"^{name}.*=(nan|inf) is no number that can be used"):
        plain(cfg)
