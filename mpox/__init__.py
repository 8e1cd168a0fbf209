"""Compare, explain and export CNNs that detect mpox in smartphone photos of skin lesions.

Research software and decision support for people who know its limits; never a diagnosis.
"""

from typing import TYPE_CHECKING, Any

from mpox import _torchvision

if TYPE_CHECKING:
    from mpox.api import load, read_comparison, read_predictions, read_study

__all__ = ["__version__", "load", "read_comparison", "read_predictions", "read_study"]
__version__ = "0.1.0"

_torchvision.patch_on_import()


def __getattr__(name: str) -> Any:
    """Import a function of `mpox.api` when it is first asked for: commands must start without pandas and the like."""
    if name in __all__:
        from mpox import api

        return getattr(api, name)
    raise AttributeError(f"module 'mpox' has no attribute '{name}'")
