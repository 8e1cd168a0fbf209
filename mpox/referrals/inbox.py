"""What has come in: files of a folder, or Tasks of a server, taken into the state or refused with one line."""

import contextlib
import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.console import visible
from mpox.data.photos import PhotoError, open_regular
from mpox.errors import reason_of
from mpox.files import replacing
from mpox.referrals.envelope import LARGEST, compact, open_file
from mpox.referrals.fhir_server import FhirServer, is_referral
from mpox.referrals.keys import ClinicKey
from mpox.referrals.referral import Referral, read_referral
from mpox.referrals.refused import RefusedError
from mpox.referrals.state import TAKEN, State

# Some phones hand over known kinds of file alone, and the app calls it a text there.
ENDINGS = (".mpox", ".json", ".mpox.txt", ".json.txt")
ANSWER = ".answer."
REFUSED, LIST = "refused", "refused.csv"
# A file that changed less than so many seconds ago may still be being written.
SETTLED = 2.0


@dataclass
class Found:
    """What one look at an inbox gave: how many were new, and a line for each that was refused."""

    new: int = 0
    refused: list[str] = field(default_factory=list)
    others: int = 0


def look(state: State, inbox: Path | FhirServer, key: ClinicKey | None) -> Found:
    """Take what is new. Raises ServerError where a server cannot be asked, OSError for a folder that is gone."""
    return _look_at_server(state, inbox) if isinstance(inbox, FhirServer) else _look_at_folder(state, inbox, key)


def opened(content: bytes, place: str, key: ClinicKey | None) -> tuple[Referral, bytes | None]:
    """Return the referral that is kept as `content`, and the key of its reply. Raises RefusedError."""
    served = place.startswith("Task/")
    try:
        held = open_file(content, key)
        return read_referral(held.bundle, held.id, served=served), held.reply_key
    except RefusedError:
        raise
    except Exception as error:  # a shape that no rule thought of must not stop the others
        raise RefusedError(f"cannot be read ({type(error).__name__})") from error


def _look_at_folder(state: State, folder: Path, key: ClinicKey | None) -> Found:
    found = Found()
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir() or ANSWER in path.name:
            continue
        if not path.name.endswith(ENDINGS):
            found.others += 1
            continue
        with contextlib.suppress(FileNotFoundError):  # taken away meanwhile
            _look_at_file(state, path, key, found)
    _list_refused(state, folder)
    return found


def _look_at_file(state: State, path: Path, key: ClinicKey | None, found: Found) -> None:
    facts = path.lstat()
    name = visible(path.name)
    if state.is_seen(name, facts.st_size, facts.st_mtime_ns) or time.time() - facts.st_mtime < SETTLED:
        return
    content = b""

    def taken() -> str:
        nonlocal content
        if path.is_symlink():
            raise RefusedError("a link, which is not followed")
        if facts.st_size > LARGEST:
            raise RefusedError(f"larger than {LARGEST // 1_000_000} MB")
        try:
            with open_regular(path) as file:
                content = file.read(LARGEST + 1)
        except (PhotoError, PermissionError) as error:
            raise RefusedError(f"cannot be read ({reason_of(error)})") from error
        referral, _ = opened(content, name, key)
        return state.take(referral, content, name)

    why = _tried(taken, found, name)
    state.saw(name, facts.st_size, facts.st_mtime_ns, hashlib.sha256(content).hexdigest(), why)


def _look_at_server(state: State, server: FhirServer) -> Found:
    found = Found()
    for task in server.requested():
        place = f"Task/{task.get('id')}"
        version = str(task.get("meta", {}).get("versionId", ""))
        if not is_referral(task):
            found.others += 1
            continue
        if state.is_known_place(place) or state.is_seen(f"{place} {version}", 0, 0):
            continue

        def taken(task: dict[str, Any] = task, place: str = place) -> str:
            content = compact(server.referral(task))
            referral, _ = opened(content, place, None)
            return state.take(referral, content, place)

        why = _tried(taken, found, place)
        if why:
            state.saw(f"{place} {version}", 0, 0, "", why)
    return found


def _tried(taken: Callable[[], str], found: Found, name: str) -> str:
    """Count what was taken; return why it was refused, empty where it was not."""
    try:
        found.new += taken() == TAKEN
    except RefusedError as error:
        why = visible(" ".join(str(error).split()))[:300]
        found.refused.append(f"{name}: {why}")
        return why
    return ""


def _list_refused(state: State, folder: Path) -> None:
    """Write the list of refused files, which stay where they are, wherever it has changed."""
    rows = [(row["at"], row["name"], row["sha256"], row["refused"]) for row in state.refused()]
    path = folder / REFUSED / LIST
    if not rows and not path.exists():
        return
    with io.StringIO() as text:
        pd.DataFrame(rows, columns=["at", "file", "sha256", "why"]).to_csv(text, index=False)
        content = text.getvalue()
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
