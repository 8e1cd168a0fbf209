"""Every file of a folder is a photo, or named with a reason, or a system's own and counted nowhere."""

import logging
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from mpox.console import visible
from mpox.data import sources
from mpox.data.photos import PhotoError
from mpox.data.walk import walk
from mpox.errors import UserError


def picture(path: Path, **options: object) -> Path:
    """Write a picture of one colour, which is another for every path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(zlib.crc32(os.fsencode(path)).to_bytes(4, "big")[:3])
    Image.new("RGB", (20, 12), colour).save(path, **options)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three photos of each of two classes."""
    for label in ("acne", "mpox"):
        for k in range(3):
            picture(tmp_path / "photos" / label / f"{k}.jpg")
    return tmp_path / "photos"


def counts(root: Path, **options: object) -> dict[str, int]:
    manifest = sources.folder(str(root), **options).manifest  # type: ignore[arg-type]
    return {str(k): int(v) for k, v in manifest.loc[manifest["keep"], "label"].value_counts().items()}


NAMES = (
    *("Screen 9.00.11\u202fPM", "Bild\u00a01", "e\u0301", "\u00e9", "\U0001f9a0", "\u202egpj", "a\u200db", "\u200b"),
    *(
        "new\nline",
        "tab\t",
        " before",
        "after ",
        "back\\slash",
        "-dash",
        "a=b",
        "[0]",
        "100%",
        "x" * 230,
        "\u75c5\u5909",
    ),
)


def test_names_of_any_kind_are_photos(root: Path, tmp_path: Path) -> None:
    for name in NAMES:
        picture(root / "acne" / f"{name}.jpg")
    found = sources.folder(str(root), source="s")
    assert found.manifest["keep"].all() and len(found.manifest) == 6 + len(NAMES)
    assert set(found.manifest["path"]) >= {f"acne/{name}.jpg" for name in NAMES}
    found.manifest.to_csv(tmp_path / "m.csv", index=False)
    again = sources.manifest(str(tmp_path / "m.csv"), root=str(root)).manifest
    assert set(again["photo_id"]) == set(found.manifest["photo_id"])


def test_what_systems_leave_is_counted_nowhere(root: Path) -> None:
    for name in ("._0.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg", "Icon\r"):
        (root / "acne" / name).write_bytes(b"\0\5\x16\7")
    for name in (".thumbnails", "__MACOSX", "@eaDir", "lost+found", ".ipynb_checkpoints", "$RECYCLE.BIN"):
        picture(root / "acne" / name / "x.jpg")
        picture(root / name / "x.jpg")
    found = sources.folder(str(root))
    assert (len(found.manifest), found.left) == (6, ())


LOST = {
    "raw.dng": "unsupported format .dng",
    "cut.jpg": "not an image that is read here",
    "dead.jpg": "a link that leads nowhere",
    "out.jpg": "a link that leads out of the folder",
    "pipe.jpg": "not a regular file",
    "IMG_1": "a JPEG whose name does not end like one",
    os.fsdecode(b"latin\xe9.jpg"): "is not UTF-8",
}


def lose(root: Path, name: str) -> None:
    place = root / "acne" / name
    if name == "dead.jpg":
        place.symlink_to("nothing")
    elif name == "out.jpg":
        place.symlink_to(picture(root.parent / "elsewhere.jpg"))
    elif name == "pipe.jpg":
        os.mkfifo(place)
    elif name.startswith(("IMG", "latin")):
        picture(place, format="JPEG")
    else:
        place.write_bytes(b"no picture")


