"""What must not be in anything that is handed on: places of this machine, and what photos' files held beside pixels."""

import base64
import re
import socket
import sys
from pathlib import Path

import mpox

# Written into the metadata of photos by the tests.
SECRET = b"SECRET-NAME"


def stowaways(place: Path, *words: str | Path) -> list[str]:
    """Return `file: word` for each file below `place` (or the file) that holds a path of this machine or the secret.

    Pictures embedded in pages are decoded. `words` are looked for as well.
    """
    unwanted = [str(Path.home()) + "/", sys.prefix, str(Path(mpox.__file__).parent), *map(str, words)]
    if len(socket.gethostname()) > 5:  # a shorter one is in every picture's bytes
        unwanted.append(socket.gethostname())
    sought = [SECRET, *(word.encode() for word in unwanted)]
    found = []
    for path in [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes()
        embedded = re.findall(rb"data:image/\w+;base64,([A-Za-z0-9+/=]+)", content)
        for part in [content, *map(base64.b64decode, embedded)]:
            found += [f"{path.name}: {word.decode()}" for word in sought if word in part]
    return found
