"""Answers on their way: what the state keeps as unsent is sent until it is known to have arrived, once."""

import json
from pathlib import Path
from typing import Any

from mpox.errors import reason_of
from mpox.files import replacing
from mpox.referrals.answer import report_id
from mpox.referrals.envelope import ANSWER
from mpox.referrals.fhir_server import ConflictError, FhirServer, ServerError
from mpox.referrals.rules import URI, URN
from mpox.referrals.state import State

CLOSED = ("completed", "cancelled", "rejected", "failed", "entered-in-error")


def send_all(state: State, way: Path | FhirServer) -> list[str]:
    """Send every unsent answer into a folder or to a server; return a line for each that could not be sent.

    What is sent was fixed when the clinician answered: sent twice, it is there once.
    """
    troubles = []
    for row in state.unsent():
        try:
            if isinstance(way, FhirServer):
                _post(state, way, row["id"], row["place"], json.loads(row["outgoing"]))
            else:
                state.sent(row["id"], _write(way, row["id"], row["outgoing"]))
        except (ServerError, OSError) as error:
            why = str(error) if isinstance(error, ServerError) else f"cannot be written ({reason_of(error)})"
            state.troubled(row["id"], why)
            troubles.append(f"the answer to {row['id']} is not sent yet: {why}")
    return troubles


def _write(folder: Path, number: str, content: bytes) -> str:
    sealed = json.loads(content).get("format") == ANSWER
    path = folder / f"{number}.answer{'.mpox' if sealed else '.fhir.json'}"
    if not path.exists() or path.read_bytes() != content:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path.name


def _post(state: State, server: FhirServer, number: str, place: str, bundle: dict[str, Any]) -> None:
    """Complete the Task as it is now, unless it is: by an earlier try of this answer, or by another clinic."""
    for _ in range(3):
        task = server.read(place)
        if task.get("status") in CLOSED:
            ours = _is_ours(server, task, report_id(bundle))
            return state.sent(number, place, elsewhere=not ours)
        version = task.get("meta", {}).get("versionId")
        if not version:
            raise ServerError(f"{server.base} gives its Task no version, without which two answers could cross")
        last = bundle["entry"][-1]
        own = {name: last["resource"][name] for name in ("status", "lastModified", "output")}
        last["resource"] = {name: value for name, value in task.items() if name != "meta"} | own
        last["request"]["ifMatch"] = f'W/"{version}"'
        try:
            server.transact(bundle)
        except ConflictError:
            continue
        return state.sent(number, place)
    raise ServerError(f"{server.base}: {place} changes all the time")


def _is_ours(server: FhirServer, task: dict[str, Any], report: str) -> bool:
    """Return whether a completed Task's answer is the report with this uuid."""
    for output in task.get("output", ()):
        place = output.get("valueReference", {}).get("reference", "")
        if place.startswith("DiagnosticReport/"):
            found = server.read(place).get("identifier", ())
            if {"system": URI, "value": f"{URN}{report}"}.items() <= next(iter(found), {}).items():
                return True
    return False
