"""JSON files of a study and of an export that are cut, edited or somebody else's: one line with the file's name."""

import shutil
from pathlib import Path

import pytest
from generated_study import make_study

import mpox
from mpox.commands.compare import _photo_root
from mpox.errors import UserError
from mpox.mobile.check import check
from mpox.mobile.file.package import write_sums
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rule_of_run
from mpox.study.results import read_study

EXPORT = Path(__file__).parent / "before_the_move" / "export"
# Not an object; an object of something else; lists in lists, which Python's parser gives up.
FOREIGN = ("[]", "null", "3", '"text"', '{"a": 1}', "[" * 100_000)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    make_study(runs, "s", {"a": 2.0}, n_photos=96, n_folds=3)
    return runs


@pytest.fixture
def runs(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "runs"))


@pytest.mark.parametrize("content", FOREIGN)
def test_splits_of_a_study(runs: Path, content: str) -> None:
    (runs / "s/splits.json").write_text(content)
    with pytest.raises(UserError, match=r"splits\.json"):
        read_study(runs, "s")


@pytest.mark.parametrize("content", FOREIGN)
def test_what_a_study_was_made_of(runs: Path, content: str) -> None:
    (runs / "s/data.json").write_text(content)
    with pytest.raises(UserError, match=r"data\.json"):
        read_study(runs, "s")
        _photo_root(None, runs / "s")


@pytest.mark.parametrize("content", FOREIGN)
def test_figures_of_a_run(runs: Path, content: str) -> None:
    (runs / "s/a/fold-1/metrics.json").write_text(content)
    if content.startswith("{"):
        assert "test/accuracy" in mpox.read_study(runs / "s")  # of the other folds
        return
    with pytest.raises(UserError, match=r"metrics\.json"):
        mpox.read_study(runs / "s")


@pytest.mark.parametrize("content", FOREIGN)
def test_status_of_a_run(runs: Path, content: str) -> None:
    (runs / "s/a/fold-1/status.json").write_text(content)
    with pytest.raises(UserError, match=r"a fold 1"):
        read_study(runs, "s")
    assert rule_of_run(runs / "s/a/fold-1", ComparisonOptions()).temperature > 0


@pytest.mark.parametrize("content", FOREIGN)
@pytest.mark.parametrize("name", ["contract.json", "golden/expected.json"])
def test_an_export(tmp_path: Path, name: str, content: str) -> None:
    folder = Path(shutil.copytree(EXPORT, tmp_path / "export"))
    (folder / name).write_text(content)
    assert not check(folder)[0].passed
    write_sums(folder)  # as somebody does who changed it on purpose
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        check(folder)


def test_sums_that_are_cut(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXPORT, tmp_path / "export"))
    sums = folder / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines(keepends=True) if "contract.json" not in line]
    sums.write_text("".join(lines))
    with pytest.raises(UserError, match=r"SHA256SUMS does not list"):
        check(folder)
    sums.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"SHA256SUMS cannot be read"):
        check(folder)
