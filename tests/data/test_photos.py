"""Opening one photo: every format, orientation and colour alike, and one photo's trouble stays that photo's."""

import io
import os
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mpox.data import photos
from mpox.data.memory_gate import MemoryGate
from mpox.data.photos import PhotoError, decoded, open_photo

HEIC = Path(__file__).parent / "formats" / "photo.heic"


def drawn(size: tuple[int, int] = (64, 48)) -> Image.Image:
    colours = np.random.default_rng(7).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif", ".jp2", ".avif", ".heic"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = HEIC
    if suffix != ".heic":
        path = tmp_path / f"x{suffix}"
        drawn().save(path)
    photo = open_photo(path)
    assert (photo.mode, photo.size) == ("RGB", (64, 48))
    assert np.abs(np.asarray(photo, int) - np.asarray(drawn(), int)).mean() < 12
    assert suffix in photos.SUFFIXES


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_comes_from_its_tag(tmp_path: Path, suffix: str, value: int) -> None:
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:24, :32] = 255  # light in the upper left corner alone
    stored = {1: None} | {k: _inverse(turn) for k, turn in photos.TURNS.items()}
    picture = Image.fromarray(upright)
    if (turn := stored[value]) is not None:
        picture = picture.transpose(turn)
    exif = Image.Exif()
    exif[photos.ORIENTATION] = value
    picture.save(tmp_path / f"x{suffix}", exif=exif)
    with decoded(tmp_path / f"x{suffix}") as photo:
        assert (photo.width, photo.height) == photo.picture.size == (64, 48)
        assert np.abs(np.asarray(photo.picture, int) - upright).mean() < 3


def _inverse(turn: Image.Transpose) -> Image.Transpose:
    left, right = Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270
    return {left: right, right: left}.get(turn, turn)


@pytest.mark.parametrize(
    "entry",
    [
        (0x10F, 5, 1, struct.pack("<II", 1, 2)),  # the maker as a fraction
        (0x11A, 7, 8, b"\0" * 8),  # the resolution as bytes
        (0x8769, 4, 1, struct.pack("<I", 0xFFFFFFF0)),  # further fields far behind the file's end
        (0x9286, 13, 5, b"odd\xff\0"),  # a type that there is not
    ],
)
def test_odd_metadata_costs_nothing(tmp_path: Path, entry: tuple[int, int, int, bytes]) -> None:
    tags = sorted([(photos.ORIENTATION, 3, 1, struct.pack("<H", 6)), entry])
    body, data, offset = b"", b"", 8 + 2 + 12 * len(tags) + 4
    for tag, kind, count, raw in tags:
        body += struct.pack("<HHI", tag, kind, count)
        body += raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", offset + len(data))
        data += raw if len(raw) > 4 else b""
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + body + b"\0\0\0\0" + data
    drawn().save(tmp_path / "x.jpg", exif=exif)
    assert open_photo(tmp_path / "x.jpg").size == (48, 64)


def test_nothing_of_the_file_travels_on(tmp_path: Path) -> None:
    drawn().save(tmp_path / "x.jpg", comment=b"SECRET", xmp=b"SECRET", icc_profile=_profile("sRGB"), dpi=(9, 9))
    out = io.BytesIO()
    open_photo(tmp_path / "x.jpg").save(out, "JPEG")
    assert b"SECRET" not in out.getvalue() and b"ICC_PROFILE" not in out.getvalue()


def _profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def _wide() -> bytes:
    """An sRGB profile whose red and blue primaries are exchanged in the tag table: stored blue means red."""
    table = bytearray(_profile("sRGB"))
    places = {bytes(table[132 + 12 * k : 136 + 12 * k]): 132 + 12 * k for k in range(table[131])}
    table[places[b"rXYZ"] : places[b"rXYZ"] + 4], table[places[b"bXYZ"] : places[b"bXYZ"] + 4] = b"bXYZ", b"rXYZ"
    return bytes(table)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_profiles_become_srgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (8, 8), (0, 0, 250)).convert(mode).save(tmp_path / "x.png", icc_profile=_wide())
    red, _, blue = open_photo(tmp_path / "x.png").getpixel((4, 4))  # type: ignore[misc]
    assert red > 200 and blue < 50


def test_photos_that_are_srgb_already_keep_every_value(tmp_path: Path) -> None:
    unknown = bytearray(_profile("sRGB"))
    unknown[16:20] = b"\xa6GB "  # its colour space, which is no ASCII
    for profile in (None, _profile("sRGB"), b"no profile", bytes(unknown)):
        drawn().save(tmp_path / "x.png", icc_profile=profile)
        assert np.array_equal(np.asarray(open_photo(tmp_path / "x.png")), np.asarray(drawn()))


def test_only_the_meant_formats_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    drawn().save(tmp_path / "x.ppm")
    for name, content in (("x.jpg", eps), ("y.png", (tmp_path / "x.ppm").read_bytes())):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PhotoError, match="not an image that is read here"):
            open_photo(tmp_path / name)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("what", ["pipe", "link to a pipe", "folder", "device"])
def test_what_is_no_regular_file_is_never_waited_for(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.jpg"
    os.mkfifo(tmp_path / "pipe")
    if what == "folder":
        path.mkdir()
    else:
        path.symlink_to({"pipe": tmp_path / "pipe", "link to a pipe": "pipe", "device": "/dev/zero"}[what])
    with pytest.raises(PhotoError, match="not a regular file"):
        open_photo(path)


def test_whatever_a_decoder_raises_names_the_file(tmp_path: Path) -> None:
    drawn().save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    for at in range(8, len(whole), 97):  # a flipped byte anywhere
        (tmp_path / "y.png").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            open_photo(tmp_path / "y.png")
        except PhotoError as error:
            assert "y.png" in str(error) and "\n" not in str(error)
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(PhotoError, match=r"f\.tif: cannot be decoded \(numbers without a known range"):
        open_photo(tmp_path / "f.tif")


def test_very_large_photos_are_read_at_half_their_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "WHOLE_PIXELS", 400 * 300 - 1)
    smooth = drawn((400, 300))
    for name in ("x.jpg", "x.png", "x.tif"):
        smooth.save(tmp_path / name)
        with decoded(tmp_path / name) as photo:
            assert (photo.width, photo.height, photo.picture.size) == (400, 300, (200, 150))
            whole = np.asarray(smooth.resize((56, 42), Image.Resampling.BICUBIC), int)
            half = np.asarray(photo.picture.resize((56, 42), Image.Resampling.BICUBIC), int)
            assert np.abs(whole - half).max() <= 6


def test_a_promise_of_too_many_pixels_is_refused_unread(tmp_path: Path) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    for side, words in ((16_100, "more than 256,000,000 pixels"), (60_000, "more than 256,000,000 pixels")):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        with pytest.raises(PhotoError, match=words):
            open_photo(tmp_path / "x.png")


def test_the_memory_gate_lets_in_what_fits() -> None:
    gate, inside, most = MemoryGate(10), 0, 0
    lock = threading.Lock()

    def work(amount: int) -> None:
        nonlocal inside, most
        with gate.holding(amount):
            with lock:
                inside += amount
                most = max(most, inside)
            time.sleep(0.005)
            with lock:
                inside -= amount

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (4, 5, 3, 9, 25, 1, 8, 2, 10, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert inside == 0 and most == 25  # alone
