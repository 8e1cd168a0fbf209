"""The colour space of most phones' cameras, Display P3 (SMPTE EG 432-1, D65, sRGB's curve), as an ICC profile."""

import struct

# Colours of the primaries and the white point in XYZ, adapted to D50 as profiles hold them.
_XYZ = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
    b"wtpt": (0.96420, 1.00000, 0.82491),
}
# sRGB's curve: ((x + 0.055) / 1.055) ** 2.4 from 0.04045 on, x / 12.92 below.
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_HEADER, _ENTRY = 128, 12


def display_p3() -> bytes:
    """Return the profile (ICC.1:2010, version 4, matrix and curve)."""
    tags = {b"desc": _text("Display P3"), b"cprt": _text("CC0")}
    tags |= {name: b"XYZ \0\0\0\0" + _fixed(*values) for name, values in _XYZ.items()}
    curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(*_CURVE)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body = struct.pack(">I", len(tags)), b""
    first = _HEADER + 4 + _ENTRY * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, first + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    size = first + len(body)
    header = struct.pack(">I4sI4s4s4s12x4s28x", size, b"", 0x04000000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (header + _fixed(*_XYZ[b"wtpt"])).ljust(_HEADER, b"\0") + table + body


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _text(words: str) -> bytes:
    content = words.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(content), 28) + content
