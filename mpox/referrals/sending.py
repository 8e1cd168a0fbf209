"""Answers on their way: what the state keeps as unsent is sent until it is known to have arrived, once."""

import json
from pathlib import Path
from typing import Any

from mpox.errors import reason_of
from mpox.files import replacing
from mpox.referrals.answer import report_id
from mpox.referrals.asking import ConflictError, ServerError, UnavailableError
from mpox.referrals.envelope import ANSWER
from mpox.referrals.fhir_server import FhirServer
from mpox.referrals.refused import RefusedError
from mpox.referrals.rules import URI, URN, uuid_of
from mpox.referrals.shapes import listed, plain, words
from mpox.referrals.state import State

CLOSED = ("completed", "cancelled", "rejected", "failed", "entered-in-error")


def send_all(state: State, way: Path | FhirServer) -> list[str]:
    """Send every unsent answer into a folder or to a server; return a line for each that could not be sent.

    What is sent was fixed when the clinician answered: sent twice, it is there once.
    """
    troubles = []
    shut: ServerError | None = None
    for row in state.unsent():
        try:
            if shut is not None:
                raise shut
            if isinstance(way, FhirServer):
                _post(state, way, row["id"], row["place"], json.loads(row["outgoing"]))
            else:
                state.sent(row["id"], _write(way, row["id"], row["outgoing"]))
        except (ServerError, OSError) as error:
            shut = error if isinstance(error, UnavailableError) else None
            why = str(error) if isinstance(error, ServerError) else f"cannot be written ({reason_of(error)})"
            state.troubled(row["id"], why)
            troubles.append(f"the answer to {row['id']} is not sent yet: {why}")
    return troubles


def _write(folder: Path, number: str, content: bytes) -> str:
    # Not what it is in: an inbox that was moved, or a disk that is not there, is not made anew.
    folder.mkdir(exist_ok=True)
    sealed = json.loads(content).get("format") == ANSWER
    path = folder / f"{number}.answer{'.mpox' if sealed else '.fhir.json'}"
    if not path.exists() or path.read_bytes() != content:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path.name


def _post(state: State, server: FhirServer, number: str, place: str, bundle: dict[str, Any]) -> None:
    """Complete the Task as it is now, unless it is: by an earlier try of this answer, or by another clinic."""
    last_conflict = ""
    for _ in range(3):
        task = server.read(place)
        _check_is(server, task, number, place)
        status = task.get("status")
        if status in CLOSED:
            if _is_ours(server, task, report_id(bundle)):
                return state.sent(number, place)
            return state.not_needed(
                number, place, "" if status == "completed" else f"the request is {status}: not sent"
            )
        version = task["meta"]["versionId"]
        if not version:
            raise ServerError(f"{server.base} gives its Task no version, without which two answers could cross")
        last = bundle["entry"][-1]
        own = {name: last["resource"][name] for name in ("status", "lastModified", "output")}
        last["resource"] = {name: value for name, value in task.items() if name != "meta"} | own
        last["request"]["ifMatch"] = f'W/"{version}"'
        try:
            server.transact(bundle)
        except ConflictError as error:
            last_conflict = str(error)
            continue
        return state.sent(number, place)
    raise ServerError(f"{place} changes all the time: {last_conflict}")


def _check_is(server: FhirServer, task: dict[str, Any], number: str, place: str) -> None:
    """A server that was set up anew counts from 1 again: the same place may be another person's. Raises ServerError."""
    try:
        same = uuid_of(task) == number
    except RefusedError:
        same = False
    if not same:
        raise ServerError(f"{place} at {server.base} is another request by now: was the server set up anew?")


def _is_ours(server: FhirServer, task: dict[str, Any], report: str) -> bool:
    """Return whether a completed Task's answer is the report with this uuid."""
    own = {"system": URI, "value": f"{URN}{report}"}.items()
    for output in listed(task.get("output")):
        place = server.place(words(plain(output.get("valueReference")).get("reference")))
        if place.startswith("DiagnosticReport/"):
            found = server.read(place).get("identifier")
            if any(own <= one.items() for one in listed(found)):
                return True
    return False
