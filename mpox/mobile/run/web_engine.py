"""A `.onnx` in the web's engine: onnxruntime-web (WebAssembly), run by node. Neither is ever downloaded from here.

Found where node is installed, and the package in `apps/web/node_modules` of a checkout or below the folder that the
environment variable MPOX_WEB names. No PyTorch.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from mpox.errors import UserError
from mpox.files import read_json
from mpox.temporary import scratch

PACKAGE = "onnxruntime-web"
FOLDER = "MPOX_WEB"
REMEDY = f"install Node.js 20 or later, then `npm ci` in apps/web (or {FOLDER}=<folder with {PACKAGE} in node_modules>)"
TIMEOUT_S = 1200


@dataclass(frozen=True)
class WebEngine:
    """The program node, and a folder below which node_modules has the package."""

    node: str
    folder: Path

    @property
    def version(self) -> str:
        """Version of onnxruntime-web."""
        return str(read_json(_package(self.folder) / "package.json")["version"])

    def logits(self, path: Path, tensors: np.ndarray) -> np.ndarray:
        """Return a file's answers (N, C) float32 for `tensors` (N, 3, S, S) float32, one photo at a time.

        Raises UserError where node or the engine fails on the file.
        """
        with scratch() as place:
            images, answers, program = place / "images.f32", place / "answers.f32", place / "web_engine.mjs"
            np.ascontiguousarray(tensors, "<f4").tofile(images)
            program.write_bytes((resources.files("mpox.mobile.run") / program.name).read_bytes())
            facts = [str(len(tensors)), str(tensors.shape[-1])]
            command = [self.node, str(program), str(self.folder.resolve()), str(path.resolve()), str(images)]
            try:
                done = subprocess.run(
                    [*command, *facts, str(answers)], capture_output=True, text=True, timeout=TIMEOUT_S
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise UserError(f"{path} in {PACKAGE}: node failed ({error}): {REMEDY}") from error
            if done.returncode != 0:
                reason = next((line for line in done.stderr.splitlines() if "Error" in line), done.stderr.strip()[:200])
                raise UserError(f"{path} in {PACKAGE} {self.version}: {reason.strip()}: {REMEDY}")
            return np.fromfile(answers, "<f4").reshape(len(tensors), -1)


def find_web_engine() -> WebEngine | None:
    """Return the web's engine; None where node or the package is not installed."""
    node = shutil.which("node")
    checkout = Path(__file__).resolve().parents[3] / "apps" / "web"
    given = os.environ.get(FOLDER)
    folder = Path(given).expanduser() if given else checkout
    return WebEngine(node, folder) if node and (_package(folder) / "package.json").is_file() else None


def web_engine() -> WebEngine:
    """Return the web's engine. Raises UserError, with how to install it, where it is not installed."""
    found = find_web_engine()
    if found is None:
        lacking = "no program node" if shutil.which("node") is None else f"no {PACKAGE}"
        raise UserError(f"{lacking} to run the file as browsers do: {REMEDY}")
    return found


def _package(folder: Path) -> Path:
    return folder / "node_modules" / PACKAGE
