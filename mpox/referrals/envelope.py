"""Files that carry a referral or an answer: opened and sealed (HPKE base mode, RFC 9180; AES-256-GCM the way back)."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from mpox.key_file import SUITE, from_base64url, to_base64url
from mpox.referrals.keys import ClinicKey, suite
from mpox.referrals.refused import RefusedError

REFERRAL, ANSWER, VERSION = "mpox-referral", "mpox-answer", 1
INFO, REPLY = b"mpox referral 1", b"mpox answer 1"
LARGEST = 64_000_000  # bytes of a file
IV_BYTES = 12
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FIELDS = {"format", "version", "id", "suite", "key", "enc", "ciphertext"}


@dataclass(frozen=True)
class Opened:
    """A file's bundle, not yet checked; the id that its envelope gives and the key of the reply, None without one."""

    bundle: Any
    id: str | None = None
    reply_key: bytes | None = field(default=None, repr=False)


def open_file(content: bytes, key: ClinicKey | None) -> Opened:
    """Return what a file holds: a sealed referral, or a bundle that was sent as it is. Raises RefusedError."""
    if len(content) > LARGEST:
        raise RefusedError(f"larger than {LARGEST // 1_000_000} MB")
    outer = strict_json(content)
    if not isinstance(outer, dict):
        raise RefusedError("neither a referral nor a FHIR bundle")
    if outer.get("resourceType") == "Bundle":
        return Opened(outer)
    if outer.get("format") != REFERRAL:
        raise RefusedError("neither a referral nor a FHIR bundle")
    if outer.get("version") != VERSION or outer.get("suite") != SUITE:
        raise RefusedError("of another version of the format, or another suite: update the app or this program")
    if set(outer) != _FIELDS or not isinstance(outer["id"], str) or not UUID.fullmatch(outer["id"]):
        raise RefusedError("an envelope with fields that the format does not have, or without an id")
    if key is None:
        raise RefusedError(f"sealed for the key {str(outer['key'])[:16]}: give key=<clinic.key.json>")
    if outer["key"] != key.id:
        raise RefusedError(f"sealed for the key {str(outer['key'])[:16]}, not for ours ({key.id})")
    return _opened(outer, key)


def _opened(outer: dict[str, Any], key: ClinicKey) -> Opened:
    from pyhpke import PyHPKEError

    try:
        enc, ciphertext = from_base64url(outer["enc"]), from_base64url(outer["ciphertext"])
        context = suite().create_recipient_context(enc, key.private, info=INFO)
        plain = context.open(ciphertext, outer["id"].encode())
        reply = context.export(REPLY, 32)
    except (PyHPKEError, ValueError, TypeError) as error:
        raise RefusedError("cannot be opened: damaged, changed on its way, or sealed for another key") from error
    return Opened(strict_json(plain), outer["id"], reply)


def sealed_answer(number: str, bundle: dict[str, Any], reply_key: bytes, iv: bytes) -> bytes:
    """Return the file of an answer; the same bundle and iv (12 bytes, never used for another) give the same file."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    ciphertext = AESGCM(reply_key).encrypt(iv, compact(bundle), number.encode())
    outer = {"format": ANSWER, "version": VERSION, "id": number}
    return compact(outer | {"iv": to_base64url(iv), "ciphertext": to_base64url(ciphertext)})


def compact(content: Any) -> bytes:
    """Return JSON as short as it is, keys in order: equal contents are equal bytes."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return text.encode()


def strict_json(content: bytes) -> Any:
    """Return what JSON holds; a name that is there twice and numbers that JSON has not are refused (RefusedError)."""
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise RefusedError("not JSON") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
