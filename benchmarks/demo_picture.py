"""Draw docs/demo.png: some test photos of `make demo`, with what the model says of them. Run from the checkout."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mpox.data.photos import open_photo
from mpox.data.store import square
from mpox.files import read_json
from mpox.stats.predictions import read_predictions

RUN = Path("runs/demo/tf_efficientnet_lite0/fold-0")
SIDE, CAPTION, COLUMNS, PER_CLASS = 180, 40, 6, 3
GREEN, RED = (24, 120, 60), (180, 30, 30)


def main() -> None:
    """Write the picture."""
    table, classes = read_predictions(RUN / "predictions.parquet")
    test = table[table["split"] == "test"].groupby("label").head(PER_CLASS)
    logits = test[[f"logit_{name}" for name in classes]].to_numpy()
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    root = Path(read_json(RUN.parents[1] / "data.json")["root"])
    rows = -(-len(test) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + CAPTION)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for k, (photo, share) in enumerate(zip(test.itertuples(), shares, strict=True)):
        left, top = k % COLUMNS * SIDE, k // COLUMNS * (SIDE + CAPTION)
        sheet.paste(Image.fromarray(square(open_photo(root / str(photo.path)), SIDE - 8, "bicubic")), (left + 4, top))
        guess = classes[int(share.argmax())]
        pen.text((left + 6, top + SIDE - 6), f"is {photo.label}", "black", font)
        pen.text(
            (left + 6, top + SIDE + 10), f"says {guess} {share.max():.0%}", GREEN if guess == photo.label else RED, font
        )
    sheet.save("docs/demo.png", optimize=True)


if __name__ == "__main__":
    main()
