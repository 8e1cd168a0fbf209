"""What an app must know about a file: the constants inside it, and contract.json, which explains them."""

from dataclasses import dataclass
from typing import Any

from mpox import __version__
from mpox.mobile.file.input_tensor import described, instructions
from mpox.mobile.file.package import MODEL_FILE

CONTRACT_FILE = "contract.json"
FORMAT = 1
# The backend that ExecuTorch's runtime includes on a computer; files for the others are not run here.
RUNNABLE = "xnnpack"
INTENDED_USE = (
    "Research on the recognition of mpox in smartphone photos of skin lesions, and decision support for people who "
    "know its limits. Never a diagnosis; not a medical device."
)


@dataclass(frozen=True)
class Facts:
    """The facts that a file carries. `threshold` and `positive` are None where no class is mpox."""

    labels: tuple[str, ...]
    image_size: int
    interpolation: str
    temperature: float
    positive: int | None
    threshold: float | None
    recipe: str
    backend: str
    input: str
    study: str
    model: str
    fold: int
    splits_sha256: str
    checkpoint_sha256: str


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
        "temperature": float(facts.temperature),
        "recipe": facts.recipe,
        "study": facts.study,
        "model": facts.model,
        "fold": facts.fold,
        "splits_sha256": facts.splits_sha256,
        "checkpoint_sha256": facts.checkpoint_sha256,
        "intended_use": INTENDED_USE,
    }
    if facts.positive is not None and facts.threshold is not None:
        content |= {"positive": facts.positive, "threshold": float(facts.threshold)}
    return content


def contract(facts: Facts, sha256: str, map_size: tuple[int, int] | None, no_maps: str | None) -> dict[str, Any]:
    """Return the content of contract.json. `map_size` (h, w) of the maps of `explain`, or the reason for none."""
    size, n_classes = facts.image_size, len(facts.labels)
    image = described(facts.input, size)
    probabilities = {
        "name": "probabilities",
        "shape": [1, n_classes],
        "dtype": "float32",
        "range": [0.0, 1.0],
        "order": list(facts.labels),
        "note": f"softmax of logits / temperature ({facts.temperature:.4f}), computed in the file",
    }
    logits = {"name": "logits", "shape": [1, n_classes], "dtype": "float32", "order": list(facts.labels)}
    methods: dict[str, Any] = {"forward": {"inputs": [image], "outputs": [probabilities, logits]}}
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
        "Cut out the centre square: side = min(width, height), left = (width - side) // 2, top = (height - side) // 2.",
        f"Resize the square to {size}x{size} pixels with an antialiased {facts.interpolation} filter (one whose "
        "support grows with the reduction, as Pillow's does), rounded to whole values.",
        *instructions(facts.input),
    ]


def decision(facts: Facts) -> str:
    """Return the rule from probabilities to a class as text."""
    if facts.positive is None or facts.threshold is None:
        return "The answer is the label with the largest probability."
    name = facts.labels[facts.positive]
    return (
        f"Call it {name} where its probability (number {facts.positive} from 0) is at least {facts.threshold:.6f}, the "
        "threshold chosen on the validation photos; else the answer is the other label with the largest probability."
    )


RUNS_ON = {
    "onnxruntime": "any device with an onnxruntime that reads its opset; run and verified where it was exported",
    "xnnpack": "the processor of any phone with ExecuTorch 1.5 or later; run and verified where it was exported",
    "coreml": "Apple devices with ExecuTorch's Core ML backend; lowered only: verify it on the device",
    "vulkan": "Android devices with ExecuTorch's Vulkan backend; lowered only: verify it on the device",
}
