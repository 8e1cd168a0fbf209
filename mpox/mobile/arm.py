"""Test an exported model on Arm64 kernels, without a phone, and count the instructions of one photo there.

python -m mpox.mobile.arm exports/<name> --run runs/<study>/<model>/fold-<k>   the golden set and held-out photos
python -m mpox.mobile.arm exports/<name> --photos <folder> --count 64          other photos
python -m mpox.mobile.arm --fetch                                              download the tools that it needs

The result goes into the export: export.json, its model card, its sums. docs/howto/arm.md says what is needed.
"""

import argparse
from pathlib import Path
from typing import Any

from mpox.cli import DONE, FAILED, finish
from mpox.console import results_console
from mpox.errors import UserError
from mpox.files import read_record, write_json
from mpox.mobile.export.arm_card import lines, with_section
from mpox.mobile.export.arm_check import CheckPhotos, check_on_arm
from mpox.mobile.export.arm_photos import check_photos
from mpox.mobile.file.package import updated
from mpox.mobile.sdk.fetch import fetch
from mpox.mobile.sdk.tools import arm64, tools_folder

CARD, REPORT = "model_card.md", "export.json"


def arm(folder: Path, photos: CheckPhotos, tools: Path | None = None) -> dict[str, Any]:
    """Check the export in `folder` on Arm64 kernels, and write the result into its export.json and model card.

    Returns the result, see `mpox.mobile.export.arm_check`. Raises UserError for tools that are missing.
    """
    result = check_on_arm(folder, photos, arm64(tools))
    with updated(folder) as place:
        write_json(place / REPORT, read_record(place / REPORT) | {"arm": result})
        card = place / CARD
        card.write_text(with_section(card.read_text(encoding="utf-8"), result), encoding="utf-8")
    return result


def main() -> None:
    """Print what was found; the exit code is 0 only where all cores answer as this machine does."""
    parser = argparse.ArgumentParser(prog="python -m mpox.mobile.arm", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="what python -m mpox.export wrote")
    parser.add_argument("--run", type=Path, help="the run it was exported from: its held-out photos and its network")
    parser.add_argument("--photos", type=Path, help="in place of --run, a folder of photos")
    parser.add_argument("--count", type=int, default=16, help="photos beside the golden set, at most (16)")
    parser.add_argument("--tools", type=Path, help=f"folder of the tools ({tools_folder()})")
    parser.add_argument("--fetch", action="store_true", help="download what is missing of the tools, by pip and apt")
    given = parser.parse_args()
    finish(lambda: _run(given))


def _run(given: argparse.Namespace) -> int:
    if given.folder is None and not given.fetch:
        raise UserError("give a folder that python -m mpox.export wrote, or --fetch to download the tools alone")
    if given.run is not None and given.photos is not None:
        raise UserError("give --run or --photos, not both")
    if given.fetch:
        fetch(given.tools or tools_folder(), results_console().print)
    if given.folder is None:
        return DONE
    arm64(given.tools)  # what is missing is reported before photos are read
    photos = check_photos(given.folder, given.count, run=given.run, photos=given.photos)
    result = arm(given.folder, photos, given.tools)
    for passed, text in lines(result):
        results_console().print(f"{'ok    ' if passed else 'FAILED'}  {text}")
    return DONE if result["passed"] else FAILED


if __name__ == "__main__":
    main()
