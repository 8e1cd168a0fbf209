"""The lesions of the synthetic photos: the only difference between the classes (see `synthetic.py`)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mpox.data.synthetic_skin import Skin, Traits, cover, inside, patch

# Lesions in a photo and their radius in reference pixels; photos and lesions vary further around the subject's value.
COUNTS = {"mpox": (3, 12), "chickenpox": (10, 32), "acne": (10, 32), "healthy": (0, 0)}
RADII = {"mpox": (8.0, 14.0), "chickenpox": (6.0, 9.5), "acne": (5.5, 9.5), "healthy": (0.0, 0.0)}


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


def _draw_mpox(skin: Skin, traits: Traits, rng: np.random.Generator) -> None:
    middle, ripe = traits["radius"] * skin.unit, np.clip(0.25 + 2 * traits["stage"], 0, 1)
    for y, x in _places(rng, skin.mask.shape[0], _number(traits, rng), 2.6 * middle):
        radius, strength = middle * rng.uniform(0.75, 1.25), traits["contrast"] * rng.uniform(0.8, 1.1)
        window, r = patch(skin, rng, y, x, radius, 0.1)
        dimple = np.exp(-((r / rng.uniform(0.2, 0.32)) ** 2))
        skin.height[window] += strength * radius * (0.55 * np.clip(1 - r**4, 0, 1) - rng.uniform(0.15, 0.4) * dimple)
        skin.blood[window] += strength * (0.5 * inside(r, 1.0, 0.3) + 0.7 * np.exp(-(((r - 1.05) / 0.4) ** 2)))
        cover(skin.pus, window, 0.55 * ripe * strength * inside(r, 0.8, 0.35) * (1 - 0.7 * dimple))
        scab = inside(r, 0.2 + 0.35 * traits["stage"], 0.3)
        cover(skin.crust, window, 0.85 * np.clip(2 * traits["stage"] - 0.7, 0, 1) * strength * scab)
        skin.gloss[window] += 0.15 * strength * inside(r, 0.9, 0.3) * (1 - dimple)
        skin.mask[window] |= r < 1


def _draw_chickenpox(skin: Skin, traits: Traits, rng: np.random.Generator) -> None:
    middle = traits["radius"] * skin.unit
    for y, x in _places(rng, skin.mask.shape[0], _number(traits, rng), 1.7 * middle):
        radius, strength = middle * rng.uniform(0.55, 1.35), traits["contrast"] * rng.uniform(0.7, 1.15)
        window, r = patch(skin, rng, y, x, radius, 0.16)
        skin.blood[window] += 0.95 * strength * inside(r, 0.9, 0.5)
        stage = rng.random()  # each lesion its own: crops of different age lie side by side
        if stage < 0.3:  # papule
            skin.height[window] += 0.3 * strength * radius * np.clip(1 - r**2, 0, 1)
        elif stage < 0.75:  # vesicle, clear to cloudy
            drop = inside(r, 0.58, 0.2)
            skin.height[window] += 0.5 * strength * radius * np.clip(1 - (r / 0.65) ** 2, 0, 1)
            skin.blood[window] -= 0.5 * strength * drop
            skin.gloss[window] += 1.2 * strength * drop
            cover(skin.pus, window, rng.uniform(0.05, 0.5) * strength * drop)
        else:  # crust
            skin.height[window] += 0.2 * radius * np.clip(1 - (r / 0.6) ** 4, 0, 1)
            cover(skin.crust, window, 0.85 * strength * inside(r, 0.5, 0.3))
        skin.mask[window] |= r < 1


def _draw_acne(skin: Skin, traits: Traits, rng: np.random.Generator) -> None:
    size, middle = skin.mask.shape[0], traits["radius"] * skin.unit
    centres = rng.uniform(0.2 * size, 0.8 * size, (rng.integers(1, 5), 2))
    for y, x in centres:  # oily, blotchy ground of each cluster
        window, r = patch(skin, rng, y, x, rng.uniform(0.12, 0.22) * size, 0.3)
        skin.blood[window] += 0.25 * traits["contrast"] * np.exp(-(r**2))
        skin.gloss[window] += 0.3 * np.exp(-(r**2))
    for _ in range(_number(traits, rng)):
        spread = rng.normal(0, 0.15 * size, 2)
        y, x = np.clip(centres[rng.integers(len(centres))] + spread, 0.05 * size, 0.95 * size)
        strength, kind = traits["contrast"] * rng.uniform(0.7, 1.15), rng.random()
        radius = middle * (rng.uniform(0.22, 0.38) if kind < 0.45 else rng.uniform(0.6, 1.5))
        window, r = patch(skin, rng, y, x, radius, 0.12)
        bump = radius * np.exp(-2 * r**2)
        if kind < 0.22:  # blackhead
            skin.melanin[window] += 0.7 * strength * inside(r, 0.7, 0.5)
        elif kind < 0.45:  # whitehead
            skin.height[window] += 0.5 * strength * bump
            cover(skin.pus, window, 0.6 * strength * inside(r, 0.75, 0.5))
        else:  # inflamed papule; many with a yellowish tip
            skin.height[window] += 0.5 * strength * bump
            skin.blood[window] += 1.1 * strength * np.exp(-1.3 * r**2)
            if kind > 0.7:
                cover(skin.pus, window, 0.8 * strength * inside(r, rng.uniform(0.3, 0.5), 0.3))
        skin.mask[window] |= r < 1


DRAWERS: dict[str, Callable[[Skin, Traits, np.random.Generator], None]] = {
    "mpox": _draw_mpox,
    "chickenpox": _draw_chickenpox,
    "acne": _draw_acne,
}
