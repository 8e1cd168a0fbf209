"""A file on Arm64 kernels: missing tools are reported in one line, and a file whose answers differ does not pass."""

import copy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.mobile import arm as door
from mpox.mobile.check import check
from mpox.mobile.export.arm_card import HEADING, with_section
from mpox.mobile.export.arm_check import CORES, check_on_arm
from mpox.mobile.export.arm_photos import check_photos
from mpox.mobile.file.package import updated
from mpox.mobile.run.runtime import PhoneModel
from mpox.mobile.sdk.program import KINDS, answer
from mpox.mobile.sdk.tools import arm64, host, sdk_folder

needs_compiler = pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler here")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the user without tools, in which the program is built once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def test_missing_tools_are_one_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no ExecuTorch [\d.]+ for aarch64 at .*: python -m mpox.mobile.arm --fetch"):
        arm64(tmp_path)
    library = sdk_folder(tmp_path) / "lib" / "libexecutorch.so"
    library.parent.mkdir(parents=True)
    library.touch()
    with pytest.raises(UserError, match=r"no aarch64-linux-gnu-g\+\+ in .*: install g\+\+-aarch64-linux-gnu, or"):
        arm64(tmp_path)
    with pytest.raises(UserError, match=r"no C\+\+ compiler .*: install g\+\+"):
        host()


def test_the_command_without_tools_changes_nothing(
    exported: Path, own_cache: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (exported / "SHA256SUMS").read_text()
    for words, message in (
        ([], "error: give a folder that python -m mpox.export wrote, or --fetch"),
        ([str(exported), "--run", "a", "--photos", "b"], "error: give --run or --photos, not both"),
        ([str(exported)], "error: no ExecuTorch"),
    ):
        monkeypatch.setattr(sys, "argv", ["arm", *words])
        with pytest.raises(SystemExit) as stopped:
            door.main()
        printed = capsys.readouterr().err
        assert stopped.value.code == 1 and printed.startswith(message) and printed.count("\n") == 1
    assert (exported / "SHA256SUMS").read_text() == before


@needs_compiler
def test_the_program_answers_as_the_runtime_and_a_wrong_answer_does_not_pass(
    exported: Path, own_cache: None, tmp_path: Path
) -> None:
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (120, 100, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    photos = check_photos(exported, 2, photos=tmp_path)
    assert len(photos.pictures) == len(photos.golden) + 2
    here = host()
    model = PhoneModel(exported)
    logits = answer(here, model.path, model.as_input(photos.pictures)).outputs
    np.testing.assert_allclose(logits * model.temperature, model.logits(photos.pictures), atol=1e-4)

    result = check_on_arm(exported, photos, here)
    assert result["passed"] and result["photos"] == {"golden": 7, "others": 2, "of": "a folder of photos"}
    assert [core["agreement"] for core in result["cores"].values()] == [1.0] * len(CORES)
    assert 1e6 < result["cores"]["neither"]["heap_bytes"] < 1e8

    golden = photos.golden.copy()
    golden[1] = np.roll(golden[1], 1)
    wrong = check_on_arm(exported, replace(photos, golden=golden), here)
    assert not wrong["passed"] and wrong["reasons"][0].startswith("i8mm: a golden probability differs by 0.")


def test_only_files_that_a_processor_runs(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no export: give a folder that python -m mpox.export wrote"):
        check_photos(tmp_path, 1)
    place = Path(shutil.copytree(exported, tmp_path / "lite0"))
    write_json(place / "contract.json", read_json(place / "contract.json") | {"backend": "onnxruntime"})
    with pytest.raises(UserError, match=r"is for onnxruntime, not for ExecuTorch on a processor: give"):
        check_photos(place, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no photos in .*empty: give --photos"):
        check_photos(exported, 1, photos=tmp_path / "empty")


@needs_compiler
def test_a_file_that_cannot_be_run_is_one_line(exported: Path, own_cache: None, tmp_path: Path) -> None:
    cut = tmp_path / "model.pte"
    cut.write_bytes((exported / "model.pte").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"failed with exit code 1: .*error: the file cannot be loaded"):
        answer(host(), cut, np.zeros((1, 3, 96, 96), "float32"))


def test_the_card_holds_the_last_check_alone() -> None:
    core = {"agreement": 1.0, "max_delta_p": 3e-7, "golden_max_delta_p": 3e-7, "heap_bytes": 9_700_000, "ratio": 0.444}
    core |= {"fp32_heap_bytes": 27_900_000}
    core |= {"instructions": dict.fromkeys(KINDS, 1_000_000)}
    result = {
        "passed": True,
        "reasons": [],
        "photos": {"golden": 4, "others": 0, "of": "none"},
        "cores": {name: copy.copy(core) for name in CORES},
        "same_bits": True,
        "network": None,
        "executorch": "1.5.1",
        "qemu": "7.2",
    }
    first = with_section("# Card\n\ntext\n", result)
    assert first.startswith("# Card\n\ntext\n\n" + HEADING) and "| 8.0 | 0.444 | 9.7 | 27.9 |" in first
    result["cores"]["neither"]["agreement"] = 0.5
    again = with_section(first, result | {"passed": False, "reasons": ["neither: it disagrees"]})
    assert again.count(HEADING) == 1 and "50.0%" in again and "Do not ship this file" in again


def test_a_changed_export_is_not_signed_again(exported: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(exported, tmp_path / "lite0"))
    with updated(place) as copied:
        (copied / "model_card.md").write_text("other")
    assert all(one.passed for one in check(place))
    (place / "contract.json").write_text("{}")
    why = r"contract.json is missing or not the file its SHA256SUMS was written for"
    with pytest.raises(UserError, match=why), updated(place):
        pass


@pytest.mark.slow
def test_an_export_on_three_kinds_of_arm_cores(exported: Path, phone_run: Path, tmp_path: Path) -> None:
    try:
        arm64()
    except UserError as error:
        pytest.skip(str(error))
    place = Path(shutil.copytree(exported, tmp_path / "lite0"))
    shutil.copytree(exported.parent / ".fp32", tmp_path / ".fp32")
    result = door.arm(place, check_photos(place, 8, run=phone_run))
    assert result["passed"] and result["same_bits"] and result["network"]["agreement"] >= 0.75
    cores = result["cores"]
    assert all(core["max_delta_p"] < 1e-5 and 0.2 < core["ratio"] < 1.2 for core in cores.values())
    dots = {name: core["instructions"]["dot_products"] for name, core in cores.items()}
    assert dots["neither"] == 0 and 0 < dots["i8mm"] < dots["dotprod"]
    assert cores["neither"]["fp32_instructions"]["float_products"] > 5e6
    assert 1 < cores["neither"]["fp32_heap_bytes"] / cores["neither"]["heap_bytes"] < 5
    assert read_json(place / "export.json")["arm"] == result
    assert HEADING in (place / "model_card.md").read_text()
    assert all(one.passed for one in check(place))