@pytest.mark.parametrize("name", LOST)
def test_a_photo_that_cannot_be_used_stops_or_is_said(root: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    lose(root, name)
    with pytest.raises(PhotoError, match=r"1 of 7 photos .*: acne: 1 .*data\.may_miss=0\.143") as raised:
        sources.folder(str(root))
    assert LOST[name] in str(raised.value) and visible(name) in str(raised.value)
    assert "\n" not in str(raised.value)
    with caplog.at_level(logging.INFO):
        assert counts(root, may_miss=0.143) == {"acne": 3, "mpox": 3}
    assert "1 of 7 photos" in caplog.text and LOST[name] in caplog.text
    caplog.clear()
    audited = sources.folder(str(root), strict=False)
    assert (~audited.manifest["keep"]).sum() + len(audited.left) == 1
    assert LOST[name] in caplog.text


def test_a_whole_class_is_more_than_any_share(root: Path) -> None:
    for path in (root / "acne").iterdir():
        path.rename(path.with_suffix(".cr2"))
    with pytest.raises(PhotoError, match=r"3 of 6 photos .* no photo of class acne is left: acne: 3 unsupported"):
        sources.folder(str(root), may_miss=1.0)
    assert counts(root, strict=False) == {"mpox": 3}


def test_links_to_folders(root: Path, tmp_path: Path) -> None:
    (root / "acne").rename(tmp_path / "disk")
    (root / "acne").symlink_to(tmp_path / "disk")
    with pytest.raises(PhotoError, match=r"no photo of class acne .*leads out of the folder.*data\.follow_links=true"):
        sources.folder(str(root), may_miss=1)
    assert counts(root, follow_links=True) == {"acne": 3, "mpox": 3}
    (tmp_path / "disk").rename(root / ".store")
    (root / "acne").unlink()
    (root / "acne").symlink_to(".store")  # below the root
    (root / "mpox" / "loop").symlink_to("..")
    (root / "mpox" / "again").symlink_to("../mpox")
    assert counts(root) == {"acne": 3, "mpox": 3}


@pytest.mark.parametrize("place", ["acne", "acne/visit2"])
def test_a_folder_that_cannot_be_read(root: Path, place: str) -> None:
    picture(root / "acne" / "visit2" / "9.jpg")
    # Permissions bind root only without its capabilities.
    tool = shutil.which("setpriv")
    if os.geteuid() == 0 and tool is None:
        pytest.skip("file permissions do not bind root, and there is no setpriv here")
    under = [str(tool), "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    program = f"from mpox.data import sources; sources.folder({str(root)!r}, may_miss=1)"
    (root / place).chmod(0)
    try:
        printed = subprocess.run([*under, sys.executable, "-c", program], capture_output=True, text=True).stderr
    finally:
        (root / place).chmod(0o755)
    assert "the folder cannot be read: Permission denied" in printed and place in printed


def test_an_empty_class_folder_is_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "measles").mkdir()
    (root / "cowpox").mkdir()
    (root / "cowpox" / "photos.zip").write_bytes(b"PK")
    assert counts(root) == {"acne": 3, "mpox": 3}
    assert "no photos in the folders cowpox, measles" in caplog.text


def test_own_results_are_no_photos(root: Path) -> None:
    run = root / "runs" / "study" / "model" / "fold-0"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    (run / "status.json").touch()
    assert counts(root) == {"acne": 3, "mpox": 3}
    (root / "sheets").mkdir()
    (root / "sheets" / ".mpox").touch()
    assert counts(root) == {"acne": 3, "mpox": 3}
    picture(run / "explain" / "0.png")
    with pytest.raises(UserError, match=r"holds results of mpox itself \(runs/study/model/fold-0\), with 1 pictures"):
        sources.folder(str(root))
    with pytest.raises(UserError, match="was written by mpox itself"):
        sources.folder(str(run))
    assert len(walk(root).photos) == 6


@pytest.mark.parametrize(
    "parts", [("train", "valid", "test"), ("fold1", "Fold 2"), ("Training",), ("val_images", "x", "cv-3")]
)
def test_parts_of_a_split_are_no_classes(tmp_path: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        for label in ("acne", "mpox"):
            picture(tmp_path / part / label / "0.jpg")
    with pytest.raises(UserError, match=r"are parts of a split \(.*data\.class_level=-1"):
        sources.folder(str(tmp_path))
    assert counts(tmp_path, class_level=-1) == {"acne": len(parts), "mpox": len(parts)}


def test_copies_in_the_majority_stop(root: Path) -> None:
    for path in sorted((root / "acne").iterdir()):
        (root / "acne" / f"copy-{path.name}").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"6 of 9 photos .* are exact copies of others"):
        sources.folder(str(root))
    assert len(sources.folder(str(root), strict=False).manifest) == 9


@pytest.mark.parametrize("names", [("Healthy", "healthy"), ("caf\u00e9", "cafe\u0301"), ("Hand foot", "hand  foot")])
def test_classes_alike_in_all_but_case_stop(root: Path, tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        picture(root / name / "0.jpg")
    with pytest.raises(UserError, match="names differ only in case, spaces or composed letters"):
        sources.folder(str(root))
    (tmp_path / "m.csv").write_text(f"path,label\nacne/0.jpg,{names[0]}\nacne/1.jpg,{names[1]}\n")
    with pytest.raises(UserError, match="names differ only in case"):
        sources.manifest(str(tmp_path / "m.csv"), root=str(root))
    assert counts(root, classes={"ACNE": "a", "mpox": "m", names[0]: "h"}) == {"a": 3, "m": 3, "h": 2}


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "/secret.jpg", "acne/../../secret.jpg", "..\\secret.jpg", "C:\\x.jpg"]
)
def test_a_manifest_stays_below_its_root(root: Path, tmp_path: Path, path: str) -> None:
    picture(tmp_path / "secret.jpg")
    for text in (f"path,label\n{path},a\n", f"path,label,mask\nacne/0.jpg,a,{path}\n"):
        (tmp_path / "m.csv").write_text(text)
        with pytest.raises(UserError, match=r"m\.csv: .* leads out of the folder that its paths start in"):
            sources.manifest(str(tmp_path / "m.csv"), root=str(root))


def test_a_manifest_names_links_out(root: Path, tmp_path: Path) -> None:
    lose(root, "out.jpg")
    (tmp_path / "m.csv").write_text("path,label\nacne\\0.jpg,a\n acne/1.jpg,a\nacne/out.jpg,b\nmpox/0.jpg,b\n")
    read = {"manifest": str(tmp_path / "m.csv"), "root": str(root)}
    with pytest.raises(PhotoError, match=r"1 of 4 photos .*: b: 1 a link that leads out of the folder"):
        sources.manifest(**read)
    kept = sources.manifest(**read, may_miss=0.25).manifest
    assert kept.loc[kept["keep"], "path"].tolist() == ["acne/0.jpg", "acne/1.jpg", "mpox/0.jpg"]
    assert sources.manifest(**read, follow_links=True).manifest["keep"].all()


@pytest.mark.parametrize("share", [-0.1, 1.5, "many", True])
def test_may_miss_is_a_share(root: Path, share: object) -> None:
    with pytest.raises(UserError, match="no share of the photos"):
        sources.folder(str(root), may_miss=share)  # type: ignore[arg-type]
