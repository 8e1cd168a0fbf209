"""A video file that Chromium takes for its camera: raw frames (YUV4MPEG2) of given pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def arguments(video: Path) -> list[str]:
    """What Chromium is started with to see `video`, in a loop, and to ask nobody for the camera."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    ]


def write_video(path: Path, frames: Sequence[tuple[Image.Image, int]], size: tuple[int, int] = (640, 480)) -> None:
    """Write pictures, each for a number of frames of a fifth of a second."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{size[0]} H{size[1]} F5:1 Ip A1:1 C420jpeg\n".encode())
        for picture, count in frames:
            full = np.asarray(picture.convert("RGB").resize(size).convert("YCbCr")) - np.array([0, 128, 128])
            planes = (full * np.array([219, 224, 224]) / 255 + [16, 128, 128]).round().astype(np.uint8)  # video's range
            halves = planes[..., 1:].reshape(size[1] // 2, 2, size[0] // 2, 2, 2).mean((1, 3)).round().astype(np.uint8)
            frame = planes[..., 0].tobytes() + halves[..., 0].tobytes() + halves[..., 1].tobytes()
            for _ in range(count):
                file.write(b"FRAME\n" + frame)
