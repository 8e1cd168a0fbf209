import functools
import hashlib
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from mpox.config import build
from mpox.data import sources
from mpox.data.photos import PhotoError, open_photo
from mpox.errors import UserError
from mpox.options import config_dir


def picture(path: Path, size: tuple[int, int] = (20, 12), **options: object) -> Path:
    """Write a picture of one colour, which is another for every path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, tuple(zlib.crc32(str(path).encode()).to_bytes(4, "big")[:3])).save(path, **options)
    return path


def test_folder_reads_every_format_and_the_facts(tmp_path: Path) -> None:
    for k, suffix in enumerate((".jpg", ".JPEG", ".png", ".webp", ".bmp")):
        picture(tmp_path / "acne" / f"{k}{suffix}")
    jfif = picture(tmp_path / "mpox" / "x.jpg")
    jfif.rename(jfif.with_suffix(".jfif"))
    (tmp_path / "mpox" / "notes.txt").write_text("not a photo")
    manifest = sources.folder(str(tmp_path), source="mine").manifest
    assert manifest["label"].tolist() == ["acne"] * 5 + ["mpox"]
    row = manifest.iloc[-1]
    content = jfif.with_suffix(".jfif").read_bytes()
    assert (row["photo_id"], row["width"], row["height"]) == ("mine/mpox/x.jfif", 20, 12)
    assert (row["sha256"], row["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    path = picture(tmp_path / "a" / "1.jpg", exif=exif)
    assert open_photo(path).size == (12, 20)
    assert sources.folder(str(tmp_path)).manifest.loc[0, ["width", "height"]].tolist() == [12, 20]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(path)
    else:
        Image.new("RGB", (8, 8), (128, 128, 128)).convert(mode).save(path)
    photo = open_photo(path)
    assert (photo.mode, photo.size) == ("RGB", (8, 8))
    if mode in ("I;16", "L", "CMYK"):
        assert abs(np.asarray(photo).astype(int) - 128).max() <= 3


def test_transparency_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "x.png")
    assert (np.asarray(open_photo(tmp_path / "x.png")) == 255).all()


def test_subjects_come_from_the_file_name(tmp_path: Path) -> None:
    for name in ("M01_01", "M01_02", "M02_01", "odd"):
        picture(tmp_path / "Monkeypox" / f"{name}.jpg")
    picture(tmp_path / "Others" / "NM01_01.jpg")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", ["data=msld", f"data.root={tmp_path}"])
    manifest = build(cfg.data).manifest.set_index("path")
    assert manifest["subject"].to_dict() == {
        "Monkeypox/M01_01.jpg": "M01",
        "Monkeypox/M01_02.jpg": "M01",
        "Monkeypox/M02_01.jpg": "M02",
        "Monkeypox/odd.jpg": "",
        "Others/NM01_01.jpg": "NM01",
    }
    assert manifest["group"].nunique() == 4
    assert set(manifest["label"]) == {"mpox", "other"}


def test_class_may_be_the_folder_that_holds_the_photo(tmp_path: Path) -> None:
    for split, patient in (("Train", 1), ("Test", 2)):
        picture(tmp_path / split / "Monkeypox" / f"MKP_{patient:02}_01.jpg")
        picture(tmp_path / split / "Healthy" / f"HEALTHY_{patient:02}_01.jpg")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", ["data=msld_v2", f"data.root={tmp_path}"])
    manifest = build(cfg.data).manifest
    assert manifest["label"].value_counts().to_dict() == {"mpox": 2, "healthy": 2}
    assert set(manifest["subject"]) == {"MKP_01", "MKP_02", "HEALTHY_01", "HEALTHY_02"}


def test_a_class_that_is_named_and_has_no_photo_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("Monkeypox", "Normal"):
        picture(tmp_path / name / "1.jpg")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", ["data=msid", f"data.root={tmp_path}"])
    assert set(build(cfg.data).manifest["label"]) == {"mpox", "healthy"}
    assert "data.classes names chickenpox, measles, of which there are no photos" in caplog.text
    caplog.clear()
    for name in ("Chickenpox", "measles"):
        picture(tmp_path / name / "1.jpg")
    build(cfg.data)
    assert "no photos" not in caplog.text


def test_bad_photos_are_all_counted_and_named(tmp_path: Path) -> None:
    good = picture(tmp_path / "a" / "good.jpg", size=(300, 300))
    (tmp_path / "a" / "zero.jpg").touch()
    (tmp_path / "a" / "text.jpg").write_text("not a picture")
    (tmp_path / "a" / "cut.jpg").write_bytes(good.read_bytes()[:500])
    with pytest.raises(PhotoError, match="3 of 4 photos") as raised:
        sources.folder(str(tmp_path))
    for name in ("zero.jpg", "text.jpg", "cut.jpg"):
        assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_symlink_loop_ends(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert len(sources.folder(str(tmp_path)).manifest) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"root": None}, "not given"),
        ({"root": "/nowhere"}, "/nowhere is not a folder"),
        ({"classes": {"B": "b"}}, "does not name: a"),
        ({"subject_pattern": "("}, "not a regular expression"),
        ({"subject_pattern": "^[^_]+"}, "no group that is the subject"),
        ({"class_level": 3}, "is in no class folder"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, object], words: str) -> None:
    picture(tmp_path / "a" / "1.jpg")
    with pytest.raises(UserError, match=words):
        sources.folder(**{"root": str(tmp_path), **options})  # type: ignore[arg-type]


def test_folder_without_photos(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no photos"):
        sources.folder(str(tmp_path))


def test_manifest_leaves_out_what_is_not_kept(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.jpg")
    (tmp_path / "a" / "broken.jpg").touch()
    (tmp_path / "m.csv").write_text("path,label,keep,reason\na/1.jpg,a,true,\na/broken.jpg,a,false,undecodable\n")
    manifest = sources.manifest(str(tmp_path / "m.csv")).manifest
    assert manifest["keep"].tolist() == [True, False]
    assert manifest["sha256"].str.len().tolist() == [64, 0]


def test_a_manifest_without_the_folder_of_its_photos_says_what_to_give(tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "1.jpg")
    (tmp_path / "m.csv").write_text("path,label\n1.jpg,a\n")
    with pytest.raises(UserError, match=r"no such file \(is data\.root=.* the folder their paths start in\?\)"):
        sources.manifest(str(tmp_path / "m.csv"))
    assert len(sources.manifest(str(tmp_path / "m.csv"), root=str(tmp_path / "photos")).manifest) == 1


def test_manifest_notices_another_photo_in_place(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.jpg")
    (tmp_path / "m.csv").write_text(f"path,label,sha256\na/1.jpg,a,{'0' * 64}\n")
    with pytest.raises(UserError, match=r"not those the manifest was made of \(first: a/1\.jpg\)"):
        sources.manifest(str(tmp_path / "m.csv"))


def test_generated_set_is_made_once(tmp_path: Path) -> None:
    recipe = {"subjects_per_class": 1, "photos_per_subject": 2, "size": 32, "seed": 0}
    first = sources.generated(str(tmp_path), **recipe)
    assert first.manifest["label"].value_counts().to_dict() == {"mpox": 2, "chickenpox": 2, "acne": 2, "healthy": 2}
    assert (first.root / first.manifest["mask"].iloc[0]).is_file()
    before = {path: path.stat().st_mtime_ns for path in first.root.rglob("*.jpg")}
    sources.generated(str(tmp_path), **recipe)
    assert {path: path.stat().st_mtime_ns for path in first.root.rglob("*.jpg")} == before


def test_unreachable_zenodo_says_how_to_do_it_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", ["data=mcsi", f"cache_dir={tmp_path}"])
    with pytest.raises(UserError, match=r"cannot download 10\.5281/zenodo\.8360076 .*data\.root=<folder>"):
        build(cfg.data)


def test_mcsi_by_hand(tmp_path: Path) -> None:
    for name in ("Mpox", "Chickenpox", "Acne", "Healthy"):
        picture(tmp_path / "MCSI" / name / "1.jpg")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("train", ["data=mcsi", f"data.root={tmp_path}"])
    assert sorted(build(cfg.data).manifest["label"]) == ["acne", "chickenpox", "healthy", "mpox"]


def test_real_photos(shared_photos: Path) -> None:
    manifest = sources.folder(str(shared_photos / "msid")).manifest
    assert manifest["label"].value_counts().to_dict() == {
        "Normal": 293, "Monkeypox": 279, "Chickenpox": 107, "Measles": 91,
    }  # fmt: skip


def test_one_source_of_a_manifest_or_all_but_one(photos: Path, tmp_path: Path) -> None:
    paths = [path.relative_to(photos).as_posix() for path in sorted(photos.glob("*/*.*"))]
    frame = pd.DataFrame({"path": paths, "label": [path.partition("/")[0] for path in paths]})
    frame["source"] = ["a", "b", "c"] * (len(paths) // 3)
    frame.to_csv(tmp_path / "m.csv", index=False)
    read = functools.partial(sources.manifest, str(tmp_path / "m.csv"), root=str(photos))
    assert set(read(only="a").manifest["source"]) == {"a"}
    assert set(read(without="a").manifest["source"]) == {"b", "c"}
    assert len(read(only="a").manifest) + len(read(without="a").manifest) == len(paths)
    with pytest.raises(UserError, match=r"data\.without=d: .*m\.csv has no such source \(it has: a, b, c\)"):
        read(without="d")
