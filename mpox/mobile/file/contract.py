"""What an app must know about a file: the constants inside it, and contract.json, which explains them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mpox import __version__
from mpox.data.working_picture import GAP, ONE_STEP, resize_of
from mpox.errors import UserError, reason_of
from mpox.mobile.file.input_tensor import described, instructions
from mpox.mobile.file.package import AGAIN, MODEL_FILE
from mpox.stats.decision import DecisionRule

CONTRACT_FILE = "contract.json"
# Files of format 1 give (probabilities, raw logits).
FORMAT = 2
# The backend that ExecuTorch's runtime includes on a computer; files for the others are not run here.
RUNNABLE = "xnnpack"
# The constants without which a file gives no answer.
_NEEDED = ("labels", "image_size", "interpolation", "temperature", "version")
INTENDED_USE = (
    "Research on the recognition of mpox in smartphone photos of skin lesions, and decision support for people who "
    "know its limits. Never a diagnosis; not a medical device."
)


@dataclass(frozen=True)
class Facts:
    """The facts that a file carries. `positive` is None where no class is mpox; `fold` is `all` for a final network."""

    labels: tuple[str, ...]
    image_size: int
    interpolation: str
    resize: str
    positive: int | None
    rule: DecisionRule
    recipe: str
    backend: str
    input: str
    study: str
    model: str
    fold: int | str
    splits_sha256: str
    checkpoint_sha256: str


def checked_facts(facts: Any, path: Path) -> dict[str, Any]:
    """Return the constants of the file at `path`. Raises UserError where one is missing or wrong."""
    if not isinstance(facts, dict):
        raise UserError(f"{path} holds no constants: {AGAIN}")
    if lacking := [name for name in _NEEDED if name not in facts]:
        raise UserError(f"{path} lacks the constants {', '.join(lacking)}: it was not exported by this tool")
    labels, size, positive = facts["labels"], facts["image_size"], facts.get("positive")
    try:
        rule = rule_of(facts)
        wrong = (
            *(["labels"] if not _are_labels(labels) else []),
            *(["image_size"] if not isinstance(size, int) or size < 1 else []),
            *(["positive"] if positive is not None and positive not in range(len(labels)) else []),
            *(["quantiles"] if rule.quantiles is not None and len(rule.quantiles) != len(labels) else []),
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} holds no decision rule ({reason_of(error)}): {AGAIN}") from error
    if wrong:
        raise UserError(f"{path} holds constants that do not fit ({', '.join(wrong)}): {AGAIN}")
    return facts


def _are_labels(labels: Any) -> bool:
    return isinstance(labels, list) and all(isinstance(one, str) for one in labels) and len(set(labels)) == len(labels)


def rule_of(constants: Mapping[str, Any]) -> DecisionRule:
    """Return the rule that the constants of a file hold; files of earlier versions have no quantiles."""
    limits = constants.get("quantiles")
    return DecisionRule(constants["temperature"], constants.get("threshold"), None if limits is None else tuple(limits))


def facts_in(constants: Mapping[str, Any], **changes: Any) -> Facts:
    """Return the facts that the constants of a file hold, with `changes`."""
    known = {field.name: constants.get(field.name) for field in fields(Facts) if field.name not in ("rule", "resize")}
    return Facts(**{**known, "rule": rule_of(constants), "resize": resize_of(constants), **changes})


def constants(facts: Facts) -> dict[str, Any]:
    """Return the constant methods of the file by name: int, float, str, or list of str."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "labels": list(facts.labels),
        "image_size": facts.image_size,
        "channel_order": "RGB",
        "value_range": [0.0, 255.0],
        "input": facts.input,
        "interpolation": facts.interpolation,
        "resize": facts.resize,
        "temperature": float(facts.rule.temperature),
        "recipe": facts.recipe,
        "study": facts.study,
        "model": facts.model,
        "fold": facts.fold,
        "splits_sha256": facts.splits_sha256,
        "checkpoint_sha256": facts.checkpoint_sha256,
        "intended_use": INTENDED_USE,
    }
    if facts.positive is not None and facts.rule.threshold is not None:
        content |= {"positive": facts.positive, "threshold": float(facts.rule.threshold)}
    if facts.rule.quantiles is not None:
        content["quantiles"] = [float(value) for value in facts.rule.quantiles]
    return content


