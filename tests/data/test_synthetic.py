"""The synthetic photo set: reproducible to the byte, masks on lesions, nothing but lesions tells classes apart."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage, stats

from mpox.data import synthetic
from mpox.data.manifest import complete
from mpox.data.photos import open_photo
from mpox.errors import UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of 4 classes x 20 subjects x 1 photo of 96 pixels, and its frame."""
    folder = tmp_path_factory.mktemp("synthetic")
    return folder, synthetic.generate(folder, subjects_per_class=20, photos_per_subject=1, size=96, seed=5)


def pixels(path):
    return np.asarray(Image.open(path), np.float64)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_the_frame_names_every_file(made):
    folder, frame = made
    assert list(frame.columns) == ["path", "label", "subject", "mask"]
    assert frame["label"].value_counts().to_dict() == dict.fromkeys(synthetic.CLASSES, 20)
    assert frame["path"].is_monotonic_increasing and frame["path"].is_unique
    assert set(contents(folder)) == {*frame["path"], *frame["mask"]}
    row = frame[frame["subject"] == "mpox-s003"].iloc[0]
    assert (row["path"], row["mask"]) == ("mpox/mpox-s003_01.jpg", "masks/mpox/mpox-s003_01.png")
    assert len(complete(frame, "synthetic")) == 80


def test_photos_and_masks_are_as_promised(made):
    folder, frame = made
    for row in frame.itertuples():
        assert open_photo(folder / row.path).size == (96, 96)
        with Image.open(folder / row.path) as photo, Image.open(folder / row.mask) as mask:
            assert (photo.format, photo.mode, mask.format, mask.mode) == ("JPEG", "RGB", "PNG", "L")
            assert mask.size == (96, 96)
            assert set(np.unique(np.asarray(mask))) <= {0, 255}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_photos(tmp_path):
    options = {"subjects_per_class": 2, "photos_per_subject": 2, "size": 48}
    frames = [
        synthetic.generate(tmp_path / name, **options, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1])
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert len(first) == 32
    assert first == again
    assert all(first[path] != other[path] for path in frames[0]["path"])


def test_a_photo_does_not_depend_on_how_many_others_are_made(tmp_path):
    synthetic.generate(tmp_path / "few", subjects_per_class=1, photos_per_subject=1, size=48, seed=3)
    synthetic.generate(tmp_path / "many", subjects_per_class=3, photos_per_subject=2, size=48, seed=3)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    assert len(few) == 8
    assert few.items() <= many.items()


def test_no_two_photos_are_the_same(made):
    folder, frame = made
    assert len({(folder / path).read_bytes() for path in frame["path"]}) == len(frame)


def test_only_lesion_classes_have_a_mask(made):
    folder, frame = made
    share = frame["mask"].map(lambda path: (pixels(folder / path) > 0).mean())
    healthy = frame["label"] == "healthy"
    assert (share[healthy] == 0).all()
    assert share[~healthy].between(0.001, 0.5).all()


@pytest.mark.parametrize("label", ["mpox", "chickenpox", "acne"])
def test_skin_inside_the_mask_stands_out_from_its_surroundings(made, label):
    folder, frame = made
    rows = frame[frame["label"] == label]
    masks = [pixels(folder / path) > 0 for path in rows["mask"]]
    own, others = [], []
    for index, path in enumerate(rows["path"]):
        photo = pixels(folder / path)
        detail = np.abs(photo - ndimage.gaussian_filter(photo, (9, 9, 0))).sum(-1)
        for mask, found in ((masks[index], own), (masks[(index + 1) % len(masks)], others)):
            found.append(detail[mask].mean() / detail[~masks[index]].mean())
    # A mask of another photo hits lesions by chance only: were masks shifted or mixed up, both would look like that.
    assert np.mean(np.array(own) > np.array(others)) >= 0.9
    assert np.median(own) > 1.5


def test_skin_tones_are_spread_alike_over_the_classes(made):
    folder, frame = made
    skin = np.array(
        [np.median(pixels(folder / row.path)[pixels(folder / row.mask) == 0], axis=0) for row in frame.itertuples()]
    )
    for channel in skin.T:
        by_class = [channel[frame["label"] == label] for label in synthetic.CLASSES]
        # Subjects of one number have the same tone in every class, so a matched test finds even a small difference.
        assert stats.friedmanchisquare(*by_class).pvalue > 0.05
        assert all(values.max() - values.min() > 50 for values in by_class), "light to dark skin in every class"


def test_photos_of_one_subject_share_the_skin(tmp_path):
    frame = synthetic.generate(tmp_path, subjects_per_class=6, photos_per_subject=3, size=48, seed=0)
    frame["green"] = frame["path"].map(lambda path: np.median(pixels(tmp_path / path)[..., 1]))
    within = frame.groupby("subject")["green"].std().mean()
    between = frame.groupby("subject")["green"].mean().std()
    assert between > 1.5 * within


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"subjects_per_class": 0}, "subjects_per_class is 0"),
        ({"photos_per_subject": -1}, "photos_per_subject is -1"),
        ({"photos_per_subject": True}, "photos_per_subject is True"),
        ({"size": 16}, "size is 16: give a whole number, 32 to 2048"),
        ({"size": 5000}, "size is 5000"),
        ({"size": 64.0}, "size is 64.0"),
        ({"seed": -3}, "seed is -3"),
        ({"seed": "7"}, "seed is '7'"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, options, named):
    with pytest.raises(UserError, match=named) as caught:
        synthetic.generate(tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        synthetic.generate(tmp_path / "file", subjects_per_class=1, photos_per_subject=1, size=32)
