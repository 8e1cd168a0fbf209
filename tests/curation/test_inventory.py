"""A folder with everything that can be wrong with files, through the whole audit."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mpox.curation.audit import audit
from mpox.curation.findings import Audit, read_audit, write_audit
from mpox.curation.inventory import combine
from mpox.data import sources, synthetic
from mpox.errors import UserError

LONG = "ein sehr langer Name " * 11


def bomb(path: Path, side: int) -> None:
    """A PNG of a few bytes whose header promises side x side pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    root = tmp_path_factory.mktemp("odd")
    synthetic.generate(root, subjects_per_class=1, photos_per_subject=1, size=96, seed=0)
    for mask in root.glob("masks/*/*"):
        mask.unlink()
    good, mpox = next((root / "acne").glob("*.jpg")), root / "mpox"
    content, picture = good.read_bytes(), Image.open(good)
    (mpox / "corrupt.jpg").write_bytes(content[:20] + b"\xff" * 50 + content[300:900])
    (mpox / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (mpox / "zero.jpg").touch()
    (mpox / "text.jpg").write_text("not a picture")
    Image.new("L", (10_000, 6_000), 120).save(mpox / "sixty.png", compress_level=1)
    bomb(mpox / "bomb.png", 60_000)
    (mpox / "round.jpg").symlink_to(mpox / "round.jpg")
    (mpox / "loop").symlink_to(root)
    picture.rotate(30).save(mpox / "Läsion 病変 🦠.jpg")
    picture.rotate(75).save(mpox / f"{LONG}.jpg")
    picture.rotate(50).convert("CMYK").save(mpox / "cmyk.jpg")
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (90, 90), np.uint16)).save(mpox / "sixteen.png")
    frames = [picture.rotate(angle) for angle in (110, 120)]
    frames[0].save(mpox / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(mpox / "moving.gif", save_all=True, append_images=frames[1:])
    picture.rotate(200).save(mpox / "photo.tiff")
    (mpox / "raw.dng").write_bytes(b"II*\0 raw")
    picture.rotate(130).save(mpox / "wrong.jpg", format="PNG")
    (mpox / "notes.txt").write_text("notes")
    (root / "stray.jpg").write_bytes(content)
    (mpox / os.fsdecode(b"latin\xe9.jpg")).write_bytes(content)
    os.mkfifo(mpox / "pipe.jpg")
    return audit([sources.folder(str(root), source="odd", strict=False)], root.parent / "cache")


def test_bad_files_are_reported_and_stay_in_the_manifest(audited: Audit) -> None:
    kinds = audited.findings.groupby("kind")["photo_id"].apply(set).to_dict()
    undecodable = {"corrupt.jpg", "truncated.jpg", "zero.jpg", "text.jpg", "bomb.png", "round.jpg", "pipe.jpg"}
    assert kinds["undecodable"] == {f"odd/mpox/{name}" for name in undecodable}
    assert kinds["unsupported_format"] == {"odd/mpox/raw.dng"}
    assert kinds["wrong_extension"] == {"odd/mpox/wrong.jpg"}
    assert kinds["animated"] == {"odd/mpox/moving.webp", "odd/mpox/moving.gif"}
    # A GIF has a palette, and Pillow gives every frame of a moving WebP an alpha channel.
    assert kinds["unusual_mode"] == {
        f"odd/mpox/{name}" for name in ("cmyk.jpg", "sixteen.png", "moving.webp", "moving.gif")
    }
    assert kinds["very_large"] == {"odd/mpox/sixty.png"}
    left_out = audited.manifest[~audited.manifest["keep"]]
    assert set(left_out["photo_id"]) == kinds["undecodable"] | kinds["unsupported_format"]
    assert (left_out["reason"] != "").all()
    assert (left_out["width"] == 0).all()
    assert not left_out["reason"].str.contains("/").any(), "a reason names no folder of this machine"


def test_good_files_with_odd_names_are_kept(audited: Audit) -> None:
    kept = set(audited.manifest.loc[audited.manifest["keep"], "path"])
    assert {"mpox/Läsion 病変 🦠.jpg", f"mpox/{LONG}.jpg", "mpox/sixty.png"} <= kept


def test_what_is_no_photo_is_named(audited: Audit) -> None:
    named = "\n".join(audited.summary["no_photos"]["named"])
    for words in (
        "loop (a link to a folder that is read already)",
        "notes.txt (ending .txt)",
        "stray.jpg (is in no class folder)",
    ):
        assert words in named
    assert r"latin\xe9.jpg (its name or its folder's is not UTF-8" in named
    assert audited.summary["no_photos"]["count"] == 4


def test_every_file_is_accounted_for(audited: Audit) -> None:
    files = sum(len(names) for _, _, names in os.walk(audited.root))
    links = 1
    assert files + links == len(audited.manifest) + audited.summary["no_photos"]["count"]


def test_the_audit_is_written_and_read(audited: Audit, tmp_path: Path) -> None:
    write_audit(audited, tmp_path)
    back = read_audit(tmp_path)
    assert back.findings.equals(audited.findings)
    assert back.pairs.equals(audited.pairs)
    pd.testing.assert_frame_equal(back.manifest, audited.manifest)
    assert (back.summary, back.key, back.root) == (audited.summary, audited.key, audited.root)
    assert back.state == audited.state
    (tmp_path / "pairs.parquet").unlink()
    with pytest.raises(UserError, match=r"holds no audit \(pairs\.parquet is missing\)"):
        read_audit(tmp_path)


def test_sets_are_put_together(tmp_path: Path) -> None:
    for place in ("one/a", "one/b", "deep/two/a"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), (9, len(place), ord(place[-1]))).save(tmp_path / place / "1.png")
    sets = [sources.folder(str(tmp_path / place)) for place in ("one", "deep/two")]
    together = combine(sets)
    assert together.root == tmp_path
    assert together.manifest["photo_id"].tolist() == ["one/a/1.png", "one/b/1.png", "two/a/1.png"]
    assert together.manifest["path"].tolist() == ["one/a/1.png", "one/b/1.png", "deep/two/a/1.png"]
    with pytest.raises(UserError, match=r"two photo sets hold x/a/1\.png"):
        combine([sources.folder(str(tmp_path / place), source="x") for place in ("one", "deep/two")])
