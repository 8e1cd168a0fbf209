"""What is known of a job before anything is imported that trains: its places are right, and it may be done already."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mpox.config import plain
from mpox.data.folds import ALL, check_fold
from mpox.data.photos import SUFFIXES
from mpox.places import check_apart, folder_name
from mpox.runs.run_directory import RunDirectory
from mpox.study.final_network import check_final


def finished_result(cfg: DictConfig) -> dict[str, Any] | None:
    """Return the metrics.json of a job that is done and intact, None for one that is to be run.

    Sets `image_size`, where it is not given, to that of the model. Raises UserError for a fold that does not exist, for
    places that do not fit together, where the run was made with another configuration, and for a final network whose
    folds were trained again since.
    """
    check_fold(cfg.fold, cfg.n_folds)
    _check_places(cfg)
    cfg.image_size = cfg.image_size or cfg.model.get("image_size") or _image_size_of_weights(cfg.model.timm_name)
    run = RunDirectory(cfg.runs_dir, cfg.study, cfg.model.name, cfg.fold)
    if cfg.overwrite or not run.is_finished(plain(cfg)):
        return None
    if cfg.fold == ALL:
        check_final(run.place)
    return run.result()


def _image_size_of_weights(timm_name: str) -> int:
    from mpox.model.backbone import input_record  # timm takes two seconds; the models of conf/model need not ask it

    return input_record(timm_name).image_size


def _check_places(cfg: DictConfig) -> None:
    """Refuse names that lead out of runs_dir or into what a study keeps beside its models, and runs among photos."""
    folder_name("study", cfg.study)
    folder_name("model.name", cfg.model.name, reserved=("external", "comparison"))
    table = cfg.data.get("manifest")
    root = cfg.data.get("root") or (table and Path(table).parent)
    # Runs in a folder of their own among the class folders are known for what they are by the walk.
    check_apart("runs_dir", cfg.runs_dir, root, listed=table is not None or not _holds_pictures(Path(cfg.runs_dir)))


def _holds_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
