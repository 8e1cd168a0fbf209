"""Draw docs/stages.png: what each stage gives, from outputs on the built-in set. From the checkout, after

python -m mpox.train study=demo
python -m mpox.explain run=runs/demo/tf_efficientnet_lite0/fold-0 explain=hirescam explain.least_side=14
python -m mpox.train -m study=tutorial schedule=probe 'model=glob(tf_efficientnet_lite*)' 'fold=range(10)'
python -m mpox.compare study=tutorial
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from mpox.data.photos import open_photo
from mpox.data.store import square
from mpox.files import read_json

RUNS = Path("runs")
RUN = RUNS / "demo" / "tf_efficientnet_lite0" / "fold-0"
RANKING = RUNS / "tutorial" / "comparison" / "figures" / "ranking.png"
# The screen of docs/app.gif with the answer.
ANSWER = 4
SIDE, GAP, TITLE, CAPTION = 150, 8, 30, 24
INK, GREEN, RED, GREY = (30, 34, 40), (24, 120, 60), (180, 30, 30), (150, 156, 164)


def main() -> None:
    """Write the picture."""
    photos = examples(pd.read_parquet(RUN / "explain" / "hirescam" / "index.parquet"))
    width = len(photos) * (SIDE + GAP)
    phone = frame(Path("docs/app.gif"), ANSWER)
    ranking = Image.open(RANKING).convert("RGB")
    ranking = ranking.resize((width, round(ranking.height * width / ranking.width)), Image.Resampling.LANCZOS)
    tops = [0, TITLE + SIDE + CAPTION + GAP]
    tops.append(tops[1] + TITLE + SIDE + GAP)
    sheet = Image.new("RGB", (width + 3 * GAP + phone.width, tops[2] + TITLE + ranking.height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    root = Path(read_json(RUN.parents[1] / "data.json")["root"])
    for k, photo in enumerate(photos):
        left = k * (SIDE + GAP)
        picture = Image.fromarray(square(open_photo(root / photo["path"]), SIDE, "bicubic"))
        sheet.paste(picture, (left, tops[0] + TITLE))
        words = f"{photo['predicted']} {min(photo['confidence'], 0.99):.0%}"
        right = photo["predicted"] == photo["label"]
        pen.text((left, tops[0] + TITLE + SIDE + 3), words, GREEN if right else RED, font)
        overlay = Image.open(RUN / "explain" / "hirescam" / photo["overlay"]).convert("RGB")
        sheet.paste(overlay.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, tops[1] + TITLE))
    sheet.paste(ranking, (0, tops[2] + TITLE))
    sheet.paste(phone, (width + 2 * GAP, TITLE))
    titles = ("train: test photos with the model's answer", "explain: where the answer comes from")
    for top, text in zip(tops, (*titles, "compare: models ranked, with intervals"), strict=True):
        pen.text((0, top + 4), text, INK, ImageFont.load_default(17))
    pen.text((width + 2 * GAP, 4), "export: the answer on a phone", INK, ImageFont.load_default(17))
    sheet.save("docs/stages.png", optimize=True)


def examples(index: pd.DataFrame) -> list[dict[str, Any]]:
    """Return explained photos to show: one a class, and three of mpox."""
    rest = index[index["label"] != "mpox"].groupby("label").head(1)
    mpox = index[index["label"] == "mpox"]
    chosen = pd.concat([rest, mpox.iloc[np.linspace(0, len(mpox) - 1, 3).astype(int)]])
    return [{str(name): value for name, value in row.items()} for row in chosen.to_dict("records")]


def frame(path: Path, number: int) -> Image.Image:
    """Return one screen of the web app with a border."""
    screens = Image.open(path)
    screens.seek(number)
    screen = screens.convert("RGB")
    bordered = Image.new("RGB", (screen.width + 4, screen.height + 4), GREY)
    bordered.paste(screen, (2, 2))
    return bordered


if __name__ == "__main__":
    main()
