"""The built-in data set: a seeded generator of skin patches with lesions, to try everything without photos.

The pictures are SYNTHETIC. They are not medical images, show no real person, and a model trained on them knows nothing
about disease. What each class looks like follows, loosely, the public clinical descriptions of the WHO and the CDC:

* mpox: a few to some larger, firm, well-circumscribed pustules, all at the same stage, dimpled in the centre
  (umbilicated), some crusting, each with a reddish halo;
* chickenpox: many small lesions in crops, at different stages side by side: papules, clear vesicles on an irregular
  red base ("dew drop on a rose petal"), crusts;
* acne: clusters of white and black comedones, inflamed papules and pustules with a yellowish tip, on blotchy oily skin;
* healthy: none of these.

Everything else (skin tone, body site, moles, freckles, hairs, blotches, light, camera) is drawn alike for all classes.
Skin is kept as layers: melanin and blood as optical densities, relief in pixels, and coverings (pus, crust).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from mpox.errors import UserError

Layer = NDArray[np.float32]  # (size, size), or a window of it
Pixels = NDArray[np.uint8]
Window = tuple[slice, slice]
Patch = tuple[Window, Layer]
Traits = dict[str, float]

VERSION = 1  # names the cached copy: raise it whenever the pictures change
CLASSES = ("mpox", "chickenpox", "acne", "healthy")  # the order seeds the generators: append only
JPEG_QUALITY = 92
# Photo side in pixels: below, lesions are single pixels; above, a photo takes seconds.
SMALLEST, LARGEST = 32, 2048
REFERENCE = 256.0  # lengths below are in pixels of a photo of this side
GOLDEN = 0.6180339887  # the additive sequence of this step covers [0, 1) evenly, however many terms are taken

# Linear RGB reflectance of the lightest skin, and how melanin (0 light, 1 dark) and blood (0 none, 1 inflamed) absorb.
LIGHTEST = np.array([0.86, 0.62, 0.49], np.float32)
MELANIN = np.array([2.3, 3.0, 3.6], np.float32)
BLOOD = np.array([0.22, 1.05, 0.90], np.float32)
PUS = np.array([0.82, 0.68, 0.38], np.float32)  # linear RGB under unpigmented skin
CRUST = np.array([0.13, 0.05, 0.025], np.float32)
AMBIENT = 0.4  # share of the light that comes from all sides
VEIL = 0.55  # share of the skin's melanin that lies above pus

# What the photos of one subject share, each drawn evenly from its range, alike for all classes; and its skin tone.
TRAITS = {
    "flush": (0.05, 0.3),  # blood of the unaffected skin
    "blotch": (0.0, 0.3),  # strength of unspecific redness
    "oil": (0.03, 0.32),  # strength of highlights
    "line_scale": (1.8, 3.6),  # coarseness of the skin lines
    "line_depth": (0.05, 0.35),
    "line_angle": (0.0, np.pi),  # radians
    "pore_depth": (0.05, 0.5),
    "freckles": (0.0, 30.0),  # how many to expect in a photo; so moles, angiomas, scars, hairs
    "moles": (0.0, 2.5),
    "angiomas": (-1.0, 3.0),  # below 0: none
    "scars": (-1.0, 2.5),
    "hairs": (-10.0, 18.0),
    "contrast": (0.35, 0.95),  # how strongly lesions show; the rest of the lesion traits are the class's own
    "stage": (0.0, 1.0),  # 0 fresh to 1 crusting
}
# Harmless spots: smallest and largest radius, then what they add in melanin, blood and height (a share of the radius).
SPOTS = {
    "freckles": (0.8, 2.4, 0.2, 0.1, 0.0),
    "moles": (2.5, 6.0, 0.5, 0.25, 0.25),
    "angiomas": (2.0, 4.0, 0.1, 1.2, 0.2),
    "scars": (3.0, 11.0, -0.16, -0.2, -0.03),
}
# Lesions in a photo and their radius; photos and lesions vary further around the subject's value.
COUNTS = {"mpox": (3, 12), "chickenpox": (10, 32), "acne": (10, 32), "healthy": (0, 0)}
RADII = {"mpox": (8.0, 14.0), "chickenpox": (6.0, 9.5), "acne": (5.5, 9.5), "healthy": (0.0, 0.0)}


@dataclass
class _Skin:
    """Layers of one photo, each (size, size) float32; `unit` is pixels a reference pixel at this zoom."""

    unit: float
    melanin: Layer
    blood: Layer
    height: Layer
    gloss: Layer
    pus: Layer
    crust: Layer
    mask: NDArray[np.bool_]


def generate(
    folder: Path, *, subjects_per_class: int = 20, photos_per_subject: int = 3, size: int = 256, seed: int = 0
) -> pd.DataFrame:
    """Write the photos and lesion masks of the synthetic data set into `folder` and list them.

    Writes `<class>/<subject>_<nn>.jpg`, RGB, `size` x `size` pixels, and `masks/<class>/<subject>_<nn>.png`, 8-bit grey
    of the same size, 255 on lesions (their red halo excluded) and 0 elsewhere, for the classes of CLASSES and subjects
    such as `mpox-s003`. A photo depends on (seed, class, subject, photo, size) alone: with the same library versions
    its bytes are the same whatever else is generated. Files already there under these names are overwritten.

    Returns one row a photo, sorted by path, with the str columns path, label, subject and mask; paths are POSIX and
    relative to `folder`. Raises UserError for a count below 1, a size outside SMALLEST..LARGEST, a negative seed, or a
    `folder` that is a file; OSError where it cannot be written.
    """
    _check("subjects_per_class", subjects_per_class, 1)
    _check("photos_per_subject", photos_per_subject, 1)
    _check("size", size, SMALLEST, LARGEST)
    _check("seed", seed, 0)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder for the synthetic photos")
    rows = []
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / "masks" / label).mkdir(parents=True, exist_ok=True)
        for number in range(1, subjects_per_class + 1):
            traits = _draw_traits(label, number, seed)
            for photo in range(1, photos_per_subject + 1):
                pixels, mask = _draw_photo(label, traits, _generator(seed, label, number, photo), size)
                name = f"{label}-s{number:03d}_{photo:02d}"
                row = {"path": f"{label}/{name}.jpg", "label": label, "subject": f"{label}-s{number:03d}"}
                row["mask"] = f"masks/{label}/{name}.png"
                Image.fromarray(pixels).save(folder / row["path"], quality=JPEG_QUALITY)
                Image.fromarray(mask).save(folder / row["mask"])
                rows.append(row)
    return pd.DataFrame(rows).sort_values("path", ignore_index=True)


def _check(name: str, value: Any, low: int, high: int | None = None) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"{low} to {high}"
        raise UserError(f"synthetic photos: {name} is {value!r}: give a whole number, {allowed}")


def _generator(seed: int, label: str, subject: int, photo: int) -> np.random.Generator:
    """The random stream of one photo, or of the subject itself for photo 0."""
    return np.random.default_rng(np.random.SeedSequence([seed, CLASSES.index(label), subject, photo]))


def _draw_traits(label: str, subject: int, seed: int) -> Traits:
    rng = _generator(seed, label, subject, 0)
    ranges = TRAITS | {"count": COUNTS[label], "radius": RADII[label], "jitter": (-0.02, 0.02)}
    traits = {name: rng.uniform(*bounds) for name, bounds in ranges.items()}
    # Not random by class: every class walks through the same tones, so that tone cannot tell classes apart by chance.
    start = np.random.default_rng(seed).random()
    return traits | {"tone": (start + subject * GOLDEN + traits["jitter"]) % 1.0}


def _draw_photo(label: str, traits: Traits, rng: np.random.Generator, size: int) -> tuple[Pixels, Pixels]:
    """One photo (size, size, 3) and its mask (size, size), both uint8."""
    skin = _bare_skin(traits, rng, size)
    _add_spots(skin, traits, rng)
    if label in DRAWERS:
        DRAWERS[label](skin, traits, rng)
    light = _shine(skin, _reflectance(skin), rng)
    return _photograph(light * _hairs(traits, rng, size)[..., None], traits, rng), skin.mask.astype(np.uint8) * 255


def _field(rng: np.random.Generator, size: int, scale: float, stretch: float = 1.0, angle: float = 0.0) -> Layer:
    """Smooth noise (size, size), mean 0 and variance 1; `scale` in pixels, longer by `stretch` along `angle`."""
    y, x = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    gain = np.exp(-2 * np.pi**2 * scale**2 * ((along * stretch) ** 2 + across**2)).astype(np.float32)
    gain[0, 0] = 0.0
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size), np.float32)) * gain, s=(size, size))
    return np.asarray(noise / max(float(noise.std()), 1e-12), np.float32)


def _grid(size: int) -> Layer:
    """The coordinates y and x of all pixels, (2, size, size), -0.5 to 0.5."""
    return ((np.mgrid[:size, :size] + 0.5) / size - 0.5).astype(np.float32)


def _bare_skin(traits: Traits, rng: np.random.Generator, size: int) -> _Skin:
    unit = size / REFERENCE * rng.uniform(0.85, 1.2)
    angle = traits["line_angle"] + rng.uniform(-0.5, 0.5)
    height = np.zeros((size, size), np.float32)
    for turn in (0.0, rng.uniform(0.9, 1.4)):  # furrows cross in lozenges: the zero lines of two stretched fields
        lines = _field(rng, size, traits["line_scale"] * unit, 2.5, angle + turn)
        height -= traits["line_depth"] * unit * np.exp(-((lines / 0.3) ** 2))
    height -= traits["pore_depth"] * unit * np.clip(_field(rng, size, 1.1 * unit) - 1.3, 0, 1.5)
    blotches = np.clip(_field(rng, size, rng.uniform(12, 40) * unit), 0, 2)
    melanin = traits["tone"] + 0.02 * _field(rng, size, 14 * unit) + 0.008 * _field(rng, size, 2.0 * unit)
    blood = traits["flush"] + 0.05 * _field(rng, size, 9 * unit) + traits["blotch"] * blotches
    oil = traits["oil"] * np.clip(1 + 0.35 * _field(rng, size, 25 * unit), 0, None)
    pus, crust = np.zeros((2, size, size), np.float32)
    return _Skin(unit, melanin, blood, height, oil, pus, crust, np.zeros((size, size), bool))


def _patch(skin: _Skin, rng: np.random.Generator, y: float, x: float, radius: float, rough: float) -> Patch:
    """The window around a spot and the distance from its centre there: 0 centre, 1 the outline, uneven by `rough`."""
    size, reach = skin.mask.shape[0], 2.3 * radius * (1 + 1.7 * rough) + 2
    rows = slice(max(0, int(y - reach)), min(size, int(y + reach) + 1))
    columns = slice(max(0, int(x - reach)), min(size, int(x + reach) + 1))
    dy, dx = np.mgrid[rows, columns].astype(np.float32) - np.array([y, x], np.float32)[:, None, None]
    theta, outline = np.arctan2(dy, dx), np.ones(dy.shape, np.float32)
    for wave in (2, 3, 5):
        outline += rough * rng.uniform(0.3, 1.0) / np.sqrt(wave) * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    return (rows, columns), (np.hypot(dy, dx) / (radius * np.maximum(outline, 0.3))).astype(np.float32)


def _inside(r: Layer, edge: float, soft: float) -> Layer:
    """1 inside the distance `edge`, 0 outside, smooth over about `soft`."""
    return 1 / (1 + np.exp(np.clip((r - edge) / (0.25 * soft), -30, 30)))


def _cover(layer: Layer, window: Window, alpha: Layer) -> None:
    layer[window] = np.maximum(layer[window], alpha)


def _add_spots(skin: _Skin, traits: Traits, rng: np.random.Generator) -> None:
    """Freckles, moles, cherry angiomas and small pale scars: every class has them."""
    size = skin.mask.shape[0]
    for name, (small, large, melanin, blood, lift) in SPOTS.items():
        for _ in range(rng.poisson(max(0.0, traits[name]))):
            y, x = rng.uniform(0, size, 2)
            radius, strength = rng.uniform(small, large) * skin.unit, rng.uniform(0.5, 1.0)
            window, r = _patch(skin, rng, y, x, radius, 0.2)
            spot = strength * _inside(r, 0.9, 0.6)
            skin.melanin[window] += melanin * spot
            skin.blood[window] += blood * spot
            skin.height[window] += lift * strength * radius * np.clip(1 - r**2, 0, 1)


def _places(rng: np.random.Generator, size: int, number: int, apart: float) -> NDArray[np.float64]:
    """`number` centres (number, 2) inside the photo, `apart` pixels from each other where a few tries allow it."""
    chosen: list[NDArray[np.float64]] = []
    for _ in range(number):
        for _ in range(12):
            point = rng.uniform(0.06 * size, 0.94 * size, 2)
            if all(np.hypot(*(point - other)) > apart for other in chosen):
                break
        chosen.append(point)
    return np.array(chosen)


def _number(traits: Traits, rng: np.random.Generator) -> int:
    return max(1, round(traits["count"] * rng.uniform(0.65, 1.35)))


def _draw_mpox(skin: _Skin, traits: Traits, rng: np.random.Generator) -> None:
    middle, ripe = traits["radius"] * skin.unit, np.clip(0.25 + 2 * traits["stage"], 0, 1)
    for y, x in _places(rng, skin.mask.shape[0], _number(traits, rng), 2.6 * middle):
        radius, strength = middle * rng.uniform(0.75, 1.25), traits["contrast"] * rng.uniform(0.8, 1.1)
        window, r = _patch(skin, rng, y, x, radius, 0.1)
        dimple = np.exp(-((r / rng.uniform(0.2, 0.32)) ** 2))
        skin.height[window] += strength * radius * (0.55 * np.clip(1 - r**4, 0, 1) - rng.uniform(0.15, 0.4) * dimple)
        skin.blood[window] += strength * (0.5 * _inside(r, 1.0, 0.3) + 0.7 * np.exp(-(((r - 1.05) / 0.4) ** 2)))
        _cover(skin.pus, window, 0.55 * ripe * strength * _inside(r, 0.8, 0.35) * (1 - 0.7 * dimple))
        scab = _inside(r, 0.2 + 0.35 * traits["stage"], 0.3)
        _cover(skin.crust, window, 0.85 * np.clip(2 * traits["stage"] - 0.7, 0, 1) * strength * scab)
        skin.gloss[window] += 0.15 * strength * _inside(r, 0.9, 0.3) * (1 - dimple)
        skin.mask[window] |= r < 1


def _draw_chickenpox(skin: _Skin, traits: Traits, rng: np.random.Generator) -> None:
    middle = traits["radius"] * skin.unit
    for y, x in _places(rng, skin.mask.shape[0], _number(traits, rng), 1.7 * middle):
        radius, strength = middle * rng.uniform(0.55, 1.35), traits["contrast"] * rng.uniform(0.7, 1.15)
        window, r = _patch(skin, rng, y, x, radius, 0.16)
        skin.blood[window] += 0.95 * strength * _inside(r, 0.9, 0.5)
        stage = rng.random()  # each lesion its own: crops of different age lie side by side
        if stage < 0.3:  # papule
            skin.height[window] += 0.3 * strength * radius * np.clip(1 - r**2, 0, 1)
        elif stage < 0.75:  # vesicle, clear to cloudy
            drop = _inside(r, 0.58, 0.2)
            skin.height[window] += 0.5 * strength * radius * np.clip(1 - (r / 0.65) ** 2, 0, 1)
            skin.blood[window] -= 0.5 * strength * drop
            skin.gloss[window] += 1.2 * strength * drop
            _cover(skin.pus, window, rng.uniform(0.05, 0.5) * strength * drop)
        else:  # crust
            skin.height[window] += 0.2 * radius * np.clip(1 - (r / 0.6) ** 4, 0, 1)
            _cover(skin.crust, window, 0.85 * strength * _inside(r, 0.5, 0.3))
        skin.mask[window] |= r < 1


def _draw_acne(skin: _Skin, traits: Traits, rng: np.random.Generator) -> None:
    size, middle = skin.mask.shape[0], traits["radius"] * skin.unit
    centres = rng.uniform(0.2 * size, 0.8 * size, (rng.integers(1, 5), 2))
    for y, x in centres:  # oily, blotchy ground of each cluster
        window, r = _patch(skin, rng, y, x, rng.uniform(0.12, 0.22) * size, 0.3)
        skin.blood[window] += 0.25 * traits["contrast"] * np.exp(-(r**2))
        skin.gloss[window] += 0.3 * np.exp(-(r**2))
    for _ in range(_number(traits, rng)):
        spread = rng.normal(0, 0.15 * size, 2)
        y, x = np.clip(centres[rng.integers(len(centres))] + spread, 0.05 * size, 0.95 * size)
        strength, kind = traits["contrast"] * rng.uniform(0.7, 1.15), rng.random()
        radius = middle * (rng.uniform(0.22, 0.38) if kind < 0.45 else rng.uniform(0.6, 1.5))
        window, r = _patch(skin, rng, y, x, radius, 0.12)
        bump = radius * np.exp(-2 * r**2)
        if kind < 0.22:  # blackhead
            skin.melanin[window] += 0.7 * strength * _inside(r, 0.7, 0.5)
        elif kind < 0.45:  # whitehead
            skin.height[window] += 0.5 * strength * bump
            _cover(skin.pus, window, 0.6 * strength * _inside(r, 0.75, 0.5))
        else:  # inflamed papule; many with a yellowish tip
            skin.height[window] += 0.5 * strength * bump
            skin.blood[window] += 1.1 * strength * np.exp(-1.3 * r**2)
            if kind > 0.7:
                _cover(skin.pus, window, 0.8 * strength * _inside(r, rng.uniform(0.3, 0.5), 0.3))
        skin.mask[window] |= r < 1


DRAWERS: dict[str, Callable[[_Skin, Traits, np.random.Generator], None]] = {
    "mpox": _draw_mpox,
    "chickenpox": _draw_chickenpox,
    "acne": _draw_acne,
}


def _reflectance(skin: _Skin) -> Layer:
    """Colour of the skin in even light, (size, size, 3) linear RGB in 0..1."""
    melanin, blood = np.clip(skin.melanin, 0, 1.6)[..., None], np.clip(skin.blood, 0, 1.8)[..., None]
    colour = LIGHTEST * np.exp(-MELANIN * melanin - BLOOD * blood)
    for alpha, cover in ((skin.pus, PUS * np.exp(-VEIL * MELANIN * melanin)), (skin.crust, CRUST)):
        colour += alpha[..., None] * (cover - colour)
    return colour


def _shine(skin: _Skin, colour: Layer, rng: np.random.Generator) -> Layer:
    """Light the relief from one side: shading, highlights, the falloff over a curved body. Linear RGB, from 0."""
    size = skin.mask.shape[0]
    azimuth, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.9)  # radians; tilt from straight above
    lamp = np.array([np.sin(azimuth) * np.sin(tilt), np.cos(azimuth) * np.sin(tilt), np.cos(tilt)], np.float32)
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(skin.height, 0.6 * skin.unit))
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    direct = np.clip((lamp[2] - slope_y * lamp[0] - slope_x * lamp[1]) / length, 0, None) / lamp[2]
    shade = AMBIENT + (1 - AMBIENT) * direct
    half = lamp + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    facing = np.clip((half[2] - slope_y * half[0] - slope_x * half[1]) / length, 0, 1)
    y, x = _grid(size)
    bend = rng.uniform(0, np.pi)
    falloff = 1 + rng.uniform(0, 0.5) * (x * lamp[1] + y * lamp[0])
    falloff -= rng.uniform(0, 0.9) * (x * np.cos(bend) + y * np.sin(bend)) ** 2
    falloff += 0.04 * _field(rng, size, 0.2 * size)
    away, across = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3)  # half of the photos: the shadow of hand or phone
    edge = _inside(x * np.cos(away) + y * np.sin(away), across, rng.uniform(0.05, 0.4))
    falloff *= 1 - max(0.0, rng.uniform(-0.5, 0.5)) * edge
    glint = 0.45 * np.clip(skin.gloss, 0, 1.4) * facing ** rng.uniform(25, 60)
    return (colour * shade[..., None] + glint[..., None]) * falloff[..., None]


def _hairs(traits: Traits, rng: np.random.Generator, size: int) -> Layer:
    """Light that body hairs let through, (size, size) in 0..1."""
    drawn = Image.new("L", (3 * size, 3 * size), 255)  # three times as large, for smooth thin lines
    brush, growth = ImageDraw.Draw(drawn), rng.uniform(0, 2 * np.pi)
    steps = np.linspace(0, 1, 9)
    for _ in range(rng.poisson(max(0.0, traits["hairs"]))):
        start, length = rng.uniform(0, 3 * size, 2), rng.uniform(0.1, 0.35) * 3 * size
        course = growth + rng.normal(0, 0.35) + rng.normal(0, 0.6) * steps
        points = start + np.cumsum(np.stack([np.cos(course), np.sin(course)], 1), 0) * length / len(steps)
        brush.line([tuple(point) for point in points], int(rng.uniform(50, 180)), max(1, round(3 * size / REFERENCE)))
    return np.asarray(drawn.reduce(3), np.float32) / np.float32(255)


def _photograph(light: Layer, traits: Traits, rng: np.random.Generator) -> Pixels:
    """What a phone makes of linear RGB light: lens, exposure, white balance, noise, display encoding."""
    size = light.shape[0]
    y, x = _grid(size)
    light = light * (1 - rng.uniform(0, 0.5) * (x**2 + y**2))[..., None]
    light = ndimage.gaussian_filter(light, (*[rng.uniform(0.35, 0.9) * size / REFERENCE] * 2, 0))
    # The camera half compensates a dark or light subject, judged by the tone: lesions must not change the exposure.
    usual = float((LIGHTEST * np.exp(-MELANIN * traits["tone"] - BLOOD * 0.2)).mean())
    light *= (0.34 / usual) ** 0.35 * rng.uniform(0.75, 1.2)
    warmth, tint = rng.normal(0, 0.09), rng.normal(0, 0.03)
    light *= np.exp(np.array([warmth, tint, -warmth], np.float32))
    grain = rng.uniform(0.003, 0.012) * np.sqrt(np.clip(light, 0.02, None))  # shot noise grows with the light
    light += grain * rng.standard_normal(light.shape, np.float32)
    encoded = np.clip(light, 0, 1) ** (1 / 2.2)
    return (encoded * 255 + 0.5).astype(np.uint8)
