"""Choice of the layer for a class activation map."""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from mpox.errors import UserError
from mpox.model.backbone import PhotoClassifier

# A map of one position shows nothing.
LEAST_SIDE = 2


def find_layer(
    network: PhotoClassifier,
    images_NCHW: Tensor,
    name: str | None = None,
    least_side: int = LEAST_SIDE,
) -> tuple[str, nn.Module]:
    """Return name and module of the deepest layer in timm's feature info that is suitable for a map.

    A suitable layer gives finite maps (N, C, h, w) with h and w of `least_side` (2 or more), and the logits of
    `images_NCHW` (float32, 0..255, one photo or more) have a gradient there that is not zero. `name` (a module of the
    timm model) selects one layer. Raises UserError where no layer, or not that one, is suitable.
    """
    modules = dict(network.backbone.named_modules())
    if name is not None and name not in modules:
        raise UserError(f"the model has no layer '{name}' (its last ones: {', '.join(list(modules)[-4:])})")
    listed = [str(info["module"]) for info in network.backbone.feature_info]
    wanted = [name] if name is not None else [layer for layer in reversed(listed) if layer in modules]
    reasons = []
    side = max(LEAST_SIDE, least_side)
    for layer, reason in _examine(network, images_NCHW, {layer: modules[layer] for layer in wanted}, side).items():
        if reason is None:
            return layer, modules[layer]
        reasons.append(f"{layer} {reason}")
    raise UserError(
        f"no layer to explain: {'; '.join(reasons) or 'timm lists none'}: use larger photos, or give another layer="
    )


def make_functional(network: nn.Module) -> None:
    """Switch off in-place activations, which would overwrite a layer's output before a map is read from it."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]


def _examine(
    network: PhotoClassifier, images: Tensor, layers: dict[str, nn.Module], side: int
) -> dict[str, str | None]:
    """Return for each layer why it is not suitable; None where it is."""
    outputs: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, layer in layers.items():

            def keep(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
                outputs[name] = output

            hooks.callback(layer.register_forward_hook(keep).remove)
        with torch.enable_grad():
            logits = network(images.float().requires_grad_(True))
    reasons: dict[str, str | None] = {}
    for name in layers:
        output = outputs.get(name)
        if not isinstance(output, Tensor) or output.ndim != 4:
            reasons[name] = "gives no 4-D maps"
        elif min(output.shape[2:]) < side:
            reasons[name] = f"gives maps of {output.shape[2]}x{output.shape[3]}"
        elif not torch.isfinite(output).all():
            reasons[name] = "gives values that are not finite"
        else:
            top = logits.max(1).values.sum()
            (gradient,) = torch.autograd.grad(top, output, retain_graph=True, allow_unused=True)
            reasons[name] = None if gradient is not None and gradient.any() else "has a zero gradient"
    return reasons
