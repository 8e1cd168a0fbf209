from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mpox.data import sources
from mpox.data.store import open_store
from mpox.data.working_picture import ONE_STEP
from mpox.errors import UserError


@pytest.fixture
def made(tmp_path: Path) -> sources.PhotoSet:
    rng = np.random.default_rng(0)
    for k, size in enumerate([(40, 30), (30, 40), (32, 32)]):
        (tmp_path / "p" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "p" / "a" / f"{k}.png")
    return sources.folder(str(tmp_path / "p"))


def test_pixels_are_the_centre_square_resized(made: sources.PhotoSet, tmp_path: Path) -> None:
    store = open_store(made.manifest, made.root, 16, "bicubic", tmp_path / "cache")
    assert (store.shape, store.dtype) == ((3, 16, 16, 3), np.uint8)
    with Image.open(made.root / "a" / "0.png") as photo:  # 30 wide, 40 high
        expected = photo.crop((0, 5, 30, 35)).resize((16, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(store[0], np.asarray(expected))
    with pytest.raises(ValueError, match="read-only"):
        store[0] = 0


def test_another_size_filter_resize_or_photo_is_another_store(made: sources.PhotoSet, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    open_store(made.manifest, made.root, 16, "bicubic", cache)
    open_store(made.manifest, made.root, 16, "bicubic", cache)
    assert len(list(cache.glob("*.npy"))) == 1
    open_store(made.manifest, made.root, 16, "bilinear", cache)
    open_store(made.manifest, made.root, 18, "bicubic", cache)
    open_store(made.manifest.iloc[::-1], made.root, 16, "bicubic", cache)
    open_store(made.manifest, made.root, 16, "bicubic", cache, ONE_STEP)
    assert len(list(cache.glob("*.npy"))) == 5


def test_a_photo_that_cannot_be_read_leaves_no_store(made: sources.PhotoSet, tmp_path: Path) -> None:
    (made.root / "a" / "1.png").unlink()
    with pytest.raises(UserError, match=r"1 photos cannot be used.*1\.png"):
        open_store(made.manifest, made.root, 16, "bicubic", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npy"))
    assert not list((tmp_path / "cache").glob(".*part"))


@pytest.mark.parametrize("damage", ["flipped byte", "cut short", "no checksum"])
def test_a_damaged_store_is_built_anew(
    made: sources.PhotoSet, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = tmp_path / "cache"
    whole = np.array(open_store(made.manifest, made.root, 16, "bicubic", cache))
    (path,) = cache.glob("*.npy")
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    if damage == "no checksum":
        path.with_suffix(".sha256").unlink()
    else:
        path.write_bytes(content if damage == "flipped byte" else content[:-50])
    with caplog.at_level("WARNING"):
        assert np.array_equal(open_store(made.manifest, made.root, 16, "bicubic", cache), whole)
    assert "damaged" in caplog.text


def test_unknown_filter(made: sources.PhotoSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="interpolation 'cubic' is unknown"):
        open_store(made.manifest, made.root, 16, "cubic", tmp_path)


def _sum(manifest: pd.DataFrame, root: Path, cache: Path) -> int:
    return int(open_store(manifest, root, 24, "bilinear", cache).astype(np.int64).sum())


def test_several_processes_build_it_once(made: sources.PhotoSet, tmp_path: Path) -> None:
    with get_context("spawn").Pool(2) as pool:
        sums = pool.starmap(_sum, [(made.manifest, made.root, tmp_path / "cache")] * 4)
    assert len(set(sums)) == 1
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
