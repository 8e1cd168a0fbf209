import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter
from sklearn.neighbors import NearestNeighbors

from mpox.curation import quality, skin
from mpox.curation.measures import balance_findings, quality_findings
from mpox.curation.thresholds import QualityThresholds

FINE = {
    "photo_id": "s/1",
    "label": "a",
    "source": "s",
    "width": 224,
    "height": 224,
    "sharpness": 0.5,
    "bright_share": 0.0,
    "dark_share": 0.0,
    "border_share": 0.0,
    "text_share": 0.0,
    "colourfulness": 30.0,
    "skin_share": 0.9,
    "unlike": 0.0,
}


def textured(seed: int = 0, size: int = 224) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(90, 180, (20, 20)).astype(np.uint8)).resize((size, size), 3)
    return np.clip(np.asarray(coarse) + rng.normal(0, 8, (size, size)), 40, 220).astype(np.uint8)


def test_blur_lowers_sharpness_whatever_the_contrast() -> None:
    grey = Image.fromarray(textured())
    steps = [quality.sharpness(np.asarray(grey.filter(ImageFilter.GaussianBlur(sd)))) for sd in (0, 1, 2, 4)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 0.5 > 0.3 > steps[-1]
    flat = (textured() // 4 + 90).astype(np.uint8)
    assert quality.sharpness(flat) == pytest.approx(steps[0], abs=0.1)
    assert quality.sharpness(np.full((50, 50), 7, np.uint8)) == 0


def test_exposure_leaves_padding_out() -> None:
    grey = textured()
    grey[60:160, 60:116] = 255
    assert quality.exposure(grey) == (pytest.approx(100 * 56 / 224**2), 0)
    padded = textured()
    padded[:80] = 0
    assert quality.exposure(padded) == (0, 0)
    assert quality.exposure(np.zeros((9, 9), np.uint8)) == (0, 0)


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_bars_are_borders_of_any_tone(tone: int) -> None:
    grey = textured()
    assert quality.border_share(grey) < 0.01
    grey[:28] = grey[-28:] = tone
    assert quality.border_share(grey) == pytest.approx(0.25, abs=0.02)
    assert quality.border_share(np.rot90(grey)) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("ink", [0, 255])
def test_a_caption_is_text(ink: int) -> None:
    photo = Image.fromarray(textured()).filter(ImageFilter.GaussianBlur(2))
    assert quality.text_share(np.asarray(photo)) < 0.5
    ImageDraw.Draw(photo).text((20, 100), "SHUTTERSTOCK IMAGES", fill=ink, font_size=16)
    assert quality.text_share(np.asarray(photo)) >= 0.8


def test_colourfulness_of_grey_and_of_a_known_picture() -> None:
    grey = np.repeat(textured()[..., None], 3, axis=2)
    assert quality.colourfulness(grey) == 0
    halves = np.zeros((10, 10, 3), np.uint8)
    halves[:, :5, 0], halves[:, 5:, 1] = 100, 100
    # red - green is +-100: sd 100, mean 0; (red + green) / 2 - blue is 50 throughout.
    assert quality.colourfulness(halves) == pytest.approx(100 + 0.3 * 50)


def test_unlikeness_ranks_by_the_distance_to_the_fifth_neighbour() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(1, 0.2, (40, 6))
    rows[7] = -1
    distances, _ = NearestNeighbors(n_neighbors=6, metric="cosine").fit(rows).kneighbors(rows)
    ours = quality.unlikeness(rows)
    assert np.array_equal(np.argsort(ours), np.argsort(distances[:, 5]))
    assert ours.argmax() == 7
    assert ours[7] > 3
    assert np.median(ours) == pytest.approx(0, abs=1e-6)
    assert not quality.unlikeness(rows[:8]).any()


@pytest.mark.parametrize(
    ("colour", "name"),
    [((246, 220, 205), "very light"), ((214, 170, 140), "light"), ((150, 100, 70), "brown"), ((75, 45, 30), "dark")],
)
def test_ita_is_the_angle_of_its_definition(colour: tuple[int, int, int], name: str) -> None:
    linear = np.array(colour) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    _, y, z = np.cbrt(matrix @ linear / [0.95047, 1.0, 1.08883])  # all above Lab's linear part
    angle = np.degrees(np.arctan2(116 * y - 16 - 50, 200 * (y - z)))
    photo = np.full((16, 16, 3), colour, np.uint8)
    photo[:4] = (20, 90, 200)
    assert skin.skin_pixels(photo).mean() == 0.75
    assert skin.ita(photo) == pytest.approx(angle, abs=0.5)
    assert skin.ita_bin(skin.ita(photo)) == name


def test_no_skin_has_no_tone() -> None:
    assert np.isnan(skin.ita(np.full((8, 8, 3), (20, 90, 200), np.uint8)))
    assert skin.ita_bin(float("nan")) == ""
    assert [skin.ita_bin(angle) for angle in (56, 55, 41, 28, 10, -30)] == [
        *("very light", "light", "intermediate", "tan", "brown", "dark"),
    ]


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        ("too_small", {"height": 100}),
        ("blurred", {"sharpness": 0.1}),
        ("overexposed", {"bright_share": 0.4}),
        ("underexposed", {"dark_share": 0.7}),
        ("border", {"border_share": 0.3}),
        ("text", {"text_share": 0.9}),
        ("grey", {"colourfulness": 1.0}),
        ("not_skin", {"skin_share": 0.05, "unlike": 2.2}),
        ("not_skin", {"unlike": 3.0}),
    ],
)
def test_a_measure_beyond_its_limit_is_a_finding(kind: str, odd: dict[str, float]) -> None:
    measured = pd.DataFrame([FINE, {**FINE, **odd, "photo_id": "s/2"}])
    (row,) = quality_findings(measured, QualityThresholds())
    assert (row["photo_id"], row["kind"]) == ("s/2", kind)


def test_little_skin_alone_is_no_finding() -> None:
    assert not quality_findings(pd.DataFrame([{**FINE, "skin_share": 0.05}]), QualityThresholds())
    assert not quality_findings(pd.DataFrame([{**FINE, "unlike": 2.2}]), QualityThresholds())


def test_what_tells_a_class_is_said() -> None:
    rows = [{**FINE, "photo_id": f"s/{k}", "label": "a" if k < 10 else "b"} for k in range(50)]
    findings = [{"photo_id": f"s/{k}", "kind": "border"} for k in range(5)]
    texts = [row["evidence"] for row in balance_findings(pd.DataFrame(rows), findings, QualityThresholds())]
    assert texts == [
        "class b (40) has 4.0 times the photos of a (10)",
        "border: 50% of a, 0% of the rest: it may give the class away",
    ]
    for row in rows[:10]:
        row["source"] = "t"
    texts = [row["evidence"] for row in balance_findings(pd.DataFrame(rows), [], QualityThresholds())]
    assert any("all 10 of a come from t" in text for text in texts)
