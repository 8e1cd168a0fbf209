"""The web app's arithmetic, in TypeScript run by node, against the functions of Python that it repeats."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mpox.curation.descriptors import extract
from mpox.curation.fingerprints import filled
from mpox.curation.quality import exposure, sharpness
from mpox.data.working_picture import ONE_STEP, TWO_STEP, square
from mpox.mobile.run.decision_rule import REFER, decide
from mpox.stats.decision import DecisionRule
from mpox.stats.pooled import softmax

WEB = Path(__file__).parents[2] / "apps" / "web"
LABELS = ("chickenpox", "healthy", "mpox")


def pictures() -> dict[str, np.ndarray]:
    """Photos (H, W, 3) uint8 whose sizes, padding and texture differ."""
    random = np.random.default_rng(0)

    def texture(height: int, width: int, grain: int) -> np.ndarray:
        small = Image.fromarray(random.integers(0, 256, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8))
        return np.array(small.resize((width, height), Image.Resampling.BICUBIC))

    padded = texture(300, 401, 9)
    padded[:40], padded[:, -70:] = 0, 255
    dark = (texture(240, 320, 5) // 9).astype("uint8")
    bright = texture(200, 200, 3)
    bright[50:160, 30:150] = 255  # not at an edge, where it would be padding
    blurred = texture(600, 333, 80)
    return {
        "noise": random.integers(0, 256, (257, 190, 3), dtype=np.uint8),
        "texture": texture(1999, 1201, 3),
        "padded": padded,
        "dark": dark,
        "bright": bright,
        "blurred": blurred,
        "flat": np.full((300, 300, 3), 77, np.uint8),
        "small": texture(90, 130, 2),
    }


def cases() -> list[tuple[list[float], int, DecisionRule]]:
    """Random probabilities and rules, and those at the very limits."""
    random = np.random.default_rng(1)
    found = []
    for _ in range(400):
        p = random.dirichlet(np.full(3, 0.4)).astype("float32").astype(float)
        threshold = None if random.random() < 0.2 else float(random.choice([random.random(), p[2]]))
        quantiles = None if random.random() < 0.2 else tuple(map(float, random.choice([*(1 - p), 1.0, 0.3], 3)))
        found.append((p.tolist(), int(random.integers(3)), DecisionRule(1.0, threshold, quantiles)))
    found.append(([0.5, 0.0, 0.5], 2, DecisionRule(1.0, None)))
    found.append(([0.25, 0.25, 0.5], 0, DecisionRule(1.0, 0.25, (1.0, 1.0, 1.0))))
    return found


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder with what node made of `pictures`, and what it printed."""
    if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("no node here, or make app has not been run")
    folder = tmp_path_factory.mktemp("measures")
    photos = []
    for k, (name, photo) in enumerate(pictures().items()):
        (folder / f"{name}.rgb").write_bytes(photo.tobytes())
        filters = ("bicubic", "bilinear", "lanczos")
        sizes = {"name": name, "width": photo.shape[1], "height": photo.shape[0], "size": 96, "boxed": k % 2 == 1}
        photos.append({**sizes, "filter": filters[k % 3]})
    decisions = [
        {"probabilities": p, "positive": positive, "rule": {"threshold": rule.threshold, "quantiles": rule.quantiles}}
        for p, positive, rule in cases()
    ]
    asked = {"photos": photos, "decisions": decisions, "logits": [[1.5, -2.25, 700.0], [0.1, 0.2, 0.3]]}
    (folder / "asked.json").write_text(json.dumps(asked))
    program = folder / "measures.mjs"
    bundle = ["node_modules/.bin/esbuild", str(Path(__file__).with_name("web_measures.ts")), "--bundle", "--format=esm"]
    subprocess.run([*bundle, "--platform=node", "--log-level=error", f"--outfile={program}"], cwd=WEB, check=True)
    done = subprocess.run(["node", program, folder], capture_output=True, text=True, check=True)
    return folder, {**json.loads(done.stdout), "asked": asked}


def test_working_pictures_are_those_of_the_desk(answered: tuple[Path, dict[str, Any]]) -> None:
    folder, content = answered
    for one in content["asked"]["photos"]:
        photo = Image.fromarray(pictures()[one["name"]])
        given = np.frombuffer((folder / f"{one['name']}.picture").read_bytes(), np.uint8).reshape(96, 96, 3)
        expected = square(photo, 96, one["filter"], TWO_STEP if one["boxed"] else ONE_STEP)
        np.testing.assert_array_equal(given, expected, err_msg=one["name"])


def test_quality_is_that_of_the_audit(answered: tuple[Path, dict[str, Any]]) -> None:
    folder, content = answered
    seen = []
    for one, given in zip(content["asked"]["photos"], content["photos"], strict=True):
        _, canvas, (height, width), *_ = extract(Image.fromarray(pictures()[one["name"]]), sift=False)
        grey = np.ascontiguousarray(canvas[:height, :width])
        small = np.frombuffer((folder / f"{one['name']}.grey").read_bytes(), np.uint8).reshape(height, width)
        np.testing.assert_array_equal(small, grey, err_msg=one["name"])
        expected = [sharpness(grey), *exposure(grey), float(filled(grey).mean())]
        measured = [given[name] for name in ("sharpness", "bright", "dark", "padding")]
        assert measured == pytest.approx(expected, abs=1e-5), one["name"]
        seen.append(expected)
    least, most = np.min(seen, axis=0), np.max(seen, axis=0)
    limits = [0.4, 0.1, 0.25, 0.1]
    assert (least < limits).all() and (most > limits).all()  # both sides of every limit


def test_decisions_are_those_of_the_rule(answered: tuple[Path, dict[str, Any]]) -> None:
    _, content = answered
    outcomes = set()
    for (p, positive, rule), given, mean in zip(cases(), content["decisions"], content["means"], strict=True):
        expected = decide(np.array(p), LABELS, positive, rule, refer_below=0.5)
        assert (LABELS[given["label"]], given["refer"]) == (expected.label, expected.action == REFER), (p, rule)
        assert given["set"] == np.flatnonzero(rule.sets(np.array([p]))[0]).tolist()
        assert mean == pytest.approx((np.array(p) + p[::-1]) / 2, abs=1e-12)
        of = {"suspected": "suspected", "not_ruled_out": "ruled out", "unclear": "unsure", "not_suspected": ""}
        assert of[given["outcome"]] in expected.why and (given["outcome"] != "not_suspected" or not expected.why)
        outcomes.add(given["outcome"])
    assert len(outcomes) == 4
    for logits, given in zip(content["asked"]["logits"], content["softmax"], strict=True):
        np.testing.assert_allclose(given, softmax(np.array([logits]))[0], atol=1e-7)
