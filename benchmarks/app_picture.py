"""docs/app.gif: the screens of the web app, one after the other, as its test in a browser keeps them.

`MPOX_SCREENS=screens python -m pytest -n 0 -m slow tests/mobile/test_site_browser.py -k journey`, then
`python -m benchmarks.app_picture screens docs/app.gif`
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH, COLOURS, MILLISECONDS = 270, 64, 1800


def main(screens: Path, path: Path) -> None:
    """Write the pictures of a folder, in the order of their names, as one GIF."""
    frames = []
    for file in sorted(screens.glob("*.png")):
        screen = Image.open(file).convert("RGB")
        small = screen.resize((WIDTH, round(screen.height * WIDTH / screen.width)), Image.Resampling.LANCZOS)
        frames.append(small.quantize(COLOURS, dither=Image.Dither.NONE))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
