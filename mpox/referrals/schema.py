"""The tables of an inbox's state, and how its file is opened: one SQLite file, one writer at a time."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mpox.errors import UserError, reason_of

# "mpox" as SQLite's application_id, and the version of the tables.
APPLICATION, VERSION = 0x6D706F78, 1
BUSY = 30.0  # seconds that a writer waits for another

SCHEMA = """
CREATE TABLE cases (
    id TEXT PRIMARY KEY,          -- of the referral
    digest TEXT NOT NULL,         -- SHA-256 of what it says
    place TEXT NOT NULL,          -- the file's name, or Task/<id> at the server
    received TEXT NOT NULL,
    authored TEXT NOT NULL,
    urgency INTEGER NOT NULL,     -- 0 is the most urgent
    photos INTEGER NOT NULL,      -- how many
    content BLOB NOT NULL,        -- as it came: what was encrypted stays so
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'answering', 'answered', 'elsewhere')),
    holder TEXT,                  -- who works on it: a page, its clinician, and until when (seconds since 1970)
    holder_name TEXT,
    until REAL
);
CREATE TABLE reads (              -- first answers, made without the model's; locked
    id TEXT NOT NULL REFERENCES cases (id),
    clinician TEXT NOT NULL,
    label TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (id, clinician)
);
CREATE TABLE answers (
    id TEXT PRIMARY KEY REFERENCES cases (id),
    label TEXT NOT NULL,
    words TEXT NOT NULL,          -- to the person
    clinician TEXT NOT NULL,
    blind INTEGER NOT NULL,       -- whether a first answer was asked for before
    at TEXT NOT NULL,
    outgoing BLOB NOT NULL,       -- what is sent, fixed before the first try; encrypted where the referral was
    sent TEXT,
    trouble TEXT NOT NULL DEFAULT ''
);
CREATE TABLE files (              -- of the folder, as last looked at
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,     -- nanoseconds
    refused TEXT NOT NULL,        -- why; empty where it was taken or known
    sha256 TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (name, size, changed)
);
CREATE TABLE audit (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    who TEXT NOT NULL,            -- the clinician; empty for the program itself
    session TEXT NOT NULL,        -- the page; empty for the program itself
    what TEXT NOT NULL,
    id TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_true BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
"""


class StateError(UserError):
    """The state's file cannot be used, now or at all: nothing of the step that was asked for is kept."""


def open_database(path: Path) -> None:
    """Make the state at `path` (mode 600) where it is missing. Raises UserError for a file that is something else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise UserError(f"state={path} cannot be made ({reason_of(error)}): give state=<another file>") from error
    with writing(path) as tables:
        application = tables.execute("PRAGMA application_id").fetchone()[0]
        version = tables.execute("PRAGMA user_version").fetchone()[0]
        if (application, version) == (APPLICATION, VERSION):
            return
        if application == APPLICATION:
            raise UserError(f"state={path} is of version {version}, this program's is {VERSION}: update the older one")
        if application != 0 or version != 0 or tables.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise UserError(f"state={path} is no state of a clinic: give state=<another file>")
        for statement in filter(None, map(str.strip, _statements())):
            tables.execute(statement)
        tables.execute(f"PRAGMA application_id = {APPLICATION}")
        tables.execute(f"PRAGMA user_version = {VERSION}")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the tables for one transaction, which no other process shares; undone where the block fails."""
    with reading(path) as tables:
        tables.execute("BEGIN IMMEDIATE")
        try:
            yield tables
        except BaseException:
            if tables.in_transaction:  # a full disk ends it by itself
                tables.execute("ROLLBACK")
            raise
        tables.execute("COMMIT")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the tables, each statement a transaction of its own; rows by name. Raises StateError.

    The file must be there: one that was moved away is not begun anew, without what it held, by whoever looks next.
    """
    try:
        address = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY, isolation_level=None)) as tables:
            tables.row_factory = sqlite3.Row
            tables.execute("PRAGMA synchronous = FULL")
            tables.execute("PRAGMA foreign_keys = ON")
            yield tables
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as error:
        raise StateError(f"state={path} cannot be used ({error}): {_fix(path, error)}") from error


def _fix(path: Path, error: sqlite3.DatabaseError) -> str:
    """What to do about it. Another file is no help where this one holds cases: they would come in a second time."""
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds it open: end that program"
    if name.startswith("SQLITE_FULL"):
        return "free some space"
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return "let this program write to it, and into its folder"
    if not path.exists():
        return "it was moved or deleted: put it back"
    return "give state=<another file>, or restore it"


def _statements() -> list[str]:
    """The statements of SCHEMA: a trigger holds a semicolon of its own."""
    found: list[str] = []
    text = ""
    for line in SCHEMA.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found
