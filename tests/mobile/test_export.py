"""The export command: its files agree with its report, and a failed export leaves none."""

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phone_exports import export_config
from PIL import Image
from sklearn.metrics import balanced_accuracy_score
from stowaways import stowaways

from mpox.commands.export import export
from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile.check import check
from mpox.mobile.export.original import Request, gather_original, torch_logits
from mpox.mobile.export.recipe_trials import MissedBoundError
from mpox.mobile.file.operators import count_operators
from mpox.mobile.file.package import write_sums
from mpox.mobile.int8.recipes import check_arithmetic
from mpox.mobile.run.run_model import RunModel
from mpox.mobile.run.runtime import PhoneModel
from mpox.runs.opened import open_run
from mpox.stats.pooled import softmax
from mpox.study.comparison_options import ComparisonOptions
from mpox.study.held_out import rule_of_run


def test_the_report_agrees_with_the_file(exported: Path, phone_run: Path) -> None:
    report = read_json(exported / "export.json")
    run = open_run(phone_run, device="cpu")
    rows = run.rows("test")
    with torch.no_grad():
        expected = run.network(run.images(rows)).argmax(1).numpy()
    given = PhoneModel(exported).probabilities(run.pixels[rows]).argmax(1)
    found = report["verification"]
    assert found["photos"] == len(rows)
    assert found["agreement"]["value"] == pytest.approx(np.mean(expected == given))
    targets = run.photos["target"].to_numpy()[rows]
    for side, predicted in (("pytorch", expected), ("exported", given)):
        assert found[side]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(targets, predicted))
    assert report["card"]["study"] == "phones" and report["latency_ms"] > 0  # what mpox.compare reads
    assert (exported / "model.pte").stat().st_size == report["size_bytes"]


def test_nothing_in_the_folder_names_a_place_of_this_machine(exported: Path, phone_run: Path) -> None:
    assert not stowaways(exported, exported.parent, phone_run.parents[1])


def test_a_network_that_does_not_agree_with_itself_is_recognised(exported: Path, phone_run: Path) -> None:
    original = gather_original(
        open_run(phone_run, device="cpu"), Request(exports_dir=exported.parent, calibration_photos=16)
    )
    assert original.self_agreement == read_json(exported / "export.json")["self_agreement"] >= 0.9

    class Erratic(torch.nn.Module):  # its output depends on the last bits of one pixel
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.sin(1e4 * images[:, :1, 0, 0] * torch.arange(1, 5)),)

    erratic: Any = Erratic()
    images = original.run.images(original.deciding_rows)
    changed = dataclasses.replace(original, network=erratic, deciding_logits=torch_logits(erratic, images))
    assert changed.self_agreement < 0.75


def test_int8_is_in_the_file_and_only_there(exported: Path) -> None:
    counts = count_operators(exported / "model.pte")
    parts = 6  # five stages and the last features
    assert counts.layers == {"int8": 49, "fp32": parts}  # the classifier is in float
    assert counts.delegated == 1.0 and counts.delegates == 1
    assert counts.conversions == 1 + parts  # of the pixels, and of what the head takes: no float islands between
    assert read_json(exported / "export.json")["size_against_fp32"] < 1 / 3.5
    (floats,) = (exported.parent / ".fp32").glob("*.pte")
    with pytest.raises(UserError, match="left no int8 layer"):
        check_arithmetic("int8_static", count_operators(floats))


def test_the_file_carries_its_facts(exported: Path, phone_run: Path) -> None:
    model, card = PhoneModel(exported), open_run(phone_run, device="cpu").card
    assert model.labels == card.classes and model.image_size == 96
    assert model.facts["splits_sha256"] == card.splits_sha256 and model.facts["channel_order"] == "RGB"
    assert "Never a diagnosis" in model.facts["intended_use"]
    rule = rule_of_run(phone_run, ComparisonOptions())
    assert (model.temperature, model.rule.threshold) == pytest.approx((rule.temperature, rule.threshold), abs=1e-6)
    assert model.rule.quantiles == pytest.approx(rule.quantiles, abs=1e-6)
    contract = read_json(exported / "contract.json")
    assert contract["constants"]["threshold"] == contract["rule"]["threshold"] == rule.threshold
    assert contract["rule"]["fitted_on"] == rule.fitted_on and rule.fitted_on in contract["decision"]
    assert contract["methods"]["explain"]["outputs"][1]["shape"] == [1, 4, 3, 3]


