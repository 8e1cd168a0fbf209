"""Write a run as a folder that timm and the model hub read. See `python -m mpox.publish --help`."""

from pathlib import Path

from omegaconf import DictConfig

from mpox.data.folds import ALL
from mpox.errors import UserError
from mpox.files import read_record
from mpox.model.checkpoint import load_checkpoint
from mpox.report.hub_card import write_hub_folder
from mpox.runs.run_state import fold_of, state_of
from mpox.study.final_network import check_final


def run(cfg: DictConfig) -> None:
    """Write the folder and print how it is read. Raises UserError."""
    if cfg.run is None or cfg.to is None:
        raise UserError("give run=<run directory> to=<folder>")
    place, folder = Path(cfg.run).expanduser(), Path(cfg.to).expanduser()
    if state_of(place) != "done":
        raise UserError(f"{place} is not a finished run: give run=<runs_dir>/<study>/<model>/fold-<k>")
    if fold_of(place) == ALL:
        check_final(place)  # its card gives the folds' figures
    network, card = load_checkpoint(place / "checkpoint.ckpt")
    metrics = read_record(place / "metrics.json")
    blanks = write_hub_folder(folder, network, card, metrics, licence=cfg.licence, overwrite=cfg.overwrite)
    print(f"{folder} holds config.json, model.safetensors, README.md (the model card) and SHA256SUMS.")
    print(f"Research software. {blanks} places of README.md are for a person to fill in. timm reads the folder:")
    print(f"  timm.create_model('local-dir:{folder.resolve()}', pretrained=True)")
