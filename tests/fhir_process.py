"""A FHIR server that really runs: Medplum's router and memory repository, in node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("fhir_server.mjs")


class Fhir:
    """The server of tests/fhir_server.mjs; with `keep`, a file, `start` again after `stop` holds what it held."""

    def __init__(self, keep: Path | None = None) -> None:
        self.keep, self.port, self.process = keep, 0, None

    def start(self, *options: str) -> str:
        """Return the server's address; the test is skipped where its packages are not installed."""
        node = shutil.which("node")
        if node is None:
            pytest.skip("no node here, which the FHIR server of the tests needs")
        modules = os.environ.get("MPOX_WEB")
        more = ("--modules", modules) if modules else ()
        kept = ("--keep", str(self.keep)) if self.keep else ()
        command = [node, str(SERVER), *kept, "--port", str(self.port), *more, *options]
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
