"""`mpox.publish`, read by timm from a server that speaks the hub's download paths; `weights=hub` from the same."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from documented import CHECKOUT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mpox.commands.publish import run as publish
from mpox.errors import UserError
from mpox.model.checkpoint import load_checkpoint
from mpox.options import config_dir
from mpox.training.job import train

Configured = Callable[..., DictConfig]
MODEL, NAME = "mobilenetv3_small_100", "mobilenetv3_small_100.lamb_in1k"
# A process that knows the hub by its environment alone, as a user's would.
ASK = """
import json, sys, mpox, timm, torch
model = timm.create_model(sys.argv[1], pretrained=True).eval()
images = torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)
print(json.dumps(model(images).detach().tolist()))
"""


class Hub(BaseHTTPRequestHandler):
    """`/<owner>/<name>/resolve/<revision>/<file>` of the files below `root`, with the headers of a hub."""

    def __init__(self, root: Path, *arguments: object) -> None:
        self.root = root
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        asked = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/[\w.-]+/([\w.-]+)", self.path)
        path = self.root / asked[1] / asked[2] if asked else self.root / "nowhere"
        if self.path == "/" or not path.is_file():
            self.send_response(200 if self.path == "/" else 404)
            if self.path != "/":
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder that a local hub serves, and the environment of a process that asks it."""
    root = tmp_path / "hub"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(CHECKOUT),
    }
    yield root, environment
    server.shutdown()
    server.server_close()


def published(folder: Path, run: Path, *typed: str) -> None:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        publish(compose("publish", [f"run={run}", f"to={folder}", *typed]))


@pytest.mark.slow
def test_a_published_run_is_read_by_timm(
    configured: Configured, tmp_path: Path, hub: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    train(configured("model.features=last"))
    run = tmp_path / "runs" / "default" / MODEL / "fold-0"
    root, environment = hub
    published(root / "ward" / "tiny", run)
    assert "3 places of README.md" in capsys.readouterr().out
    network, card = load_checkpoint(run / "checkpoint.ckpt")
    images = torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)
    own = network.backbone(images)
    asked = [sys.executable, "-c", ASK, "hf-hub:ward/tiny"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), own, atol=1e-4)
    modes = {path.stat().st_mode for path in (root / "ward" / "tiny").iterdir()}
    assert len(modes) == 1  # whoever reads one file reads all
    record = json.loads((root / "ward" / "tiny" / "config.json").read_text())
    assert record["label_names"] == list(card.classes) and record["pretrained_cfg"]["input_size"] == [3, 32, 32]
    text = (root / "ward" / "tiny" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: timm") and "never a diagnosis" in text

    with pytest.raises(UserError, match=r"exists: give another to=, or overwrite=true"):
        published(root / "ward" / "tiny", run)
    published(root / "ward" / "tiny", run, "overwrite=true", "licence=mit")
    assert "license: mit" in (root / "ward" / "tiny" / "README.md").read_text()
    (root / "ward" / "tiny" / "notes.txt").write_text("by a person")
    with pytest.raises(UserError, match=r"notes\.txt"):
        published(root / "ward" / "tiny", run, "overwrite=true")


def test_a_head_of_several_stages_is_refused(configured: Configured, tmp_path: Path) -> None:
    train(configured("schedule=probe"))
    with pytest.raises(UserError, match=r"train with model\.features=last, or use mpox\.export"):
        published(tmp_path / "published", tmp_path / "runs" / "default" / MODEL / "fold-0")
    assert not (tmp_path / "published").exists()


@pytest.mark.slow
def test_training_takes_its_weights_from_a_hub(
    tiny: list[str], tmp_path: Path, hub: tuple[Path, dict[str, str]]
) -> None:
    root, environment = hub
    model = timm.create_model(NAME, pretrained=False)
    torch.nn.init.constant_(model.conv_stem.weight, 0.125)
    timm.models.save_for_hf(model, str(root / "timm" / NAME), safe_serialization=True)
    typed = [option for option in tiny if not option.startswith("weights=")]
    command = [sys.executable, "-m", "mpox.train", *typed, "weights=hub", "schedule=probe", "model.features=last"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"weights hub ({NAME})" in done.stderr
    network, _ = load_checkpoint(tmp_path / "runs" / "default" / MODEL / "fold-0" / "checkpoint.ckpt")
    assert torch.all(network.backbone.conv_stem.weight == 0.125)
