from collections.abc import Callable
from itertools import combinations

import cv2
import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from sklearn.neighbors import NearestNeighbors

from mpox.curation import fingerprints, local_features, nearest
from mpox.curation.audit import audit, pair_findings
from mpox.curation.candidates import neighbours
from mpox.curation.findings import PAIR_COLUMNS, Audit
from mpox.data import sources
from mpox.data.groups import merge_groups

Edit = Callable[[Image.Image], Image.Image]


def noisy(photo: Image.Image) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, 12, (*photo.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))


EDITS: dict[str, tuple[str, Edit]] = {
    "mirrored": ("near_duplicate", ImageOps.mirror),
    "upside_down": ("near_duplicate", lambda photo: photo.rotate(180)),
    "quarter": ("near_duplicate", lambda photo: photo.rotate(90)),
    "darker": ("near_duplicate", lambda photo: ImageEnhance.Brightness(photo).enhance(0.6)),
    "noisy": ("near_duplicate", noisy),
    "soft": ("near_duplicate", lambda photo: photo.filter(ImageFilter.GaussianBlur(1.5))),
    "small": ("near_duplicate", lambda photo: photo.resize((150, 150))),
    "tilted": ("same_source", lambda photo: photo.rotate(23)),
    "cut": ("same_source", lambda photo: photo.crop((50, 20, 210, 180)).resize((224, 224))),
    "corner_mirrored": ("same_source", lambda photo: ImageOps.mirror(photo.crop((0, 60, 150, 210)))),
}


