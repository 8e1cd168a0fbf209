"""The same network for onnxruntime, against PyTorch and the `.pte`; int8 layers are int8; cost beside other engines."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from phone_exports import export_config
from stowaways import stowaways

from mpox.commands.export import export as run_export
from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile.check import check
from mpox.mobile.export.benchmark import EAGER, phone_benchmark
from mpox.mobile.export.onnx_job import WEIGHT_BITS
from mpox.mobile.file.contract import facts_in
from mpox.mobile.file.input_tensor import as_input
from mpox.mobile.file.network import PhoneNetwork
from mpox.mobile.file.onnx import export_onnx
from mpox.mobile.file.onnx_layers import saturating_layers
from mpox.mobile.file.onnx_session import run_file
from mpox.mobile.file.package import write_sums
from mpox.mobile.int8.quantize import Calibrated
from mpox.mobile.run.onnx_model import OnnxModel
from mpox.mobile.run.pareto import read_points, timed
from mpox.mobile.run.run_model import RunModel
from mpox.mobile.run.runtime import PhoneModel
from mpox.mobile.run.web_engine import find_web_engine, web_engine
from mpox.report.phones import benchmark_table, write_benchmark
from mpox.runs.opened import OpenedRun, logits_of, open_run
from mpox.stats.pooled import softmax


@pytest.fixture(scope="module")
def run(phone_run: Path) -> OpenedRun:
    return open_run(phone_run, device="cpu")


@pytest.fixture(scope="module", params=["int8_static", pytest.param("fp32", marks=pytest.mark.slow)])
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The report of each recipe's export, with its folder as `place`."""
    report: dict[str, Any] = request.getfixturevalue("float_onnx" if request.param == "fp32" else "int8_onnx")
    return report


def test_the_export_carries_its_facts(made: dict[str, Any], phone_run: Path) -> None:
    place, in_float = made["place"], made["recipe"] == "fp32"
    assert made["opset"] == 18 and made["kept"]
    assert not in_float or made["float_difference"] < 1e-4
    assert made["engines_agree"]["precise"] >= 0.995
    contract = read_json(place / "contract.json")
    assert (contract["file"], contract["sha256"]) == ("model.onnx", made["sha256"])
    assert {path.name for path in place.iterdir()} >= {"golden", "model_card.md", "SHA256SUMS"}
    assert ("int8" in made["contents"]["layers"]) != in_float
    assert not stowaways(place, place.parent, phone_run.parents[1])  # the exporter's traces
    model, run = OnnxModel(place), RunModel(phone_run, 0.95)
    assert (model.labels, model.positive, model.image_size) == (run.labels, run.positive, run.image_size)
    for of_file, of_run in ((model.rule.threshold, run.rule.threshold), (model.temperature, run.temperature)):
        assert of_file == pytest.approx(of_run, abs=1e-5)
    assert model.rule.quantiles == pytest.approx(run.rule.quantiles, abs=1e-5)


@pytest.mark.slow
def test_float_file_computes_what_pytorch_does_for_any_number_of_photos(
    run: OpenedRun, float_onnx: dict[str, Any]
) -> None:
    file, images = float_onnx["place"] / "model.onnx", run.images(run.rows("test"))
    expected = logits_of(run.network, images, 4)
    for count in (1, 5, len(images)):
        given = run_file(file, images[:count].numpy())
        np.testing.assert_allclose(given, expected[:count] / OnnxModel(file).temperature, atol=1e-3)
    np.testing.assert_allclose(OnnxModel(file).logits(images.numpy()), expected, atol=1e-3)


def test_golden_set_and_exports_side_by_side_take_this_form(export: Path, exported: Path, tmp_path: Path) -> None:
    sums, outputs, stock = check(export, stock=True)
    assert (
        stock.passed
        and sums.passed
        and outputs.passed
        and "model.onnx gives the expected probabilities" in outputs.text
    )
    for folder in (export, exported):
        shutil.copytree(folder, tmp_path / folder.name)
    points = timed(read_points(tmp_path), tmp_path, rounds=2)
    assert {point.recipe for point in points} == {"int8_static", "onnx int8_static"}
    assert all(point.latency_ms and point.latency_ms > 0 for point in points)


