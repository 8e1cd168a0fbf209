"""Write a web app from an export. See `python -m mpox.app --help`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mpox.config import plain
from mpox.curation.thresholds import QualityThresholds
from mpox.errors import UserError
from mpox.mobile.recipient import Recipient, recipient
from mpox.mobile.site import SiteOptions, write_site


def run(cfg: DictConfig) -> None:
    """Write the folder and print how to look at it. Raises UserError."""
    options = plain(cfg)
    if options["of"] is None:
        raise UserError("give model=exports/<name>, an export with format=onnx")
    languages = [options["language"], *(one for one in options["languages"] if one != options["language"])]
    out = Path(options["out"]).expanduser()
    written = write_site(
        Path(options["of"]).expanduser(),
        out,
        SiteOptions(
            options["title"],
            options["contact"],
            tuple(options["questions"]),
            tuple(languages),
            asdict(QualityThresholds()),
            _recipient(options["referral"]),
        ),
        overwrite=options["overwrite"],
    )
    megabytes = written["first_visit_bytes"] / 1e6
    print(f"{out}: {written['files']} files, {megabytes:.1f} MB at the first visit. Research software: no diagnosis.")
    print(f"look at it: python -m http.server --directory {out} 8000, then http://localhost:8000/?selftest")


def _recipient(referral: dict[str, Any]) -> Recipient | None:
    key, server = referral["key"], referral["server"]
    if referral["offer"]:
        return recipient(Path(key).expanduser() if key else None, server)
    if key or server:
        raise UserError("referral.offer=false goes without referral.key and referral.server: leave one of them out")
    return None
