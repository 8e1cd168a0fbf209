"""What strangers can send: each is refused with one line, stays where it is, and stops no other."""

import base64
import hashlib
import io
import json
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_referral import id_of, of_type, photo, referral, sealed, write
from PIL import Image

from mpox.referrals.desk import Desk
from mpox.referrals.envelope import LARGEST
from mpox.referrals.inbox import look
from mpox.referrals.keys import ClinicKey
from mpox.referrals.state import Page, State

Bundle = dict[str, Any]


def attach(bundle: Bundle, content: bytes, mime: str = "image/jpeg") -> None:
    attachment = of_type(bundle, "DocumentReference")["content"][0]["attachment"]
    attachment |= {"data": base64.b64encode(content).decode(), "size": len(content), "contentType": mime}
    attachment["hash"] = base64.b64encode(hashlib.sha1(content).digest()).decode()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *more: bytes) -> bytes:
    """A PNG of so many black pixels in few bytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * min(height, 6000), 1)  # a header is enough to refuse by
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def set_in(kind: str, *path: Any, value: Any) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        place: Any = of_type(bundle, kind)
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return change


def add_entries(bundle: Bundle) -> None:
    bundle["entry"] += [
        {**bundle["entry"][0], "fullUrl": f"urn:uuid:{k:08d}-0000-4000-8000-000000000000"} for k in range(40)
    ]


def truncated(bundle: Bundle) -> None:
    attach(bundle, photo(5)[:-400])


def text_bomb(bundle: Bundle) -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(8_000_000), 9))
    attach(bundle, png(8, 8, text), "image/png")


def no_task(bundle: Bundle) -> None:
    bundle["entry"] = [one for one in bundle["entry"] if one["resource"]["resourceType"] != "Task"]


def svg(bundle: Bundle) -> None:
    attach(bundle, b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")


def gif(bundle: Bundle) -> None:
    with io.BytesIO() as file:
        Image.new("P", (20, 20)).save(file, "GIF")
        attach(bundle, file.getvalue(), "image/gif")


def wrong_hash(bundle: Bundle) -> None:
    of_type(bundle, "DocumentReference")["content"][0]["attachment"]["data"] = base64.b64encode(photo(9)).decode()


def deep(bundle: Bundle) -> None:
    below: Any = []
    for _ in range(60):
        below = [{"extension": below}]
    of_type(bundle, "Patient")["extension"] = below


BUNDLES: dict[str, tuple[Callable[[Bundle], None], str]] = {
    "huge": (lambda bundle: attach(bundle, png(30_000, 30_000), "image/png"), "more than 50 million pixels"),
    "large": (lambda bundle: attach(bundle, png(10_000, 5_001), "image/png"), "more than 50 million pixels"),
    "text bomb": (text_bomb, "cannot be decoded"),
    "truncated": (truncated, "cannot be decoded"),
    "svg": (svg, "neither a JPEG nor a PNG"),
    "gif": (gif, "neither a JPEG nor a PNG"),
    "png as jpeg": (lambda bundle: attach(bundle, png(8, 8)), "neither a JPEG nor a PNG"),
    "wrong hash": (wrong_hash, "not what its hash and size say"),
    "no data": (lambda bundle: of_type(bundle, "DocumentReference")["content"][0]["attachment"].pop("data"), "no data"),
    "attachment elsewhere": (
        set_in("DocumentReference", "content", 0, "attachment", "url", value="https://evil.example/x.jpg"),
        "holds an address",
    ),
    "file address": (set_in("Device", "url", value="file:///etc/passwd"), "holds an address"),
    "reference elsewhere": (
        set_in("Task", "focus", "reference", value="https://evil.example/ServiceRequest/1"),
        "refers to something outside",
    ),
    "reference to nothing": (
        set_in("Observation", "subject", "reference", value="urn:uuid:00000000-0000-4000-8000-000000000000"),
        "refers to something outside",
    ),
    "other type": (
        lambda bundle: bundle["entry"].append({"fullUrl": "urn:uuid:x", "resource": {"resourceType": "Medication"}}),
        "no referral has (Medication)",
    ),
    "deletes": (lambda bundle: bundle["entry"][0]["request"].update(method="DELETE"), "more than to be created"),
    "contained": (set_in("Task", "contained", value=[{"resourceType": "Patient"}]), "resources inside resources"),
    "too many": (add_entries, "more than 40"),
    "no task": (no_task, "0 Task"),
    "no consent": (lambda bundle: of_type(bundle, "Task").pop("input"), "no consent"),
    "not fhir": (set_in("Observation", "status", value=["final"]), "not FHIR R4B"),
    "unknown field": (set_in("Patient", "password", value="x"), "not FHIR R4B"),
    "deep": (deep, "nested deeper"),
    "probability": (
        set_in("Observation", "component", 0, "valueQuantity", "value", value=7), "not one number from 0 to 1"
    ),
    "label twice": (
        set_in("Observation", "component", 1, "code", "text", value="mpox"), "not one number from 0 to 1"
    ),
    "outcome": (set_in("Observation", "valueCodeableConcept", "text", value="<b>certain</b>"), "its result is none of"),
    "batch": (lambda bundle: bundle.update(type="batch"), "transaction"),
}  # fmt: skip


def settled(folder: Path) -> None:
    """As if nothing there were still being written."""
    for path in folder.iterdir():
        if not path.is_dir() and time.time() - path.lstat().st_mtime < 30:
            os.utime(path, (time.time() - 60, time.time() - 60), follow_symlinks=False)


def test_hostile_files_are_refused_and_the_others_go_on(key: ClinicKey, public: dict[str, Any], tmp_path: Path) -> None:
    folder, expected = tmp_path / "in", {}
    folder.mkdir()

    def put(name: str, content: bytes | str, why: str) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        expected[name] = why

    for number, (name, (change, why)) in enumerate(BUNDLES.items()):
        bundle = referral(100 + number, side=64)
        change(bundle)
        put(f"{name}.fhir.json", json.dumps(bundle), why)
    envelope, _ = sealed(referral(200, side=64), public)
    other, _ = sealed(referral(201, side=64), public)
    for name, changed, why in (
        ("ciphertext", {"ciphertext": envelope["ciphertext"][:-6] + "AAAAAA"}, "cannot be opened"),
        ("other enc", {"enc": other["enc"]}, "cannot be opened"),
        ("short enc", {"enc": "AAAA"}, "cannot be opened"),
        ("no base64", {"ciphertext": "<script>"}, "cannot be opened"),
        ("other key", {"key": "0" * 16}, "not for ours"),
        ("version", {"version": 2}, "another version"),
        ("suite", {"suite": "none"}, "another version"),
        ("field", {"more": 1}, "fields that the format does not have"),
        ("id", {"id": "../../etc/passwd"}, "without an id"),
        ("numbers", {"enc": 7}, "cannot be opened"),
    ):
        put(f"{name}.mpox", json.dumps({**envelope, **changed}), why)
    wrong, _ = sealed(referral(202, side=64), public, id=id_of(referral(203, side=64)))
    put("id mismatch.mpox", json.dumps(wrong), "its envelope is of")
    put("not json.mpox", b"\x00\xff", "not JSON")
    put("brackets.json", "[" * 200_000, "not JSON")
    put("twice.json", '{"resourceType": "Bundle", "resourceType": "Bundle"}', "not JSON")
    put("nan.json", '{"a": NaN}', "not JSON")
    put("number.json", "7", "neither a referral")
    put("other.json", "{}", "neither a referral")
    with (folder / "large.mpox").open("wb") as file:
        file.truncate(LARGEST + 1)
    expected["large.mpox"] = "larger than 64 MB"
    (folder / "link.mpox").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.mpox")
    expected |= {"link.mpox": "a link", "pipe.mpox": "cannot be read"}
    good, _ = write(folder, referral(1, side=64), public)
    plain, _ = write(folder, referral(2, side=64))
    settled(folder)
    state = State(tmp_path / "state.sqlite")
    found = look(state, folder, key)
    assert found.new == 2 and {case["place"] for case in state.cases()} == {good.name, plain.name}
    lines = dict(line.split(": ", 1) for line in found.refused)
    assert {name: why for name, why in expected.items() if why not in lines.get(name, "")} == {}, lines
    assert set(lines) == set(expected) and all("\n" not in line for line in lines.values())
    table = pd.read_csv(folder / "refused" / "refused.csv")
    assert set(table["file"]) == set(expected) and all(
        (folder / name).is_symlink() or (folder / name).exists() for name in expected
    )
    again = look(state, folder, key)
    assert (again.new, again.refused) == (0, [])  # what was looked at is not looked at again


def test_a_replay_is_known_and_another_referral_under_the_same_id_is_refused(
    key: ClinicKey, public: dict[str, Any], tmp_path: Path
) -> None:
    folder, state = tmp_path / "in", State(tmp_path / "state.sqlite")
    bundle = referral(1, side=64)
    path, _ = write(folder, bundle, public)
    (folder / "copy.mpox").write_bytes(path.read_bytes())
    settled(folder)
    assert (look(state, folder, key).new, len(state.cases())) == (1, 1)
    changed = json.loads(json.dumps(bundle))
    of_type(changed, "Observation")["valueCodeableConcept"]["text"] = "not_suspected"
    (folder / "replay.mpox").write_text(json.dumps(sealed(changed, public)[0]))
    settled(folder)
    found = look(state, folder, key)
    assert found.new == 0 and "which says something else" in found.refused[0]
    path.write_text(json.dumps(sealed(changed, public)[0]))  # in place of the first
    settled(folder)
    assert len(look(state, folder, key).refused) == 1
    desk = Desk(state, folder, key, folder / "answers", blind=False)
    shown = desk.open(id_of(bundle), Page("a-page-of-a-browser", "N."))
    assert shown["result"]["outcome"] == "suspected"


def test_a_file_that_is_still_being_written_is_left_for_the_next_look(key: ClinicKey, tmp_path: Path) -> None:
    folder, state = tmp_path / "in", State(tmp_path / "state.sqlite")
    path, _ = write(folder, referral(1, side=64))
    complete = path.read_bytes()
    path.write_bytes(complete[:1000])
    assert (look(state, folder, key).new, look(state, folder, key).refused) == (0, [])
    path.write_bytes(complete)
    settled(folder)
    assert look(state, folder, key).new == 1


def test_without_the_key_what_is_sealed_is_refused_with_what_to_give(
    public: dict[str, Any], key: ClinicKey, tmp_path: Path
) -> None:
    folder, state = tmp_path / "in", State(tmp_path / "state.sqlite")
    write(folder, referral(1, side=64), public)
    settled(folder)
    assert "give key=<clinic.key.json>" in look(state, folder, None).refused[0]


@pytest.mark.parametrize("content", [b"not a database, but of some length", b""])
def test_a_state_that_is_something_else_is_not_touched(content: bytes, tmp_path: Path) -> None:
    from mpox.errors import UserError

    path = tmp_path / "state.sqlite"
    path.write_bytes(content)
    if content:
        with pytest.raises(UserError, match="give state=<another file>"):
            State(path)
        assert path.read_bytes() == content
    else:
        assert State(path).cases() == []
