"""Files of torch.save as archives: whether one is intact, without PyTorch."""

import zipfile
from pathlib import Path


def damage_of(path: Path) -> str:
    """Say what is wrong with a file of torch.save, empty where nothing is: it is an archive with checksums (CRC-32)."""
    try:
        if not path.stat().st_size:
            return "is empty"
        with zipfile.ZipFile(path) as archive:
            return "is damaged" if archive.testzip() else ""
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # of flipped bytes in headers, too
        return "is cut or damaged"
