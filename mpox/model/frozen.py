"""Frozen features: one pass of the backbone over all photos, kept for every fold and every job."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mpox.cached import kept
from mpox.data.module import Photos
from mpox.model.backbone import PhotoClassifier


@torch.no_grad()  # not inference_mode: parameters moved to a GPU in that mode cannot be trained later
def frozen_features(network: PhotoClassifier, photos: Photos, batch_size: int, device: torch.device) -> Tensor:
    """Run the backbone in eval mode over all `photos` once. Returns features_NF float32 on the CPU."""
    was_training = network.training
    network.eval().to(device)
    parts = []
    for start in range(0, len(photos), batch_size):
        batch = photos.__getitems__(list(range(start, min(start + batch_size, len(photos)))))
        parts.append(network.features(batch["image"].to(device)).float().cpu())
    network.train(was_training)
    return torch.cat(parts)


def cached_features(
    network: PhotoClassifier, photos: Photos, photos_key: str, batch_size: int, device: torch.device, cache: Path
) -> Tensor:
    """Return `frozen_features`, computed once for all folds: kept in `cache` under a hash of photos and backbone.

    Neither head nor fold is part of the key: features of all photos are computed, and each job fits on its own photos.
    """
    key = hashlib.sha256(f"{photos_key} {_fingerprint(network)}".encode()).hexdigest()[:16]

    def save(features: Tensor, path: Path) -> None:
        with path.open("wb") as file:  # np.save would add a suffix to a name
            np.save(file, features.numpy())

    return kept(
        cache / f"features-{key}.npy",
        lambda: frozen_features(network, photos, batch_size, device),
        save,
        lambda path: torch.from_numpy(np.load(path)),
    )


def _fingerprint(network: PhotoClassifier) -> str:
    """Hash everything on which features depend: normalisation and the tensors below the head."""
    head = {id(parameter) for parameter in network.head.parameters()}
    # Two architectures of one class may have equal tensors and still differ in computation (padding).
    architecture = network.backbone.pretrained_cfg.get("architecture")
    stages = f" {network.stages}" if network.stages is not None else ""
    digest = hashlib.sha256(f"{type(network.backbone).__name__} {architecture}{stages}".encode())
    # So may two of one architecture, by its options: the settings of a layer are in its text.
    for layer in network.backbone.modules():
        if layer is not network.head:
            digest.update(_own_settings(layer).encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if id(tensor) not in head:
            digest.update(name.encode() + bytes_of(tensor))
    return digest.hexdigest()


def settings_of(module: nn.Module) -> str:
    """Return the settings of a layer and of all layers in it, as text."""
    return " ".join(_own_settings(layer) for layer in module.modules())


def bytes_of(tensor: Tensor) -> bytes:
    """Return the values of a tensor, in order."""
    return tensor.detach().cpu().contiguous().numpy().tobytes()


def _own_settings(layer: nn.Module) -> str:
    return f"{type(layer).__name__}({layer.extra_repr()})"
