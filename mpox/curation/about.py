"""Options of a release: facts about the data set that only its maker knows, and how its pictures are written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mpox.data.working_picture import FILTERS
from mpox.errors import UserError

# File ending and MIME type of each format.
FORMATS = {"jpeg": (".jpg", "image/jpeg"), "png": (".png", "image/png")}


@dataclass(frozen=True)
class About:
    """What the documents say of the data set. `licences`: source to licence (SPDX id or URL).

    UserError for a missing name, and for a version that is not MAJOR.MINOR.PATCH (https://semver.org).
    """

    name: str
    version: str = "1.0.0"
    description: str = ""
    licences: Mapping[str, str] = field(default_factory=dict)
    creators: tuple[str, ...] = ()
    citation: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise UserError("the data set needs a name: give about.name=<name>")
        if not re.fullmatch(r"\d+\.\d+\.\d+", self.version):
            raise UserError(f"about.version={self.version}: give three numbers, such as 1.0.0")

    def licences_of(self, sources: list[str]) -> dict[str, str]:
        """Return the licence of each source; one that was not given is `unknown`, and to be clarified."""
        return {source: self.licences.get(source, f"unknown ({source})") for source in sorted(sources)}


@dataclass(frozen=True)
class Pictures:
    """How photos are written: side in pixels, filter, format, JPEG quality. UserError for what is unknown."""

    size: int = 224
    interpolation: str = "bicubic"
    format: str = "jpeg"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.interpolation not in FILTERS:
            raise UserError(f"pictures.interpolation={self.interpolation} is unknown: choose {', '.join(FILTERS)}")
        if self.format not in FORMATS:
            raise UserError(f"pictures.format={self.format} is unknown: choose {', '.join(FORMATS)}")
        if self.size < 1:
            raise UserError(f"pictures.size={self.size}: give the side in pixels, 1 or more")
        if not 1 <= self.quality <= 100:
            raise UserError(f"pictures.quality={self.quality}: give 1 to 100")
