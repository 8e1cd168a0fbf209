import hashlib
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import mlcroissant
import numpy as np
import pandas as pd
import pytest
from audited import BROKEN, COPY, ODD
from PIL import Image, ImageCms
from stowaways import stowaways

from mpox.curation.about import About, Pictures
from mpox.curation.curated import apply_decisions
from mpox.curation.decisions import DECISION_COLUMNS
from mpox.curation.findings import Audit
from mpox.curation.flow import flow
from mpox.curation.release import prepared, write_release
from mpox.data import sources
from mpox.errors import UserError

ABOUT = About("tiny", "1.0.0", "Made for a test.", {"set": "CC0-1.0"}, ("Someone",), "none", "https://example.org")


def decisions(*rows: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame([row + ("",) * (7 - len(row)) for row in rows], columns=list(DECISION_COLUMNS), dtype=str)


@pytest.fixture
def curated(small_audit: Audit) -> pd.DataFrame:
    rows = (
        (COPY, "drop", "", "", "label_conflict"),
        (ODD, "keep", "", "0 60 100"),
        ("set/acne/acne-s001_01.jpg", "relabel", "chickenpox"),
    )
    return apply_decisions(small_audit, decisions(*rows)).manifest


def release(curated: pd.DataFrame, audit: Audit, folder: Path, **options: object) -> int:
    pictures = Pictures(size=48)
    return write_release(
        curated, audit.root, folder / "out", folder / "key.csv", ABOUT, pictures, reviewers=1, **options
    )  # type: ignore[arg-type]


def test_decisions_are_applied_and_counted(small_audit: Audit, curated: pd.DataFrame) -> None:
    by_id = curated.set_index("photo_id")
    assert not by_id.loc[COPY, "keep"] and by_id.loc[COPY, "reason"] == "label_conflict"
    assert by_id.loc["set/acne/acne-s001_01.jpg", ["label", "original_label"]].tolist() == ["chickenpox", "acne"]
    assert by_id.loc[ODD, "box"] == "0 60 100"
    assert curated["audited"].eq(small_audit.manifest["audited"].iloc[0]).all()
    steps = flow(curated)
    assert [(step.count, step.removed) for step in steps] == [(27, 1), (26, 1), (25, 0)]
    assert steps[0].reasons == ("1 undecodable",)
    assert steps[1].reasons == ("1 label_conflict",)
    assert "1 relabelled: 1 acne to chickenpox" in steps[-1].details


def test_label_conflicts_stop_unless_told_otherwise(small_audit: Audit) -> None:
    with pytest.raises(UserError, match=r"1 pairs show one picture under two labels.*copy of one"):
        apply_decisions(small_audit, decisions())
    dropped = apply_decisions(small_audit, decisions(), conflicts="drop").manifest
    assert set(dropped.loc[~dropped["keep"], "photo_id"]) == {BROKEN, COPY, "set/mpox/mpox-s001_01.jpg"}
    kept = apply_decisions(small_audit, decisions(), conflicts="keep")
    assert kept.manifest["keep"].sum() == 26
    assert "labelled wrongly" in kept.remarks[0]
    relabelled = apply_decisions(small_audit, decisions((COPY, "relabel", "mpox")))
    assert relabelled.manifest["keep"].sum() == 26


def test_suggestions_keep_one_of_the_copies(small_audit: Audit) -> None:
    rows = small_audit.findings["kind"] == "exact_duplicate"
    no_conflict = Audit(
        small_audit.manifest.replace({"label": {"mpox": "acne"}}), small_audit.findings[rows], small_audit.pairs, {}
    )
    followed = apply_decisions(no_conflict, decisions(), undecided="suggested").manifest.set_index("photo_id")
    assert not followed.loc[COPY, "keep"]
    original_gone = decisions(("set/mpox/mpox-s001_01.jpg", "drop"))
    followed = apply_decisions(no_conflict, original_gone, undecided="suggested").manifest.set_index("photo_id")
    assert followed.loc[COPY, "keep"]


def test_release_is_whole_clean_and_trains(small_audit: Audit, curated: pd.DataFrame, tmp_path: Path) -> None:
    unfilled = release(curated, small_audit, tmp_path)
    out = tmp_path / "out"
    photos = sources.manifest(str(out / "manifest.csv"))  # decodes every photo and checks its hash
    assert photos.manifest["keep"].sum() == len(photos.manifest) == 25
    assert photos.manifest["label"].value_counts().to_dict() == {"acne": 6, "chickenpox": 7, "healthy": 6, "mpox": 6}
    assert pd.read_csv(out / "manifest.csv")[["width", "height"]].eq(48).all(axis=None)
    key = pd.read_csv(tmp_path / "key.csv").set_index("path")["photo_id"]
    before = curated.set_index("photo_id")
    for row in photos.manifest.itertuples():
        assert row.label == before.loc[key[row.path], "label"]
        assert row.path == f"images/{row.label}/{Path(row.path).name}"
    groups = photos.manifest["group"].groupby(before.loc[key[photos.manifest["path"]], "group"].to_numpy())
    assert groups.nunique().eq(1).all() and photos.manifest["group"].nunique() == groups.ngroups
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for secret in (b"Exif", b"GPS", b"MAKER", b"CAMERA-MODEL", b"private remark", b"mpox-s001", "é <b>".encode()):
        assert secret not in content, secret
    assert not stowaways(out, tmp_path, small_audit.root)
    for path in out.glob("images/*/*"):
        with Image.open(path) as image:
            assert image.size == (48, 48)
            assert not image.getexif() and not {"exif", "icc_profile", "comment", "xmp"} & set(image.info)
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=out, check=True)
    listed = {line.split("  ")[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert listed == written - {"SHA256SUMS", "datasheet.md"}
    sheet = (out / "datasheet.md").read_text()
    assert sheet.count("To be filled in by a person") == unfilled > 5
    for heading in ("Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling", "Uses"):
        assert f"\n## {heading}\n" in sheet
    assert "| set | 6 | 7 | 6 | 6 | 25 |" in sheet
    assert "- set: CC0-1.0" in sheet
    svg = ElementTree.parse(out / "flow.svg").getroot()
    text = " ".join(node.text or "" for node in svg.iter("{http://www.w3.org/2000/svg}text"))
    assert "Photos found (n = 27)" in text and "1 dropped by reviewers" in text and "(n = 25)" in text


def test_croissant_gives_every_record(small_audit: Audit, curated: pd.DataFrame, tmp_path: Path) -> None:
    release(curated, small_audit, tmp_path)
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "out" / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records = pd.DataFrame(list(dataset.records("photos")))
    table = pd.read_csv(tmp_path / "out" / "manifest.csv")
    for column in ("path", "label", "sha256"):
        values = records[f"photos/{column}"].map(bytes.decode)
        assert sorted(values) == sorted(table[column])
    images = list(dataset.records("images-content"))
    assert len(images) == 25
    assert images[0]["images-content/image"].size == (48, 48)
    assert {record["images-content/path"].decode() for record in images} == set(table["path"])


@pytest.mark.parametrize(("facts", "words"), [({"name": ""}, "needs a name"), ({"version": "final"}, "three numbers")])
def test_facts_croissant_would_refuse(facts: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        About(**{"name": "tiny", **facts})  # type: ignore[arg-type]


def test_box_centre_and_colour_space(tmp_path: Path) -> None:
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[:, :20], pixels[:, 20:80], pixels[:, 80:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    centre = prepared(tmp_path / "p.png", "", 100, 30, "bicubic")
    assert np.array_equal(centre, np.broadcast_to([0, 250, 0], (30, 30, 3)))
    assert np.array_equal(prepared(tmp_path / "p.png", "80 10 20", 100, 20, "bicubic"), pixels[10:30, 80:])
    # With a colour profile, the release shows what a viewer would have shown.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "tagged.png", icc_profile=profile)
    same = prepared(tmp_path / "tagged.png", "", 100, 30, "bicubic")
    assert np.abs(same.astype(int) - centre).max() <= 1
    swapped = _swap_red_and_blue(profile)
    Image.fromarray(pixels).save(tmp_path / "swapped.png", icc_profile=swapped)
    turned = prepared(tmp_path / "swapped.png", "80 10 20", 100, 20, "bicubic")
    assert turned[..., 0].min() > 200 and turned[..., 2].max() < 50


def _swap_red_and_blue(profile: bytes) -> bytes:
    """An sRGB profile whose red and blue primaries are exchanged in the tag table: stored blue means red."""
    table = bytearray(profile)
    places = {bytes(table[132 + 12 * k : 136 + 12 * k]): 132 + 12 * k for k in range(table[131])}
    red, blue = places[b"rXYZ"], places[b"bXYZ"]
    table[red : red + 4], table[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(table)


def released_masks(frame: sources.PhotoSet, box: str, size: int, out: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Release the photos, each cropped to `box`; return each mask as released, and as it was."""
    curated = frame.manifest.assign(decision="", box=box, original_label=frame.manifest["label"])
    write_release(curated, frame.root, out, out.with_name("key.csv"), ABOUT, Pictures(size=size), reviewers=0)
    key = pd.read_csv(out.with_name("key.csv")).set_index("path")["photo_id"]
    masks = frame.manifest.set_index("photo_id")["mask"]
    rows = sources.manifest(str(out / "manifest.csv")).manifest.itertuples()
    places = [(out / str(row.mask), frame.root / masks[key[row.path]]) for row in rows]
    assert len(places) == 4
    return [(np.asarray(Image.open(released)), np.asarray(Image.open(original))) for released, original in places]


def test_masks_travel_with_their_crop(tmp_path: Path) -> None:
    frame = sources.generated(str(tmp_path), subjects_per_class=1, photos_per_subject=1, size=64, seed=0)
    for released, original in released_masks(frame, "", 64, tmp_path / "out"):
        assert np.array_equal(released, original)


def test_a_box_is_of_the_photo_whatever_the_size_of_its_mask(tmp_path: Path) -> None:
    frame = sources.generated(str(tmp_path), subjects_per_class=1, photos_per_subject=1, size=64, seed=0)
    for path in frame.root.glob("masks/*/*"):
        Image.open(path).resize((32, 32), Image.Resampling.NEAREST).save(path)
    for released, original in released_masks(frame, "16 32 32", 16, tmp_path / "out"):
        assert np.array_equal(released, original[16:32, 8:24])


def test_an_existing_folder_is_safe(small_audit: Audit, curated: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.docx").touch()
    for overwrite, words in ((False, "exists: give another"), (True, "is not a release")):
        with pytest.raises(UserError, match=words):
            release(curated, small_audit, tmp_path, overwrite=overwrite)
    (out / "thesis.docx").unlink()
    out.rmdir()
    release(curated, small_audit, tmp_path)
    sums = (out / "SHA256SUMS").read_bytes()
    changed = curated.copy()
    changed.loc[changed["photo_id"] == ODD, "sha256"] = hashlib.sha256(b"").hexdigest()
    with pytest.raises(UserError, match="1 photos changed since the audit"):
        release(changed, small_audit, tmp_path, overwrite=True)
    assert (out / "SHA256SUMS").read_bytes() == sums
    (out / "images" / "mine.jpg").touch()
    with pytest.raises(UserError, match=r"did not write \(images/mine\.jpg\)"):
        release(curated, small_audit, tmp_path, overwrite=True)
    (out / "images" / "mine.jpg").unlink()
    filled = (out / "datasheet.md").read_text().replace("#", "Filled by hand.\n#", 1)
    (out / "datasheet.md").write_text(filled)
    for _ in range(2):  # what a person wrote outlives every replacement
        release(curated[curated["photo_id"] != ODD], small_audit, tmp_path, overwrite=True)
        assert len(pd.read_csv(out / "manifest.csv")) == 24
        assert (out / "datasheet.before.md").read_text() == filled
        assert "Filled by hand" not in (out / "datasheet.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.csv", "out"]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": 0}, "size=0"), ({"interpolation": "best"}, "choose bilinear"), ({"format": "gif"}, "choose jpeg, png")],
)
def test_unknown_pictures_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Pictures(**options)  # type: ignore[arg-type]
