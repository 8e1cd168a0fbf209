"""The clinic's key pair: the public half goes into the app, the private half opens what the app sends."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.key_file import FORMAT, LONGEST_NAME, SUITE, VERSION, from_base64url, key_id, to_base64url
from mpox.temporary import part

PUBLIC, PRIVATE = "clinic.pub.json", "clinic.key.json"


@dataclass(frozen=True)
class ClinicKey:
    """A key pair: its id (16 hex digits), the clinic's name, and the private key as HPKE takes it."""

    id: str
    name: str
    private: Any = field(repr=False)


def suite() -> Any:
    """Return the one HPKE suite (RFC 9180) that referrals are sealed with."""
    from pyhpke import AEADId, CipherSuite, KDFId, KEMId

    return CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)


def make_keys(folder: Path, name: str) -> ClinicKey:
    """Write clinic.pub.json and clinic.key.json (mode 600) into `folder`; return the key.

    Raises UserError for a name that is empty or too long, and where either file is there: who has lost the old key
    cannot open what was sealed for it.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(f"name={name or '(empty)'} is no clinic's name: give 'name=<at most {LONGEST_NAME} letters>'")
    for path in (folder / PRIVATE, folder / PUBLIC):
        if path.exists():
            raise UserError(f"{path} exists, and a key is never replaced: give to=<another folder>")
    from cryptography.hazmat.primitives.asymmetric import ec

    number = ec.generate_private_key(ec.SECP256R1())
    raw = number.private_numbers().private_value.to_bytes(32, "big")
    public = _public_of(raw)
    facts = {"format": FORMAT, "version": VERSION, "suite": SUITE, "public": to_base64url(public)}
    facts |= {"id": key_id(public), "name": name}
    folder.mkdir(parents=True, exist_ok=True)
    _write_private(folder / PRIVATE, facts | {"private": to_base64url(raw)})
    write_json(folder / PUBLIC, facts)
    return read_key(folder / PRIVATE)


def read_key(path: Path) -> ClinicKey:
    """Read clinic.key.json. Raises UserError for a file that is missing, open to others, damaged or no such key."""
    if not path.is_file():
        raise UserError(f"no key at {path}: give key=<{PRIVATE}>, made by python -m mpox.clinic keys")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UserError(f"{path} can be read by others on this machine: chmod 600 it")
    facts = read_json(path)
    if not isinstance(facts, dict) or (facts.get("format"), facts.get("version")) != (FORMAT, VERSION):
        raise UserError(f"{path} is no key of a clinic: give key=<{PRIVATE}>, made by python -m mpox.clinic keys")
    if "private" not in facts:
        raise UserError(f"{path} is the public key, which opens nothing: give key=<{PRIVATE}>")
    try:
        raw, public = from_base64url(facts["private"]), from_base64url(facts["public"])
        private = suite().kem.deserialize_private_key(raw)
        same = _public_of(raw) == public and facts["id"] == key_id(public)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: restore it from its copy") from error
    if not same:
        raise UserError(f"{path} is damaged (its two halves do not belong together): restore it from its copy")
    return ClinicKey(facts["id"], str(facts.get("name", "")), private)


def _public_of(raw: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _write_private(path: Path, facts: dict[str, Any]) -> None:
    """Write a file that nobody else may read and that is never there by half; an existing one stays (UserError)."""
    with part(path.parent, path.name) as temporary:
        temporary.chmod(0o600)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise UserError(f"{path} exists, and a key is never replaced: give to=<another folder>") from None
