"""Pictures that are embedded or handed on hold their pixels and nothing else."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from stowaways import SECRET

from mpox.data.photos import open_photo
from mpox.data.picture_files import encoded, write_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")


def _loaded(path: Path) -> Path:
    """Write a photo whose file says who took it wherever its format has room for that."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    more: dict[str, object] = {"exif": exif}
    if path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET.decode())
        text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        more["pnginfo"] = text
    else:
        more["xmp"] = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"
    if path.suffix == ".jpg":
        more["comment"] = SECRET
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PIXELS).save(path, icc_profile=profile + SECRET, **more)  # type: ignore[arg-type]
    assert SECRET in path.read_bytes()
    return path


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_nothing_of_the_photos_file_goes_along(tmp_path: Path, suffix: str, kind: str) -> None:
    photo = open_photo(_loaded(tmp_path / f"photo{suffix}"))
    photo.thumbnail((30, 30))
    written = encoded(photo, kind)
    assert SECRET not in written
    with Image.open(io.BytesIO(written)) as back:
        assert back.size == (30, 20)
        assert not set(back.info) & {"comment", "exif", "xmp", "icc_profile", "Comment", "XML:com.adobe.xmp"}


def test_pixels_are_kept(tmp_path: Path) -> None:
    write_picture(PIXELS, tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(open_photo(tmp_path / "a.png")), PIXELS)
