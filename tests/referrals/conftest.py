"""A clinic's key, and a FHIR server that really runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir_process import Fhir

from mpox.referrals.keys import PRIVATE, PUBLIC, ClinicKey, make_keys, read_key


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


@pytest.fixture
def fhir(tmp_path: Path) -> Iterator[Fhir]:
    server = Fhir(tmp_path / "fhir.json")
    yield server
    server.stop()