def picture(seed: int) -> Image.Image:
    """A textured picture with structure at every scale, unlike any of another seed."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, sd, (side, side, 3)).astype(np.float32), (224, 224), interpolation=cv2.INTER_CUBIC)
        for side, sd in ((4, 25), (10, 25), (28, 22), (75, 12))
    ]
    return Image.fromarray(np.clip(140 + sum(layers), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    root = tmp_path_factory.mktemp("edited")
    (root / "a").mkdir()
    (root / "b").mkdir()
    for seed in range(10):
        picture(seed).save(root / "ab"[seed % 2] / f"{seed}.jpg", quality=92)
    for name, (_, edit) in EDITS.items():
        edit(picture(0)).save(root / "a" / f"0_{name}.jpg", quality=85)
    (root / "b" / "again.jpg").write_bytes((root / "a" / "2.jpg").read_bytes())
    return audit([sources.folder(str(root), source="s", strict=False)], root.parent / "cache")


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_paired_with_its_original(edited: Audit, name: str) -> None:
    pairs = edited.pairs[(edited.pairs["photo_id"] == "s/a/0.jpg") & (edited.pairs["other"] == f"s/a/0_{name}.jpg")]
    assert pairs["kind"].tolist() == [EDITS[name][0]]
    assert 0.7 <= pairs["score"].iloc[0] <= 1


def test_nothing_else_is_paired(edited: Audit) -> None:
    ids = edited.pairs[["photo_id", "other"]]
    copies = ids.apply(lambda column: column.str.startswith("s/a/0")).all(axis=1)
    assert ids[~copies].to_numpy().tolist() == [["s/a/2.jpg", "s/b/again.jpg"]]
    assert (ids["photo_id"] < ids["other"]).all()
    groups = edited.manifest.groupby("group")["path"].apply(len)
    assert sorted(groups, reverse=True)[:3] == [1 + len(EDITS), 2, 1]


def test_one_picture_under_two_labels_is_a_conflict(edited: Audit) -> None:
    of = edited.findings[edited.findings["photo_id"] == "s/a/2.jpg"].set_index("kind")
    assert of.loc["label_conflict", ["other", "action"]].tolist() == ["s/b/again.jpg", "review"]
    assert "a here, b there" in of.loc["label_conflict", "evidence"]
    exact = edited.findings[edited.findings["kind"] == "exact_duplicate"]
    assert exact[["photo_id", "other", "action"]].to_numpy().tolist() == [["s/b/again.jpg", "s/a/2.jpg", "drop"]]


def test_a_second_audit_reads_what_the_first_computed(edited: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("computed again")

    for name in (
        "mpox.curation.copies.find_pairs",
        "mpox.curation.descriptors.extract",
        "mpox.curation.measures.measure",
    ):
        monkeypatch.setattr(name, refused)
    again = audit([sources.folder(str(edited.root), source="s", strict=False)], edited.root.parent / "cache")
    assert again.manifest.equals(edited.manifest)
    assert again.findings.equals(edited.findings)
    assert again.pairs.equals(edited.pairs)


def test_sources_and_equal_labels() -> None:
    manifest = pd.DataFrame({"photo_id": ["a/1", "b/1"], "label": ["mpox", "Monkeypox"], "source": ["a", "b"]})
    pairs = pd.DataFrame([["a/1", "b/1", "near_duplicate", 0.9, "alike"]], columns=list(PAIR_COLUMNS))
    kinds = {row["kind"] for row in pair_findings(pairs, manifest, {})}
    assert kinds == {"near_duplicate", "cross_dataset_duplicate", "label_conflict"}
    kinds = {row["kind"] for row in pair_findings(pairs, manifest, {"Monkeypox": "mpox"})}
    assert kinds == {"near_duplicate", "cross_dataset_duplicate"}


def test_hash_distances_are_imagehash_s() -> None:
    thumbs = np.stack([np.asarray(picture(seed).convert("L").resize((64, 64))) for seed in range(4)])
    thumbs = np.concatenate([thumbs, thumbs[:2, ::-1], np.rot90(thumbs[2:], axes=(1, 2))])
    found = {(i, j): bits for i, j, _, bits in fingerprints.hash_pairs(fingerprints.hashes(thumbs), 64)}
    photos = [Image.fromarray(thumb) for thumb in thumbs]
    for i, j in combinations(range(len(photos)), 2):
        turned = [photos[j].rotate(90 * k) for k in range(4)]
        turned += [ImageOps.mirror(photo) for photo in turned]
        assert found[i, j] == min(imagehash.phash(photos[i]) - imagehash.phash(photo) for photo in turned)


@pytest.mark.parametrize("distance", [3, 14, 20])
def test_an_index_of_hashes_misses_nothing(distance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(distance)
    hashes = rng.integers(0, 2**63, (700, 8), dtype=np.uint64)
    for i, j, k in zip(*rng.integers(0, 700, (2, 300)), rng.integers(0, 8, 300), strict=True):
        flips = rng.choice(64, rng.integers(0, distance + 3), replace=False)
        hashes[j, k] = hashes[i, 0] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64))
    every_two = sorted(fingerprints.hash_pairs(hashes, distance))
    assert len(every_two) > 100
    monkeypatch.setattr(fingerprints, "EXHAUSTIVE", 0)
    assert sorted(fingerprints.hash_pairs(hashes, distance)) == every_two


def test_an_index_of_vectors_finds_nearly_all_neighbours_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(200, 32))[rng.integers(0, 200, 1500)] + rng.normal(0, 0.4, (1500, 32))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact = neighbours(rows, rows, 10)
    monkeypatch.setattr(nearest, "EXHAUSTIVE", 0)
    found = neighbours(rows, rows, 10)
    assert len(found & exact) / len(exact) > 0.99
    assert len(found) < 1.01 * len(exact)
    assert neighbours(rows, rows, 10) == found
    _, similarity = nearest.nearest(rows, rows[:50], 3)
    assert similarity.max(1) == pytest.approx(1, abs=1e-5)


def test_padding_alone_does_not_correlate() -> None:
    photos = [picture(seed).convert("L").rotate(20).resize((64, 64)) for seed in range(2)]
    one, other = fingerprints.flatten_light(np.stack([np.asarray(photo) for photo in photos]))
    assert np.isnan(one).mean() > 0.1
    assert abs(fingerprints.correlation_in_place(one, other, 0)) < 0.3
    assert fingerprints.correlation_in_place(one, one, 0) == pytest.approx(1, abs=1e-5)
    blank = fingerprints.flatten_light(np.full((1, 64, 64), 128, np.uint8))[0]
    assert fingerprints.correlation_in_place(blank, blank, 0) == 0


def test_mirrored_descriptors_are_those_of_the_mirrored_picture() -> None:
    grey = np.asarray(picture(3).convert("L"))
    sift = cv2.SIFT.create(200)  # type: ignore[attr-defined]
    points, plain = sift.detectAndCompute(grey, None)
    mirrored_points, mirrored = sift.detectAndCompute(np.ascontiguousarray(grey[:, ::-1]), None)
    ours = local_features.root_sift(local_features.mirror_descriptors(plain))
    theirs = local_features.root_sift(mirrored)
    nearest = (ours @ theirs.T).argmax(1)
    x = grey.shape[1] - 1 - cv2.KeyPoint.convert(points)[:, 0]
    right = np.abs(cv2.KeyPoint.convert(mirrored_points)[nearest, 0] - x) < 2
    assert right.mean() > 0.85


def test_neighbours_are_the_nearest() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = NearestNeighbors(n_neighbors=5).fit(rows).kneighbors(rows, return_distance=False)
    expected = {(min(i, j), max(i, j)) for i, near in enumerate(nearest.tolist()) for j in near if j != i}
    assert neighbours(rows, rows, 4) == expected


def test_groups_are_connected_components() -> None:
    rng = np.random.default_rng(0)
    ids = [f"p{k:02}" for k in range(40)]
    manifest = pd.DataFrame({"photo_id": ids, "group": [f"g{k}" for k in rng.integers(0, 30, 40)]})
    pairs = [tuple(rng.choice(ids, 2, replace=False)) for _ in range(12)]
    sets = [set(rows["photo_id"]) for _, rows in manifest.groupby("group")]
    for one, other in pairs:
        touched = [group for group in sets if one in group or other in group]
        sets = [group for group in sets if group not in touched] + [set().union(*touched)]
    merged = manifest.assign(group=merge_groups(manifest, pairs))
    assert {frozenset(rows["photo_id"]) for _, rows in merged.groupby("group")} == {frozenset(group) for group in sets}
    assert set(merged["group"]) <= set(manifest["group"])
    assert merge_groups(manifest, []).tolist() == manifest["group"].tolist()