def test_probabilities_are_those_of_the_logits_at_the_temperature(exported: Path) -> None:
    model = PhoneModel(exported, threads=1)
    photos = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    logits = torch.from_numpy(model.logits(photos))
    assert np.allclose(model.probabilities(photos), (logits / model.temperature).softmax(1), atol=1e-5)
    assert np.array_equal(model.probabilities(photos), model.probabilities(photos.transpose(0, 3, 1, 2).astype("f4")))


def test_stock_loaders_take_the_file_and_old_ones_are_still_read(exported: Path) -> None:
    (stock,) = [result for result in check(exported, stock=True) if "stock" in result.text]
    assert stock.passed and "one output, whose softmax is" in stock.text
    before = Path(__file__).parents[1] / "before_the_move" / "export"
    results = check(before, stock=True)
    assert [result.passed for result in results] == [True, True, False]
    assert "gives 2 outputs, stock loaders take one" in results[-1].text
    old = PhoneModel(before)
    photos = np.random.default_rng(0).integers(0, 256, (2, old.image_size, old.image_size, 3), dtype=np.uint8)
    assert np.allclose(old.probabilities(photos), softmax(old.logits(photos), old.temperature), atol=1e-5)


def test_maps_are_of_the_same_weights(exported: Path) -> None:
    model = PhoneModel(exported)
    photos = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    logits, maps = model.explain(photos)
    assert np.allclose(logits, model.logits(photos), atol=0.05)
    offsets = logits - maps.mean((2, 3))  # the classifier's bias, the same for every photo
    assert np.ptp(offsets, axis=0).max() < 0.1
    assert read_json(exported / "export.json")["maps"]["least_correlation"] > 0.9
    assert (exported / "model.pte").stat().st_size < 1.02 * read_json(exported / "export.json")["size_bytes"]


