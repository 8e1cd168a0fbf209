"""ICC profiles of display colour spaces, made from their primaries: Pillow makes none but sRGB's."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

Point = tuple[float, float]
Primaries = tuple[Point, Point, Point]
DISPLAY_P3: Primaries = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB: Primaries = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
SRGB: Primaries = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
PROPHOTO: Primaries = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
D65: Point = (0.3127, 0.3290)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1, 0.8249])
D50: Point = (float(_D50[0] / _D50.sum()), float(_D50[1] / _D50.sum()))
# Parameters of each kind of function that a curve may be.
_COUNTS = (1, 3, 4, 5, 7)


def parametric(*parameters: float) -> bytes:
    """A curve as a function; its kind is that of so many parameters."""
    return b"para\0\0\0\0" + struct.pack(">HH", _COUNTS.index(len(parameters)), 0) + _fixed(*parameters)


def table(values: Sequence[int] | np.ndarray) -> bytes:
    """A curve of `values` 0..65535; of none: a straight line; one value alone is 256 times a power."""
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *map(int, values))


def colorants(primaries: Primaries, white: Point = D65) -> np.ndarray:
    """XYZ (3, 3) of the primaries in columns, adapted to D50."""
    source = _xyz(*white)
    matrix = np.stack([_xyz(*point) for point in primaries], 1)
    matrix = matrix * np.linalg.solve(matrix, source)
    return np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ source)) @ _BRADFORD @ matrix


def profile(primaries: Primaries, gamma: float | None = None) -> bytes:
    """A profile of version 4: white D65, the curve of sRGB or the power `gamma`."""
    curve = parametric(*SRGB_CURVE) if gamma is None else parametric(gamma)
    return of_matrix(colorants(primaries), [curve] * 3)


def of_matrix(
    matrix: np.ndarray, curves: Sequence[bytes], *, version: int = 4, more: Mapping[bytes, bytes] | None = None
) -> bytes:
    """A profile of colorants (3, 3) in columns and a curve a channel, with `more` tags."""
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 8, 28) + "test".encode("utf-16-be")
    tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50)}
    for k, name in enumerate((b"r", b"g", b"b")):
        tags |= {name + b"XYZ": b"XYZ \0\0\0\0" + _fixed(*matrix[:, k]), name + b"TRC": curves[k]}
    return of_tags(tags | dict(more or {}), version=version)


def of_tags(tags: Mapping[bytes, bytes], *, version: int = 4, space: bytes = b"RGB ") -> bytes:
    """A profile with these tags."""
    entries, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        entries += name + struct.pack(">II", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    size = start + len(body)
    head = struct.pack(">I4xI4s4s4s12x4s28x", size, version << 24, b"mntr", space, b"XYZ ", b"acsp")
    return (head + _fixed(*_D50)).ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + body


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))
