"""The float32 file of an export's network, which the exporter keeps beside the exports."""

from pathlib import Path

from mpox.files import read_record
from mpox.mobile.run.runtime import PhoneModel


def float_file(place: Path, model: PhoneModel) -> Path | None:
    """Return the float32 file of the checkpoint behind the export in `place`.

    None where it is missing, where the export is in float32 itself, or where its network is a pruned one.
    """
    path = place.absolute().parent / ".fp32" / f"{model.facts['checkpoint_sha256'][:16]}.pte"
    return path if path.is_file() and model.facts["recipe"] != "fp32" and not is_pruned(place) else None


def is_pruned(place: Path) -> bool:
    """Whether the network of the export in `place` is a pruned one."""
    report = place / "export.json"
    return report.is_file() and bool(read_record(report).get("prune"))