def test_sums_are_of_every_file(exported: Path) -> None:
    lines = (exported / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert set(sums) == files - {"SHA256SUMS"}
    assert all(hashlib.sha256((exported / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())
    assert {"model.pte", "export.json", "contract.json", "model_card.md", "golden/expected.json"} <= files


def test_an_export_is_not_overwritten_unasked(exported: Path, phone_run: Path) -> None:
    with pytest.raises(UserError, match="overwrite=true"):
        export(export_config(phone_run, exported.parent, "name=lite0"))


def test_an_export_replaces_exports_alone(exported: Path, phone_run: Path, tmp_path: Path) -> None:
    """`overwrite=true` on a folder of the user's, or on an export that a person put something into."""
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "mine").mkdir()
    (tmp_path / "exports" / "mine" / "thesis.docx").touch()
    annotated = Path(shutil.copytree(exported, tmp_path / "exports" / "annotated"))
    (annotated / "golden" / "notes.txt").write_text("a person's")
    for name, words in (("../photos", "is a path"), ("mine", "is no export"), ("annotated", r"golden/notes\.txt")):
        with pytest.raises(UserError, match=words):
            export(export_config(phone_run, tmp_path / "exports", f"name={name}", "recipe=fp32", "overwrite=true"))
    assert (annotated / "golden" / "notes.txt").exists() and (tmp_path / "exports" / "mine" / "thesis.docx").exists()


def test_a_contract_of_a_stranger_leads_nowhere(exported: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(exported, tmp_path / "other"))
    for name, change in (("SHA256SUMS", lambda text: text.replace("  model.pte", "  ../../model.pte")),
                         ("contract.json", lambda text: text.replace('"model.pte"', '"/etc/passwd"'))):  # fmt: skip
        original = (other / name).read_text()
        (other / name).write_text(change(original))
        if name == "contract.json":
            write_sums(other)
        with pytest.raises(UserError, match=rf"{name} names .*leads out of"):
            check(other)
        (other / name).write_text(original)


@pytest.mark.slow
def test_a_file_that_misses_its_bound_is_not_exported(exported: Path, phone_run: Path) -> None:
    with pytest.raises(MissedBoundError, match=r"agrees .* not 101\.0%; .*recipe=int8_mixed"):
        export(export_config(phone_run, exported.parent, "name=missed", "recipe=int8_static", "bound.agreement=1.01"))
    assert not (exported.parent / "missed").exists()
    assert read_json(exported.parent / "missed.missed.json")["tried"][0]["recipe"] == "int8_static"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["int8_dynamic", "int8_mixed", "int8_qat"])
def test_every_recipe_is_made_and_verified(recipe: str, phone_run: Path, exported: Path) -> None:
    report = export(export_config(phone_run, exported.parent, f"recipe={recipe}", f"name={recipe}", "qat.steps=3"))
    layers = report["contents"]["layers"]
    assert layers["int8_dynamic" if recipe == "int8_dynamic" else "int8"] > 10
    assert report["verification"]["agreement"]["value"] >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vulkan", "coreml"])
def test_a_backend_that_cannot_run_here_is_reported(
    backend: str, phone_run: Path, exported: Path, tmp_path: Path
) -> None:
    report = export(export_config(phone_run, exported.parent, f"backend={backend}", "recipe=fp16", f"name={backend}"))
    assert "not run" in report["note"] and report["verification"] is None
    folder = exported.parent / backend
    assert "verify it on the device" in read_json(folder / "contract.json")["runs_on"]
    # Its golden outputs are the network's: those that a phone must come near.
    expected = read_json(folder / "golden" / "expected.json")
    assert "PyTorch" in expected["answers_of"]
    picture = np.asarray(Image.open(folder / "golden" / "photo-0-picture.png"))
    own = RunModel(phone_run, 0.95).probabilities(picture)[0]
    np.testing.assert_allclose(expected["answers"]["photo-0"]["probabilities"], own, atol=1e-5)
    probabilities = {name: one["probabilities"] for name, one in expected["answers"].items()}
    (tmp_path / "probabilities.json").write_text(json.dumps(probabilities))
    assert all(finding.passed for finding in check(folder, tmp_path))
    (tmp_path / "probabilities.json").write_text(json.dumps({name: p[::-1] for name, p in probabilities.items()}))
    assert not check(folder, tmp_path)[-1].passed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["recipe=int4"], "recipe=int4 is unknown"),
        (["backend=qnn"], "backend=qnn is unknown"),
        (["input=rgb"], "input=rgb is unknown: choose float32_nchw or uint8_nhwc"),
        (["input=uint8_nhwc", "backend=coreml"], "backend=coreml takes no bytes"),
        (["input=uint8_nhwc", "format=onnx"], "format=onnx has no input=uint8_nhwc"),
        (["calibration.photos=1"], "calibration.photos=1 is too few to choose a range"),
        (["run=null"], "give run="),
        (["run=null", "chosen=none.yaml"], "no file none.yaml"),
    ],
)
def test_mistakes_get_one_line(overrides: list[str], message: str, phone_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        export(export_config(phone_run, tmp_path, *overrides))
    assert "\n" not in str(caught.value)


def test_without_held_out_photos_nothing_is_exported(phone_run: Path, tmp_path: Path) -> None:
    run = open_run(phone_run, device="cpu")
    photos = run.photos.assign(role=run.photos["role"].replace("test", "train"))
    with pytest.raises(UserError, match="no held-out photos"):
        gather_original(dataclasses.replace(run, photos=photos), Request(tmp_path))


def test_a_checkpoint_of_another_class_count_is_refused(phone_run: Path, tmp_path: Path) -> None:
    content = torch.load(phone_run / "checkpoint.ckpt", weights_only=True)
    content["card"]["classes"] = (*content["card"]["classes"], "measles")
    (tmp_path / "config.yaml").write_bytes((phone_run / "config.yaml").read_bytes())
    torch.save(content, tmp_path / "checkpoint.ckpt")
    with pytest.raises(UserError, match=r"does not fit .* with 5 classes") as caught:
        export(export_config(tmp_path, tmp_path / "exports"))
    assert "\n" not in str(caught.value)
