"""Caches: a broken one is made again, one that cannot be written costs nothing but its use."""

import errno
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpox.cached import kept
from mpox.data.array_file import array_file
from mpox.data.manifest import complete
from mpox.data.photos import PhotoError
from mpox.data.unchanged import changed_photos, recorded
from mpox.files import sha256_of


def value(path: Path, made: list[int]) -> str:
    def make() -> str:
        made.append(1)
        return "the value"

    return kept(path, make, lambda text, place: place.write_text(text) and None, Path.read_text)


@pytest.mark.parametrize("harm", ["flipped", "cut", "empty", "no checksum", "broken checksum"])
def test_a_broken_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str) -> None:
    path, made = tmp_path / "features.npy", list[int]()
    assert value(path, made) == value(path, made) == "the value"
    assert len(made) == 1
    checksum = path.with_suffix(".sha256")
    if "checksum" in harm:
        checksum.unlink() if harm == "no checksum" else checksum.write_bytes(b"\xff\xfe")
    else:
        path.write_text({"flipped": "The value", "cut": "the", "empty": ""}[harm])
    with caplog.at_level("WARNING"):
        assert value(path, made) == "the value"
    assert len(made) == 2 and "made again" in caplog.text
    assert path.read_text() == "the value"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def failing(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    made = list[int]()
    with monkeypatch.context() as patch, caplog.at_level("WARNING"):
        patch.setattr(os, "fsync", failing)
        assert value(tmp_path / "features.npy", made) == "the value"
    assert len(made) == 1 and "not kept" in caplog.text
    assert not list(tmp_path.iterdir())
    assert value(tmp_path / "features.npy", made) == "the value"
    assert len(made) == 2 and (tmp_path / "features.npy").exists()


def test_what_making_raises_is_raised(tmp_path: Path) -> None:
    def make() -> str:
        raise OSError(errno.EIO, "the photos' disk")

    with pytest.raises(OSError, match="the photos' disk"):
        kept(tmp_path / "a.npy", make, lambda text, place: None, Path.read_text)
    assert not list(tmp_path.iterdir())


def test_an_array_written_by_rows_is_the_array(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
    path = tmp_path / "a.npy"
    with array_file(path, pixels.shape, np.uint8) as array:
        for row in pixels:
            array.append(row)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), pixels)
    assert array.sha256 == sha256_of(path)
    with pytest.raises(ValueError, match="4 of 5 rows"), array_file(path, pixels.shape, np.uint8) as array:
        for row in pixels[:4]:
            array.append(row)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space is reserved where the system can")
def test_space_is_reserved_before_the_first_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"), array_file(tmp_path / "a.npy", (5, 4), np.uint8):
        raise AssertionError("a row was asked for")


def test_a_photo_replaced_by_one_of_its_size_is_noticed(tmp_path: Path) -> None:
    root, cache = tmp_path / "photos", tmp_path / "cache"
    (root / "a").mkdir(parents=True)
    paths = [f"a/{name}.jpg" for name in ("one", "two", "three")]
    for path in paths:
        (root / path).write_text(path.ljust(20))
    facts = {"sha256": [sha256_of(root / path) for path in paths], "bytes": [20] * 3, "label": "a"}
    frame = complete(pd.DataFrame({"path": paths, **facts}), "s")
    assert changed_photos(frame, root, cache) == []
    (note,) = cache.iterdir()
    before = (root / paths[1]).stat()
    (root / paths[1]).write_text("another photo".ljust(20))
    os.utime(root / paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` and `rsync -t` do
    with pytest.raises(PhotoError, match="two"), recorded(root / paths[1], facts["sha256"][1]):
        raise AssertionError("it was read")
    assert changed_photos(frame, root, cache) == [paths[1]]
    note.write_bytes(b"\xff\xfe")  # a broken note only costs reading the photos
    (root / paths[2]).unlink()
    assert set(changed_photos(frame, root, cache)) == set(paths[1:])
    (root / paths[1]).write_text(paths[1].ljust(20))
    assert changed_photos(frame, root, cache) == [paths[2]]


def test_photos_seen_once_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.jpg").write_text("content")
    facts = {"sha256": [sha256_of(tmp_path / "a" / "one.jpg")], "bytes": [7], "label": "a"}
    frame = complete(pd.DataFrame({"path": ["a/one.jpg"], **facts}), "s")
    assert changed_photos(frame, tmp_path, tmp_path / "cache") == []
    monkeypatch.setattr("mpox.data.unchanged.sha256_of", lambda path: pytest.fail(f"{path} is read"))
    assert changed_photos(frame, tmp_path, tmp_path / "cache") == []