@pytest.mark.slow
def test_a_file_on_which_engines_differ_is_refused(
    run: OpenedRun, phone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine of the web that answers every photo with its last class: a program of its own in node's place."""
    program = tmp_path / "bin" / "node"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys, array\nphotos, answers = int(sys.argv[5]), sys.argv[7]\n"
        f"array.array('f', [0.0] * {len(run.card.classes) - 1} + [9.0]).__mul__(photos).tofile(open(answers, 'wb'))\n"
    )
    program.chmod(0o755)
    package = tmp_path / "node_modules" / "onnxruntime-web" / "package.json"
    package.parent.mkdir(parents=True)
    package.write_text('{"version": "0.0.0"}')
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("MPOX_WEB", str(tmp_path))
    options = ["format=onnx", "recipe=fp32", "name=differs", "timing.rounds=0"]
    with pytest.raises(UserError, match=r"engines agree on .* of photos, not 99\.5%.*web"):
        run_export(export_config(phone_run, tmp_path / "out", *options))
    assert not (tmp_path / "out" / "differs").exists()


def test_the_web_engine_is_asked_for_in_one_line(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPOX_WEB", str(tmp_path))
    with pytest.raises(UserError, match=r"to run the file as browsers do: install Node\.js.*npm ci"):
        check(export, web=True)


@pytest.mark.slow
@pytest.mark.skipif(find_web_engine() is None, reason="node or apps/web/node_modules/onnxruntime-web is not installed")
def test_browsers_engine_answers_as_others_do(made: dict[str, Any], run: OpenedRun) -> None:
    assert made["engines_agree"]["web"] >= 0.995
    *_, web = check(made["place"], web=True)
    assert web.passed and "onnxruntime-web" in web.text
    pixels = run.pixels[run.rows("test")]
    answers = web_engine().logits(made["place"] / "model.onnx", as_input(pixels, pixels.shape[1]))
    own = OnnxModel(made["place"]).probabilities(pixels)
    np.testing.assert_allclose(softmax(answers), own, atol=1e-4 if made["recipe"] == "fp32" else 0.02)


def test_maps_are_those_of_the_network(run: OpenedRun, made: dict[str, Any]) -> None:
    images, in_float = run.images(run.rows("test")[:4]), made["recipe"] == "fp32"
    model = OnnxModel(made["place"])
    logits, maps = model.explain(images.numpy())
    assert maps.shape == (4, 4, 3, 3) and read_json(made["place"] / "contract.json")["methods"]["explain"]
    bias = logits - maps.mean((2, 3))  # that of the network, corrected for int8
    np.testing.assert_allclose(bias, bias[:1].repeat(4, 0), atol=1e-3)
    if in_float:
        np.testing.assert_allclose(bias[0], run.network.head.bias.detach(), atol=1e-3)
    np.testing.assert_allclose(logits, model.logits(images.numpy()), atol=1e-5)
    assert made["maps"]["least_correlation"] > (0.999 if in_float else 0.8)


def test_checking_loads_no_training_code() -> None:
    program = (
        "import sys, mpox.mobile.check; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'timm', 'torchvision', 'wandb'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_int8_file_is_int8_and_agrees(run: OpenedRun, int8_onnx: dict[str, Any]) -> None:
    path = int8_onnx["place"] / "model.onnx"
    model = onnx.load(path)
    wanted = {"logits"}
    for node in reversed(model.graph.node):  # in order: what the maps alone need is in float
        wanted |= set(node.input) if wanted & set(node.output) else set()
    convolutions = [node for node in model.graph.node if node.op_type == "Conv" and wanted & set(node.output)]
    quantized = {output for node in model.graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    assert convolutions and all(set(node.input[:2]) <= quantized for node in convolutions)
    assert int8_onnx["size_against_fp32"] < 1 / 3
    rows = run.rows("test")
    exact = logits_of(run.network, run.images(rows), 4).numpy()
    rounded = OnnxModel(path).probabilities(run.pixels[rows])
    assert (exact.argmax(1) == rounded.argmax(1)).mean() >= 0.75


def pairs_clipped(path: Path) -> int:
    """How many sums of two products, of neighbouring weights with the largest activations, do not fit into 16 bits."""
    clipped = 0
    graph = onnx.load(path).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    source = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in source:
            weights = np.abs(tensors[source[node.input[1]].input[0]].astype(int)).reshape(-1)
            clipped += int(255 * (np.sort(weights)[-1] + np.sort(weights)[-2]) > 32767)
    return clipped


@pytest.mark.slow
def test_no_processor_can_saturate_and_what_can_is_refused(run: OpenedRun, export: Path, tmp_path: Path) -> None:
    path = export / "model.onnx"
    assert saturating_layers(path) == [] and pairs_clipped(path) == 0
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}
    rounding = [node for node in onnx.load(path).graph.node if node.op_type == "QuantizeLinear"]
    assert rounding and all(kinds[node.input[2]] == onnx.TensorProto.UINT8 for node in rounding)
    network = PhoneNetwork(run.network, image_size=96, maps=False)
    eight = Calibrated(network, run.images(run.rows("train")[:4]), weight_bits=8).converted()
    with pytest.raises(UserError, match="could saturate on processors without 8-bit dot products"):
        export_onnx(eight, tmp_path / "x.onnx", facts_in(OnnxModel(path).facts), recipe="int8_static")
    # A file of an earlier version is told of when it is checked.
    old = tmp_path / "old"
    shutil.copytree(export, old)
    model = onnx.load(old / "model.onnx")
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.int8 and values.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array((values * 2).astype("int8"), tensor.name))
    onnx.save(model, old / "model.onnx")
    write_sums(old)
    failed = [result.text for result in check(old) if not result.passed]
    assert any("saturate on processors without 8-bit dot products" in text for text in failed)


def test_bad_input_gets_one_line(run: OpenedRun, export: Path, exported: Path, tmp_path: Path) -> None:
    facts = facts_in(PhoneModel(exported).facts)
    network = PhoneNetwork(run.network, image_size=96, maps=False)
    with pytest.raises(UserError, match="recipe=int4"):
        export_onnx(network, tmp_path / "x.onnx", facts, recipe="int4")
    with pytest.raises(UserError, match="too few to choose a range"):
        Calibrated(network, torch.zeros(1, 3, 96, 96), weight_bits=WEIGHT_BITS)
    assert not list(tmp_path.iterdir())
    (tmp_path / "cut.onnx").write_bytes((export / "model.onnx").read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot be loaded"):
        OnnxModel(tmp_path / "cut.onnx")


@pytest.mark.slow
def test_engines_are_measured_side_by_side(run: OpenedRun, exported: Path, tmp_path: Path) -> None:
    result = phone_benchmark(exported, run=run, threads=[1], rounds=2, runs=2)
    engines = result["engines"]
    expected = ["ExecuTorch int8_static", "ExecuTorch fp32", "onnxruntime fp32", "onnxruntime int8", EAGER]
    assert list(engines) == expected
    for engine in engines.values():
        times = engine["latency"]["1"]
        assert 0 < times["least_ms"] <= times["median_ms"] <= times["p90_ms"] and len(times["round_ms"]) == 2
    assert engines["ExecuTorch int8_static"]["latency"]["1"]["against_first"]["median"] == 1
    assert engines["ExecuTorch fp32"]["size_bytes"] > 3 * engines["ExecuTorch int8_static"]["size_bytes"]
    # The engine's own memory is that of its process: onnxruntime's holds no PyTorch.
    if (memory := engines["onnxruntime fp32"]["runtime_mb"]) is not None:
        assert memory < 150 < engines[EAGER]["runtime_mb"]
    write_benchmark(result, tmp_path)
    assert (tmp_path / "benchmark.png").is_file() and benchmark_table(result).row_count == 5
    with pytest.raises(UserError, match="choose host"):
        phone_benchmark(exported, device="tpu")
