"""Explain a finished run, test the explanations, and have clinicians rate them: `python -m mpox.explain --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "explain",
    "Explain a finished run, test the explanations and the model, and have clinicians rate them",
    work="mpox.commands.explain:run",
    examples=(
        "python -m mpox.explain run=runs/mine/tf_efficientnet_lite0/fold-0",
        "python -m mpox.explain audit run=runs/mine/tf_efficientnet_lite0/fold-0",
        "python -m mpox.explain review ratings=[ann.csv,bob.csv]",
    ),
    words={
        "maps": "overlays, raw maps and contact sheets",
        "faithfulness": "can the maps be trusted?",
        "audit": "does the model need the lesion at all?",
        "review": "a page for clinicians; with ratings=<files> their answers merged",
    },
    place="run",
)


def main() -> None:
    """Run `python -m mpox.explain`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
