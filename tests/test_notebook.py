"""notebooks/: each runs from its first cell to its last in an empty folder, and is stored with its outputs."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from documented import CHECKOUT

NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("nbclient") is None or find_spec("ipykernel") is None:
        pytest.skip("no nbclient and ipykernel here: pip install -e '.[docs]'")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    stored = nbformat.read(path, as_version=4)
    assert all(cell["outputs"] for cell in stored.cells if cell.cell_type == "code"), "stored without its outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(stored, timeout=600, kernel_name="python3", resources=resources).execute()
    assert (tmp_path / "runs" / "notebook" / "comparison" / "comparison.csv").is_file()
