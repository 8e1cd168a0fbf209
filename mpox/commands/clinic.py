"""The clinician's side of the app. See `python -m mpox.clinic --help` and conf/clinic.yaml."""

import csv
import os
import re
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from mpox.command_line import command
from mpox.console import cell, results_console
from mpox.errors import UsageError, UserError
from mpox.files import replacing
from mpox.help import NOTICE
from mpox.referrals.fhir_server import FhirServer
from mpox.referrals.keys import PRIVATE, PUBLIC, ClinicKey, make_keys, read_key
from mpox.referrals.packages import check_packages
from mpox.referrals.state import State

TOKEN = "MPOX_FHIR_TOKEN"
console = results_console()


def keys(cfg: DictConfig) -> None:
    """Make the key pair. Raises UserError where one is there."""
    if cfg.to is None or cfg.name is None:
        raise UsageError("keys needs a folder and a name: give to=<folder> 'name=<the clinic, as people know it>'")
    folder = Path(cfg.to).expanduser()
    key = make_keys(folder, str(cfg.name))
    console.print(f"{folder / PUBLIC}: the public key {key.id} of {key.name}, for the app")
    console.print(f"{folder / PRIVATE}: the private key. Keep a copy in a safe place: without it nothing that people")
    console.print("  sent can be opened, and whoever has it can open everything.")


def serve(cfg: DictConfig) -> None:
    """Serve the page until the process is stopped."""
    from mpox.referrals.desk import Desk
    from mpox.referrals.server import ClinicServer

    if cfg.order not in ("urgency", "age"):
        raise UsageError(f"order={cfg.order} is unknown: choose urgency or age")
    inbox, state, key = _inbox(cfg), _state(cfg), _key(cfg)
    way = inbox
    if isinstance(inbox, Path):
        inbox.mkdir(parents=True, exist_ok=True)
        way = Path(cfg.out).expanduser() if cfg.out is not None else inbox / "answers"
        way.parent.mkdir(parents=True, exist_ok=True)
    elif cfg.out is not None:
        raise UsageError("out= is for an inbox that is a folder: answers to a server's referrals go to the server")
    desk = Desk(state, inbox, key, way, blind=bool(cfg.blind), order=cfg.order)
    server = ClinicServer(desk, int(cfg.port), every=float(cfg.every), report=console.print)
    console.print(f"{server.url}")
    console.print(f"  {NOTICE} The address is a password: whoever has it reads what people sent. Ctrl+C ends it.")
    server.serve()


def export(cfg: DictConfig) -> None:
    """Write answered cases as photos, manifest and decisions. Raises UserError."""
    from mpox.referrals.export import write_labels

    if cfg.to is None:
        raise UsageError("export needs a folder to write: give to=<a new folder>")
    folder = Path(cfg.to).expanduser()
    written = write_labels(_state(cfg, made=False), _key(cfg), folder)
    console.print(f"{folder}: {written.photos} photos of {written.cases} answered cases")
    for line in written.left_out:
        console.print(f"left out: {line}")
    table = folder / "manifest.csv"
    console.print("Curate them, or train on them:")
    audit = {"data": "manifest", "data.manifest": table, "output": "audit"}
    console.print(f"  {command('mpox.curate', **audit)}")
    console.print(f"  {command('mpox.curate', 'apply', decisions=folder / 'decisions.csv', output='audit')}")
    console.print(f"  {command('mpox.train', **{'data': 'manifest', 'data.manifest': table})}")


def audit(cfg: DictConfig) -> None:
    """Write the audit trail as CSV. Raises UserError where the file is there."""
    if cfg.to is None or Path(cfg.to).suffix.lower() != ".csv":
        raise UsageError("audit needs a file to write: give to=<file.csv>")
    path = Path(cfg.to).expanduser()
    if path.exists():
        raise UserError(f"{path} exists: give to=<another file>")
    rows = list(_state(cfg, made=False).trail())
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["n", "at", "who", "session", "what", "id", "detail"])
        table.writerows([cell(value) if isinstance(value, str) else value for value in row.values()] for row in rows)
    console.print(f"{path}: {len(rows)} lines, the oldest first")


def _inbox(cfg: DictConfig) -> Path | FhirServer:
    if cfg.inbox is None:
        raise UsageError("give inbox=<folder of referrals>, or the https:// address of a FHIR server")
    if _is_address(cfg.inbox):
        return FhirServer(cfg.inbox, os.environ.get(TOKEN))
    return Path(cfg.inbox).expanduser()


def _state(cfg: DictConfig, *, made: bool = True) -> State:
    """Open the state; without `made` it must be there."""
    if cfg.state is not None:
        path = Path(cfg.state).expanduser()
    elif cfg.inbox is None:
        raise UsageError("give inbox=<folder of referrals> or state=<its SQLite file>")
    elif _is_address(cfg.inbox):
        path = Path(re.sub(r"[^\w.-]+", "_", cfg.inbox.partition("://")[2]).strip("_") + ".clinic.sqlite")
    else:
        folder = Path(cfg.inbox).expanduser().resolve()
        path = folder.with_name(f"{folder.name}.clinic.sqlite")
    if not made and not path.is_file():
        raise UserError(f"no state at {path}: give the inbox= or state= that the page was started with")
    return State(path, 60 * float(cfg.lease))


def _key(cfg: DictConfig) -> ClinicKey | None:
    return None if cfg.key is None else read_key(Path(cfg.key).expanduser())


def _is_address(inbox: str) -> bool:
    return "://" in inbox


COMMANDS: dict[str, Callable[[DictConfig], None]] = {"serve": serve, "keys": keys, "export": export, "audit": audit}


def run(cfg: DictConfig) -> None:
    """Do the step that `command` names."""
    if cfg.command not in COMMANDS:
        raise UsageError(f"command={cfg.command} is unknown: choose {', '.join(COMMANDS)}")
    check_packages()
    COMMANDS[cfg.command](cfg)
