"""Compare, explain and export CNNs that detect mpox in smartphone photos of skin lesions.

Research software and decision support for people who know its limits; never a diagnosis.
"""

from mpox import _torchvision

_torchvision.patch_on_import()

__version__ = "0.1.0"
