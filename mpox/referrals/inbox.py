"""What has come in: files of a folder, or Tasks of a server, taken into the state or refused with one line."""

import contextlib
import hashlib
import io
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mpox.console import cell, visible
from mpox.data.photos import PhotoError, open_regular
from mpox.errors import UserError, reason_of
from mpox.files import replacing
from mpox.referrals.asking import ServerError, UnavailableError
from mpox.referrals.envelope import LARGEST, compact, open_file
from mpox.referrals.fhir_server import FhirServer, is_referral
from mpox.referrals.keys import ClinicKey
from mpox.referrals.referral import Referral, read_referral
from mpox.referrals.refused import RefusedError
from mpox.referrals.rules import uuid_of
from mpox.referrals.sending import CLOSED
from mpox.referrals.shapes import plain
from mpox.referrals.state import OPEN, TAKEN, State

# Some phones hand over known kinds of file alone, and the app calls it a text there.
ENDINGS = (".mpox", ".json", ".mpox.txt", ".json.txt")
ANSWER = ".answer."
REFUSED, LIST = "refused", "refused.csv"
# A file that changed less than so many seconds ago may still be being written.
SETTLED = 2.0


@dataclass
class Found:
    """What one look at an inbox gave: how many were new, and a line for each that was refused now.

    `troubles`: a line for each that could not be read, which says nothing against it: the next look tries again.
    """

    new: int = 0
    refused: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    others: int = 0


def look(state: State, inbox: Path | FhirServer, key: ClinicKey | None) -> Found:
    """Take what is new. Raises OSError for a folder that is gone."""
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
        if not path.name.lower().endswith(ENDINGS):
            found.others += 1
            continue
        with contextlib.suppress(FileNotFoundError):  # taken away meanwhile
            _look_at_file(state, path, key, found)
    try:
        _list_refused(state, folder)
    except OSError as error:
        found.troubles.append(f"{REFUSED}/{LIST} cannot be written ({reason_of(error)}): make the inbox writable")
    return found


def _look_at_file(state: State, path: Path, key: ClinicKey | None, found: Found) -> None:
    facts = path.lstat()
    name = visible(path.name)
    # A time to come is that of another machine's clock, and says nothing.
    if state.is_seen(name, facts.st_size, facts.st_mtime_ns) or 0 <= time.time() - facts.st_mtime < SETTLED:
        return
    content = b""

    def read() -> tuple[Referral, bytes]:
        nonlocal content
        if stat.S_ISLNK(facts.st_mode):
            raise RefusedError("a link, which is not followed")
        if not stat.S_ISREG(facts.st_mode):
            raise RefusedError("cannot be read (not a regular file)")
        if facts.st_size > LARGEST:
            raise RefusedError(f"larger than {LARGEST // 1_000_000} MB")
        try:
            with open_regular(path) as file:
                content = file.read(LARGEST + 1)
        except PhotoError as error:
            raise RefusedError(f"cannot be read ({reason_of(error)})") from error
        return opened(content, name, key)[0], content

    try:
        why = _taken(state, found, name, read)
    except FileNotFoundError:
        raise
    except OSError as error:  # of the disk or of permissions, which says nothing about the referral
        found.troubles.append(f"{name} cannot be read yet ({reason_of(error)})")
        return
    state.saw(name, facts.st_size, facts.st_mtime_ns, hashlib.sha256(content).hexdigest(), why)


def _look_at_server(state: State, server: FhirServer) -> Found:
    found = Found()
    requested = set()
    try:
        for task in server.requested():
            requested.add(_place(task))
            if is_referral(task):
                _look_at_task(state, server, task, found)
            else:
                found.others += 1
        _close_what_others_closed(state, server, requested)
    except ServerError as error:
        found.troubles.append(str(error))
    return found


def _close_what_others_closed(state: State, server: FhirServer, requested: set[str]) -> None:
    """Close open cases whose Task is closed: nobody is to read what needs no answer. Raises UnavailableError."""
    for case in state.cases():
        place = case["place"]
        if case["state"] != OPEN or place in requested:
            continue
        try:
            task = server.read(place)
            if uuid_of(task) == case["id"] and task.get("status") in CLOSED:
                state.closed_there(case["id"], place, str(task["status"]))
        except UnavailableError:
            raise
        except (ServerError, RefusedError):
            continue  # what is wrong with it is said when an answer is sent


def _place(task: dict[str, Any]) -> str:
    return visible(f"Task/{task.get('id')}")[:80]


def _look_at_task(state: State, server: FhirServer, task: dict[str, Any], found: Found) -> None:
    """Take one referral. Raises UnavailableError: what else goes wrong with it stops no other."""
    place = _place(task)
    try:
        number = uuid_of(task)
    except RefusedError:
        number = ""
    # By its id, too: a server that was set up anew counts from 1 again.
    edition = _number_of(f"{number} {plain(task.get('meta')).get('versionId')}")
    if state.is_known(number, place) or state.is_seen(place, 0, edition):
        return

    def read() -> tuple[Referral, bytes]:
        content = compact(server.referral(task))
        return opened(content, place, None)[0], content

    try:
        why = _taken(state, found, place, read)
    except UnavailableError:
        raise
    except ServerError as error:
        found.troubles.append(f"{place} is not taken yet: {error}")
        return
    state.saw(place, 0, edition, "", why)


def _number_of(text: str) -> int:
    """A number for a text, as the state keeps one of each look."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:7])


def _taken(state: State, found: Found, name: str, read: Callable[[], tuple[Referral, bytes]]) -> str:
    """Take what `read` gives; return why it was refused, empty where it was not."""
    try:
        try:
            referral, content = read()
        except (UserError, OSError):
            raise
        except Exception as error:  # a shape that no rule thought of must not stop the others
            raise RefusedError(f"cannot be read ({type(error).__name__})") from error
        found.new += state.take(referral, content, name) == TAKEN
    except RefusedError as error:
        why = visible(" ".join(str(error).split()))[:300]
        found.refused.append(f"{name}: {why}")
        return why
    return ""


def _list_refused(state: State, folder: Path) -> None:
    """Write the list of refused files, which stay where they are, wherever it has changed."""
    rows = [(row["at"], cell(row["name"]), row["sha256"], row["refused"]) for row in state.refused()]
    path = folder / REFUSED / LIST
    if not rows and not path.exists():
        return
    with io.StringIO() as text:
        pd.DataFrame(rows, columns=["at", "file", "sha256", "why"]).to_csv(text, index=False)
        content = text.getvalue()
    if path.exists() and path.read_bytes() == content.encode():  # a spreadsheet may have saved it in its own way
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode())