def contract(facts: Facts, sha256: str, map_size: tuple[int, int] | None, no_maps: str | None) -> dict[str, Any]:
    """Return the content of contract.json. `map_size` (h, w) of the maps of `explain`, or the reason for none."""
    size, n_classes = facts.image_size, len(facts.labels)
    image = described(facts.input, size)
    logits = {
        "name": "logits",
        "shape": [1, n_classes],
        "dtype": "float32",
        "order": list(facts.labels),
        "note": "their softmax is the calibrated probability of each label; the temperature "
        f"({facts.rule.temperature:.4f}) is in them",
    }
    methods: dict[str, Any] = {"forward": {"inputs": [image], "outputs": [logits]}}
    if map_size is not None:
        maps = {
            "name": "maps",
            "shape": [1, n_classes, *map_size],
            "dtype": "float32",
            "order": list(facts.labels),
            "note": "one map a class, raw and signed: values above zero are evidence for the class; to draw it, "
            "scale it to the working picture with bilinear interpolation",
        }
        methods["explain"] = {"inputs": [image], "outputs": [logits, maps]}
    return {
        "format": FORMAT,
        "file": MODEL_FILE,
        "sha256": sha256,
        "backend": facts.backend,
        "runs_on": RUNS_ON[facts.backend],
        "methods": methods,
        "no_explain_because": no_maps,
        "preprocessing": preprocessing(facts),
        "decision": decision(facts),
        "rule": {**asdict(facts.rule), "positive": facts.positive},
        "constants": constants(facts),
        "golden": "golden/: photos, their working pictures and expected probabilities; "
        "python -m mpox.mobile.check <this folder> tests the file, with --app <folder> an app's results on the photos",
    }


def preprocessing(facts: Facts) -> list[str]:
    """Return the steps of an app from photo to tensor."""
    size = facts.image_size
    return [
        "Decode the photo and turn it upright by its EXIF orientation; 8 bits a channel, transparency on white, "
        "colours converted from the photo's ICC profile (Display P3, Adobe RGB) to sRGB.",
        *_reduction(facts),
        f"Resize the square to {size}x{size} pixels with an antialiased {facts.interpolation} filter (one whose "
        "support grows with the reduction, as Pillow's does), horizontally and then vertically, each rounded to whole "
        "values.",
        *instructions(facts.input),
    ]


def _reduction(facts: Facts) -> list[str]:
    """Return the steps from the upright photo to the square that the filter is given."""
    place = "left = (width - side) // 2, top = (height - side) // 2"
    if facts.resize == ONE_STEP:
        return [f"Cut out the centre square: side = min(width, height), {place}."]
    least = GAP * facts.image_size
    return [
        f"Find k: begin with 1, and double it while min(width, height) // (2 * k) >= {least}. Cut out the centre "
        f"square: side = min(width, height) // k * k, {place} (whole numbers; what // leaves over is dropped).",
        "Where k is more than 1, replace each block of k x k pixels of the square, from its top left corner, by its "
        "mean, each channel on its own: (sum + k * k // 2) // (k * k), so that the square has side // k pixels a side.",
    ]


def decision(facts: Facts) -> str:
    """Return the rule from probabilities to an answer as text."""
    rule, text = facts.rule, "The answer is the label with the largest probability."
    if facts.positive is not None and rule.threshold is not None:
        name = facts.labels[facts.positive]
        text = (
            f"Call it {name}, and refer it to a clinician, where the probability of {name} (number {facts.positive} "
            f"from 0) is the largest or at least {rule.threshold:.6f}. Where it is not the largest say that {name} "
            "cannot be ruled out, not that it is found. Else the answer is the label with the largest probability."
        )
    if rule.quantiles is not None:
        limits = ", ".join(f"{value:.6f}" for value in rule.quantiles)
        text += (
            f" The prediction set holds each label whose 1 - probability is at most its quantile ({limits}, in the "
            "order of the labels). Where the answer is not the only label in the set, say that the photo is unclear, "
            "and refer it."
        )
    text += " Of several photos of one lesion, decide on the mean of their probabilities."
    return f"{text} The rule was fitted on {rule.fitted_on}." if rule.fitted_on else text


RUNS_ON = {
    "onnxruntime": "any device with an onnxruntime that reads its opset; run and verified where it was exported",
    "xnnpack": "the processor of any phone with ExecuTorch 1.5 or later; run and verified where it was exported",
    "coreml": "Apple devices with ExecuTorch's Core ML backend; lowered only: verify it on the device",
    "vulkan": "Android devices with ExecuTorch's Vulkan backend; lowered only: verify it on the device",
}
