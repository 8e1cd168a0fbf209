"""Photos of one fold as batches: pixels from the store, augmentation a pure function of seed, epoch and photo."""

from collections.abc import Callable, Iterator

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

Transform = Callable[[Tensor], Tensor]
Batch = dict[str, Tensor]
# Mixed into the per-photo seeds so that augmentation and the order of photos draw from different streams.
AUGMENT_STREAM, ORDER_STREAM = 1, 2


def stream_seed(*parts: int) -> int:
    """Fold non-negative integers into one well-mixed 63-bit seed (numpy's SeedSequence)."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Photos(Dataset[Batch]):
    """Rows of the store with their targets.

    Item: image (3, S, S) uint8 RGB, target (int64), row (int64, of the manifest). With `transform`, item i of epoch e
    is the same whatever was drawn before it: torch's generator is seeded from (seed, e, row) for it and put back after.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        self.pixels, self.targets, self.rows = pixels, targets, rows
        self.transform, self.seed, self.epoch = transform, seed, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> Batch:
        row = int(self.rows[item])
        image = torch.from_numpy(np.array(self.pixels[row])).permute(2, 0, 1)
        if self.transform is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream_seed(AUGMENT_STREAM, self.seed, self.epoch, row))
                image = self.transform(image)
        return {"image": image, "target": torch.tensor(int(self.targets[row])), "row": torch.tensor(row)}


class EpochSampler(Sampler[int]):
    """Order of the photos, a pure function of (seed, epoch): a permutation, or draws with `weights` (balanced).

    Lightning calls `set_epoch`; the same call moves the data set's augmentation on.
    """

    def __init__(self, photos: Photos, seed: int, weights: Tensor | None = None) -> None:
        self.photos, self.seed, self.weights = photos, seed, weights

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (0-based) whose order and augmentation come next."""
        self.photos.epoch = epoch

    def __len__(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(stream_seed(ORDER_STREAM, self.seed, self.photos.epoch))
        if self.weights is None:
            order = torch.randperm(len(self), generator=generator)
        else:
            order = torch.multinomial(self.weights, len(self), replacement=True, generator=generator)
        return iter(order.tolist())


class FoldData(L.LightningDataModule):
    """Train, validation and test photos of one fold.

    `pixels` (N, S, S, 3) uint8 and `targets` (N) int64 are in the order of the manifest; `roles` holds `train`, `val`,
    `test` or an empty string (left out) for each. `sampling`: `shuffle`, or `balanced` (each class drawn as often).
    """

    def __init__(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        roles: np.ndarray,
        *,
        batch_size: int,
        num_workers: int = 0,
        transform: Transform | None = None,
        sampling: str = "shuffle",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.pixels, self.targets, self.roles = pixels, targets, roles
        self.batch_size, self.num_workers = batch_size, num_workers
        self.transform, self.sampling, self.seed = transform, sampling, seed

    def rows(self, role: str) -> np.ndarray:
        """Return the rows of the manifest (int64) that have this role."""
        return np.flatnonzero(self.roles == role)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Augmented photos in a new order each epoch; a last batch smaller than the others is left for the next."""
        photos = Photos(self.pixels, self.targets, self.rows("train"), self.transform, self.seed)
        weights = None
        if self.sampling == "balanced":
            targets = self.targets[photos.rows]
            weights = torch.from_numpy(1.0 / np.bincount(targets)[targets])
        sampler = EpochSampler(photos, self.seed, weights)
        # A batch of one photo would break batch normalisation; the order is new each epoch, so no photo is lost.
        drop_last = len(photos) > self.batch_size
        return self._loader(photos, sampler=sampler, drop_last=drop_last)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation photos as they are, in the order of the manifest."""
        return self._loader(Photos(self.pixels, self.targets, self.rows("val")))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the test photos as they are, in the order of the manifest."""
        return self._loader(Photos(self.pixels, self.targets, self.rows("test")))

    def predict_dataloader(self) -> list[DataLoader[Batch]]:
        """Return the validation and the test loader."""
        return [self.val_dataloader(), self.test_dataloader()]

    def _loader(self, photos: Photos, **options: object) -> DataLoader[Batch]:
        return DataLoader(
            photos,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            **options,  # type: ignore[arg-type]
        )
