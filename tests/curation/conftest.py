"""A small audit written by hand, of photos whose faults are known."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audited import BROKEN, COPY, ODD
from PIL import Image

from mpox.curation.findings import AUDIT_VERSION, MEASURES, PAIR_COLUMNS, Audit, findings_table
from mpox.data import synthetic
from mpox.data.audited import AUDITED
from mpox.data.manifest import complete
from mpox.data.photos import PhotoError, open_photo


@pytest.fixture(scope="session")
def audited_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 synthetic photos of 12 subjects in `<class>/`; an exact copy in another class, a broken file, an odd name."""
    root = tmp_path_factory.mktemp("audited") / "photos"
    synthetic.generate(root, subjects_per_class=3, photos_per_subject=2, size=96, seed=1)
    shutil.rmtree(root / "masks")
    shutil.copy(root / "mpox" / "mpox-s001_01.jpg", root / "acne" / "copy of one.jpg")
    (root / "acne" / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    _wide_photo_with_gps(root / "acne" / "é <b>&amp; 'x'.jpg")
    return root


@pytest.fixture
def small_audit(audited_photos: Path) -> Audit:
    paths = sorted(path.relative_to(audited_photos).as_posix() for path in audited_photos.rglob("*.jpg"))
    frame = pd.DataFrame({"path": paths})
    frame["label"] = frame["path"].str.partition("/")[0]
    frame["subject"] = [Path(path).stem[:-3] if "-s0" in path else "" for path in paths]
    for row, path in enumerate(paths):
        content = (audited_photos / path).read_bytes()
        frame.loc[row, ["sha256", "bytes"]] = [hashlib.sha256(content).hexdigest(), len(content)]
        try:
            photo = open_photo(audited_photos / path)
            facts = [photo.width, photo.height, True, "", ""]
        except PhotoError:
            facts = [0, 0, False, "no image", "undecodable"]
        frame.loc[row, ["width", "height", "keep", "reason", "reason_kind"]] = facts
    manifest = complete(frame.assign(**dict.fromkeys(MEASURES, np.nan), **{AUDITED: AUDIT_VERSION}), "set")
    original = "set/mpox/mpox-s001_01.jpg"
    twins = manifest["photo_id"].isin([COPY, original])
    manifest.loc[twins, "group"] = "set/mpox-s001"
    findings = findings_table(
        [
            {"photo_id": BROKEN, "kind": "undecodable", "evidence": "not an image"},
            {"photo_id": COPY, "kind": "exact_duplicate", "evidence": "same bytes", "score": 1.0, "other": original},
            {"photo_id": COPY, "kind": "label_conflict", "evidence": "acne and mpox", "other": original},
            {"photo_id": original, "kind": "label_conflict", "evidence": "mpox and acne", "other": COPY},
            {"photo_id": ODD, "kind": "blurred", "evidence": "sharpness 3 < 10", "score": 3.0},
            {"photo_id": "set/healthy/healthy-s001_01.jpg", "kind": "blurred", "evidence": "sharpness 9 < 10"},
            {"photo_id": "", "kind": "imbalance", "evidence": "acne has 8 of 27 photos"},
        ]
    )
    pairs = pd.DataFrame([(COPY, original, "exact_duplicate", 1.0, "same bytes")], columns=list(PAIR_COLUMNS))
    return Audit(manifest, findings, pairs, {"root": str(audited_photos), "counts": {}})


def _wide_photo_with_gps(path: Path) -> None:
    """160x100 stored pixels, to be turned upright (EXIF 6): 100 wide, 160 high; with GPS, camera and comment."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "MAKER", "CAMERA-MODEL"
    exif.get_ifd(0x8825).update({1: "N", 2: (45.0, 27.0, 51.0), 3: "E", 4: (9.0, 11.0, 24.0)})
    ramp = np.linspace(0, 255, 160, dtype=np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (100, 1)), np.full((100, 160), 120, np.uint8), np.full((100, 160), 90, np.uint8)], -1
    )
    Image.fromarray(pixels).save(path, quality=95, exif=exif, comment=b"private remark")
