"""How many photos each step of curation removed and why: the flow diagram that reporting guidelines ask for.

CLAIM 2024 (doi 10.1148/ryai.240300), TRIPOD+AI (doi 10.1136/bmj-2023-078378) and CLEAR Derm
(doi 10.1001/jamadermatol.2021.4915) ask how the images of a study were chosen; the diagram answers with counts.
"""

import html
import textwrap
from dataclasses import dataclass

import pandas as pd

from mpox.curation.curated import SUGGESTED
from mpox.data.manifest import reasons

# Reasons of one step that are named; the rest is counted as one.
NAMED = 8
# Of the drawing, in SVG units.
WIDTH, BOX, SIDE, LINE, PAD, GAP = 820, 380, 360, 20, 12, 28
CHARACTERS = {BOX: 48, SIDE: 46}


@dataclass(frozen=True)
class Step:
    """One box of the diagram: what it holds, how many photos, details of it, and what was removed after it."""

    title: str
    count: int
    details: tuple[str, ...] = ()
    removed: int = 0
    why: str = ""
    reasons: tuple[str, ...] = ()


def flow(manifest: pd.DataFrame) -> list[Step]:
    """Return the steps from the photos found to those kept, of a curated manifest (`mpox.curation.curated`).

    The counts add up: each step's count is the one before less what that removed.
    """
    left_out = manifest[~manifest["keep"]]
    stages = (
        ("Usable photos", "left out before review", left_out[left_out["decision"] == ""]),
        ("After the audit's suggestions", "dropped as the audit suggests", left_out[left_out["decision"] == SUGGESTED]),
        ("After manual selection", "dropped by reviewers", left_out[left_out["decision"] == "drop"]),
    )
    steps: list[Step] = []
    name, details, count = "Photos found", _by(manifest["source"], "from"), len(manifest)
    for after, why, removed in stages:
        if len(removed):
            steps.append(Step(name, count, details, len(removed), why, _counted(reasons(removed))))
            name, details, count = after, (), count - len(removed)
    if not steps:
        steps.append(Step(name, count, details))
    kept = manifest[manifest["keep"]]
    relabelled = kept[kept["label"] != kept["original_label"]]
    final = (*_by(kept["label"], "as"), f"{kept['group'].nunique()} independent groups")
    if len(relabelled):
        changes = _counted(relabelled["original_label"] + " to " + relabelled["label"])
        final = (*final, f"{len(relabelled)} relabelled: {'; '.join(changes)}")
    return [*steps, Step("Curated data set", count, final)]


def draw(steps: list[Step], title: str) -> str:
    """Return the flow as an SVG document: steps down the left, what each removed on the right."""
    parts: list[str] = []
    y, bottom, middle = 44.0, 44.0, 20 + BOX / 2
    for number, step in enumerate(steps):
        box = _box(20, y, BOX, f"{step.title} (n = {step.count})", step.details)
        parts.append(box[0])
        bottom = y + box[1]
        if number < len(steps) - 1:
            side_height = 0.0
            if step.removed:
                why = f"{step.removed} {step.why}"
                side, side_height = _box(20 + BOX + 40, bottom + 8, SIDE, why, step.reasons, dashed=True)
                parts.append(side)
            y = bottom + max(GAP, side_height + 16)
            parts.append(_arrow(middle, bottom, middle, y))
            if step.removed:
                half = bottom + 8 + side_height / 2
                parts.append(_arrow(middle, half, 20 + BOX + 40, half))
    height = bottom + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{html.escape(title)}" font-family="system-ui, sans-serif" font-size="14">\n'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8Z" fill="#57606a"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="20" y="28" font-size="16" font-weight="600" fill="#1c2128">{html.escape(title)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _by(values: pd.Series, word: str) -> tuple[str, ...]:
    return tuple(f"{count} {word} {name}" for name, count in values.value_counts().sort_index().items())


def _counted(values: pd.Series) -> tuple[str, ...]:
    """Count values, most frequent first."""
    counts = values.value_counts()
    named = [f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))]
    if len(named) > NAMED:
        rest = int(counts.sum() - sum(int(text.partition(" ")[0]) for text in named[:NAMED]))
        return (*named[:NAMED], f"{rest} for {len(named) - NAMED} other reasons")
    return tuple(named)


def _box(x: int, y: float, width: int, head: str, lines: tuple[str, ...], dashed: bool = False) -> tuple[str, float]:
    """Return a box of a bold line and plain ones, long ones wrapped, and its height."""
    wrap = CHARACTERS[width]
    rows = [(row, True) for row in textwrap.wrap(head, wrap - 4)]
    rows += [(row, False) for line in lines for row in textwrap.wrap(line, wrap, subsequent_indent="  ")]
    height = len(rows) * LINE + 2 * PAD
    style = 'fill="#ffffff" stroke="#a8201a" stroke-dasharray="5 3"' if dashed else 'fill="#f4f5f7" stroke="#57606a"'
    text = "".join(
        f'<text x="{x + PAD}" y="{y + PAD + (k + 0.72) * LINE:.1f}" fill="#1c2128"'
        f"{' font-weight=' + chr(34) + '600' + chr(34) if bold else ''}>{html.escape(row)}</text>"
        for k, (row, bold) in enumerate(rows)
    )
    return f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{height}" rx="6" {style}/>{text}', height


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#57606a" marker-end="url(#head)"/>'
