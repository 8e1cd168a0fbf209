"""Skin in a photo: how much of it has a skin's colour, and how light that skin appears (ITA)."""

import cv2
import numpy as np

# Chroma of skin in YCbCr (Chai and Ngan 1999).
CB, CR = (77, 127), (133, 173)
# With a smaller share of skin pixels than this the skin's tone is unknown.
MIN_SKIN = 0.05
# Lower edges, in degrees, of the classes of Del Bino and Bernerd (2013).
ITA_BINS = ((55.0, "very light"), (41.0, "light"), (28.0, "intermediate"), (10.0, "tan"), (-30.0, "brown"))
DARKEST_BIN = "dark"


def skin_pixels(colours: np.ndarray) -> np.ndarray:
    """Return which pixels of a picture (H, W, 3) uint8 RGB have a skin's chroma, (H, W) bool.

    Chai and Ngan, "Face segmentation using skin-color map in videophone applications", IEEE TCSVT 1999, doi
    10.1109/76.767122: a box in CbCr, brightness aside. Wood, sand and orange walls have that chroma as well; skin under
    coloured light, and deep red or violet lesions, may not.
    """
    _, cr, cb = cv2.split(cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2YCrCb))
    return (cb >= CB[0]) & (cb <= CB[1]) & (cr >= CR[0]) & (cr <= CR[1])


def ita(colours: np.ndarray) -> float:
    """Return the individual typology angle in degrees, from a picture (H, W, 3) uint8 sRGB; NaN where there is no skin.

    ITA = atan2(L* - 50, b*) of the median skin-coloured pixel (CIELAB, D65): Chardon, Cretois, Hourseau, "Skin colour
    typology and suntanning pathways", Int J Cosmet Sci 1991, doi 10.1111/j.1467-2494.1991.tb00561.x.

    Limits. ITA is defined for a colorimeter under a known light. From a photo it also measures exposure, white balance,
    shadow, flash and the lesion itself, and web photos differ in all of them: it is no measure of a person's skin
    colour and still less of ethnicity. Use it to ask whether a model fails more on dark-looking photos, with the bins
    as rough strata, never to describe one person.
    """
    skin = skin_pixels(colours)
    if skin.mean() < MIN_SKIN:
        return float("nan")
    lab = cv2.cvtColor(colours[skin].reshape(-1, 1, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness, _, yellow = np.median(lab.reshape(-1, 3), axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def ita_bin(angle: float) -> str:
    """Return the class of an angle in degrees, `very light` to `dark`; empty for NaN.

    Del Bino and Bernerd, "Variations in skin colour and the biological consequences of ultraviolet radiation exposure",
    Br J Dermatol 2013, doi 10.1111/bjd.12529.
    """
    if np.isnan(angle):
        return ""
    return next((name for edge, name in ITA_BINS if angle > edge), DARKEST_BIN)
