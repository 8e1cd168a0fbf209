"""A clinic's key, and a FHIR server that really runs."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mpox.referrals.keys import PRIVATE, PUBLIC, ClinicKey, make_keys, read_key

SERVER = Path(__file__).parents[1] / "fhir_server.mjs"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clinic.pub.json and clinic.key.json."""
    pytest.importorskip("pyhpke", reason="no pyhpke here: pip install 'mpox[clinic]'")
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder, "Health centre")
    return folder


@pytest.fixture(scope="session")
def key(keys: Path) -> ClinicKey:
    return read_key(keys / PRIVATE)


@pytest.fixture(scope="session")
def public(keys: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((keys / PUBLIC).read_text())
    return content


class Fhir:
    """The server of tests/fhir_server.mjs; `start` again after `stop` holds what it held."""

    def __init__(self, keep: Path) -> None:
        self.keep, self.port, self.process = keep, 0, None

    def start(self, *options: str) -> str:
        node = shutil.which("node")
        if node is None:
            pytest.skip("no node here, which the FHIR server of the tests needs")
        modules = os.environ.get("MPOX_WEB")
        more = ("--modules", modules) if modules else ()
        command = [node, str(SERVER), "--keep", str(self.keep), "--port", str(self.port), *more, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = (self.process.stdout or pytest.fail()).readline()
        if not line.startswith("listening"):
            self.process.wait(10)
            pytest.skip(f"no FHIR server here ({line.strip()})")
        url = line.split()[-1]
        self.port = int(url.rstrip("/").rpartition(":")[2])
        return url

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process.stdout.close()
            self.process = None


@pytest.fixture
def fhir(tmp_path: Path) -> Iterator[Fhir]:
    server = Fhir(tmp_path / "fhir.json")
    yield server
    server.stop()
