"""What the head of a network is a linear layer of, by name: read without PyTorch."""

from collections.abc import Mapping
from typing import Any

# The last features alone, or the pooled maps of the later stages beside them (`mpox.model.stages`).
LAST, STAGES = "last", "stages"


def features_of(model: Mapping[str, Any]) -> str:
    """Return the features of a node `model` of a configuration: the last ones where it names none, as older runs do."""
    return str(model.get("features", LAST))
