"""The skin of the synthetic photos, and the light and the camera that make a picture of it (see `synthetic.py`).

Skin is kept as layers: melanin and blood as optical densities, relief in pixels, and coverings (pus, crust). Each
function draws from the generator it is given in a fixed order, so that a seed names a picture to the byte.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Layer = NDArray[np.float32]  # (size, size), or a window of it
Pixels = NDArray[np.uint8]
Window = tuple[slice, slice]
Patch = tuple[Window, Layer]
Traits = dict[str, float]

REFERENCE = 256.0  # lengths are in pixels of a photo of this side
# Linear RGB reflectance of the lightest skin, and how melanin (0 light, 1 dark) and blood (0 none, 1 inflamed) absorb.
LIGHTEST = np.array([0.86, 0.62, 0.49], np.float32)
MELANIN = np.array([2.3, 3.0, 3.6], np.float32)
BLOOD = np.array([0.22, 1.05, 0.90], np.float32)
PUS = np.array([0.82, 0.68, 0.38], np.float32)  # linear RGB under unpigmented skin
CRUST = np.array([0.13, 0.05, 0.025], np.float32)
AMBIENT = 0.4  # share of the light that comes from all sides
VEIL = 0.55  # share of the skin's melanin that lies above pus
# Harmless spots: smallest and largest radius, then what they add in melanin, blood and height (a share of the radius).
SPOTS = {
    "freckles": (0.8, 2.4, 0.2, 0.1, 0.0),
    "moles": (2.5, 6.0, 0.5, 0.25, 0.25),
    "angiomas": (2.0, 4.0, 0.1, 1.2, 0.2),
    "scars": (3.0, 11.0, -0.16, -0.2, -0.03),
}


@dataclass
class Skin:
    """Layers of one photo, each (size, size) float32; `unit` is pixels a reference pixel at this zoom."""

    unit: float
    melanin: Layer
    blood: Layer
    height: Layer
    gloss: Layer
    pus: Layer
    crust: Layer
    mask: NDArray[np.bool_]


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


def bare_skin(traits: Traits, rng: np.random.Generator, size: int) -> Skin:
    """Unaffected skin: furrows, pores, blotches, tone and oil, (size, size) each."""
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
    return Skin(unit, melanin, blood, height, oil, pus, crust, np.zeros((size, size), bool))


def patch(skin: Skin, rng: np.random.Generator, y: float, x: float, radius: float, rough: float) -> Patch:
    """The window around a spot and the distance from its centre there: 0 centre, 1 the outline, uneven by `rough`."""
    size, reach = skin.mask.shape[0], 2.3 * radius * (1 + 1.7 * rough) + 2
    rows = slice(max(0, int(y - reach)), min(size, int(y + reach) + 1))
    columns = slice(max(0, int(x - reach)), min(size, int(x + reach) + 1))
    dy, dx = np.mgrid[rows, columns].astype(np.float32) - np.array([y, x], np.float32)[:, None, None]
    theta, outline = np.arctan2(dy, dx), np.ones(dy.shape, np.float32)
    for wave in (2, 3, 5):
        outline += rough * rng.uniform(0.3, 1.0) / np.sqrt(wave) * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    return (rows, columns), (np.hypot(dy, dx) / (radius * np.maximum(outline, 0.3))).astype(np.float32)


def inside(r: Layer, edge: float, soft: float) -> Layer:
    """1 inside the distance `edge`, 0 outside, smooth over about `soft`."""
    return 1 / (1 + np.exp(np.clip((r - edge) / (0.25 * soft), -30, 30)))


def cover(layer: Layer, window: Window, alpha: Layer) -> None:
    """Lay `alpha` (0..1) over the window of `layer` where it covers more than what is there."""
    layer[window] = np.maximum(layer[window], alpha)


def add_spots(skin: Skin, traits: Traits, rng: np.random.Generator) -> None:
    """Freckles, moles, cherry angiomas and small pale scars: every class has them."""
    size = skin.mask.shape[0]
    for name, (small, large, melanin, blood, lift) in SPOTS.items():
        for _ in range(rng.poisson(max(0.0, traits[name]))):
            y, x = rng.uniform(0, size, 2)
            radius, strength = rng.uniform(small, large) * skin.unit, rng.uniform(0.5, 1.0)
            window, r = patch(skin, rng, y, x, radius, 0.2)
            spot = strength * inside(r, 0.9, 0.6)
            skin.melanin[window] += melanin * spot
            skin.blood[window] += blood * spot
            skin.height[window] += lift * strength * radius * np.clip(1 - r**2, 0, 1)


def reflectance(skin: Skin) -> Layer:
    """Colour of the skin in even light, (size, size, 3) linear RGB in 0..1."""
    melanin, blood = np.clip(skin.melanin, 0, 1.6)[..., None], np.clip(skin.blood, 0, 1.8)[..., None]
    colour = LIGHTEST * np.exp(-MELANIN * melanin - BLOOD * blood)
    for alpha, cover in ((skin.pus, PUS * np.exp(-VEIL * MELANIN * melanin)), (skin.crust, CRUST)):
        colour += alpha[..., None] * (cover - colour)
    return colour


def shine(skin: Skin, colour: Layer, rng: np.random.Generator) -> Layer:
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
    edge = inside(x * np.cos(away) + y * np.sin(away), across, rng.uniform(0.05, 0.4))
    falloff *= 1 - max(0.0, rng.uniform(-0.5, 0.5)) * edge
    glint = 0.45 * np.clip(skin.gloss, 0, 1.4) * facing ** rng.uniform(25, 60)
    return (colour * shade[..., None] + glint[..., None]) * falloff[..., None]


def hairs(traits: Traits, rng: np.random.Generator, size: int) -> Layer:
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


def photograph(light: Layer, traits: Traits, rng: np.random.Generator) -> Pixels:
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
