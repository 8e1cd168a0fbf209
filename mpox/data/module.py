"""Photos of one fold as batches: pixels from the store, augmentation a pure function of seed, epoch and photo."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mpox.data.augment import Draws, fuse
from mpox.errors import UserError

Transform = Callable[[Tensor], Tensor]
# From a view (None: as they are; else the epoch) and rows to what frozen layers give for these photos, (B, D) float32;
# None where only the photos are there.
Maps = Callable[[int | None, np.ndarray], Tensor | None]
Batch = dict[str, Tensor]
# Mixed into the per-photo seeds so that augmentation and the order of photos draw from different streams.
AUGMENT_STREAM, ORDER_STREAM = 1, 2
PLACES = ("auto", "processor", "device")
# `auto` leaves at least this share of a GPU's free memory to training.
SHARE_LEFT = 0.5


def stream_seed(*parts: int) -> int:
    """Fold non-negative integers into one well-mixed 63-bit seed (numpy's SeedSequence)."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Photos(Dataset[Batch]):
    """Rows of the store with their targets, read a batch at a time.

    Item: image (3, S, S) uint8 RGB, target (int64), row (int64, of the manifest). With `transform`, item i of epoch e
    is the same whatever was drawn before it: chance is a function of (seed, e, row). What `fuse` understands
    is applied to the batch (image is float32, 0..255); anything else photo by photo, and torch's generator is restored.
    With `bare`, the pixels are elsewhere: a batch holds rows and what was drawn for them, no images. With `maps`,
    a batch holds those instead of images.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        transform: Transform | None = None,
        seed: int = 0,
        bare: bool = False,
        maps: Maps | None = None,
    ) -> None:
        self.pixels, self.targets, self.rows, self.maps = pixels, targets, rows, maps
        self.transform, self.seed, self.epoch = transform, seed, 0
        self.fused = None if transform is None else fuse(transform, pixels.shape[1])
        self.bare = bare and (transform is None or self.fused is not None)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([item]).items()}

    def __getitems__(self, items: list[int]) -> Batch:
        """Return the items as one batch: each entry with a first dimension of len(items)."""
        rows = np.asarray([self.rows[item] for item in items], np.int64)
        batch = {"target": torch.from_numpy(self.targets[rows].astype(np.int64)), "row": torch.from_numpy(rows)}
        if self.maps and (found := self.maps(None if self.transform is None else self.epoch, rows)) is not None:
            return batch | {"maps": found}
        key = stream_seed(AUGMENT_STREAM, self.seed, self.epoch)
        draws = self.fused.draw(key, rows) if self.fused else None
        if self.bare:
            drawn = dataclasses.asdict(draws) if draws else {}
            return batch | {name: torch.from_numpy(value) for name, value in drawn.items()}
        if self.fused and draws:
            return batch | {"image": self.fused.on_processor(self.pixels, rows, draws)}
        images = torch.from_numpy(np.array(self.pixels[rows])).permute(0, 3, 1, 2)
        if self.transform is not None:
            images = torch.stack([self._alone(image, int(row)) for image, row in zip(images, rows, strict=True)])
        return batch | {"image": images}

    def _alone(self, image: Tensor, row: int) -> Tensor:
        assert self.transform is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(AUGMENT_STREAM, self.seed, self.epoch, row))
            return self.transform(image)


class EpochSampler(Sampler[int]):
    """Order of the photos, a pure function of (seed, epoch): a permutation, or draws with `weights` (balanced).

    Lightning calls `set_epoch`; the same call moves the data set's augmentation on. Of several processes (DDP) each
    takes its share of the same order. Lightning's own wrapper would hide this class and with it the epoch: it is
    switched off in conf/trainer/ddp.yaml.
    """

    def __init__(self, photos: Photos, seed: int, weights: Tensor | None = None) -> None:
        self.photos, self.seed, self.weights = photos, seed, weights

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (0-based) whose order and augmentation come next."""
        self.photos.epoch = epoch

    def __len__(self) -> int:
        return len(self.photos) // _share()[1]

    def __iter__(self) -> Iterator[int]:
        rank, n_processes = _share()
        generator = torch.Generator().manual_seed(stream_seed(ORDER_STREAM, self.seed, self.photos.epoch))
        if self.weights is None:
            order = torch.randperm(len(self.photos), generator=generator)
        else:
            order = torch.multinomial(self.weights, len(self.photos), replacement=True, generator=generator)
        return iter(order[rank::n_processes][: len(self)].tolist())


class FoldData(L.LightningDataModule):
    """Train, validation and test photos of one fold.

    `pixels` (N, S, S, 3) uint8 and `targets` (N) int64 are in the order of the manifest; `roles` holds `train`, `val`,
    `test` or an empty string (left out) for each. `sampling`: `shuffle`, or `balanced` (each class drawn as often).
    `photos_on`: where pixels are kept and augmented, `processor`, `device` (the one that trains, once for all jobs of
    the process), or `auto`, the device where it is a GPU with room. The values are the same within float tolerance.
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
        photos_on: str = "auto",
    ) -> None:
        super().__init__()
        if photos_on not in PLACES:
            raise UserError(f"photos_on={photos_on} is unknown: choose one of {', '.join(PLACES)}")
        self.photos_on = photos_on
        self.pixels, self.targets, self.roles = pixels, targets, roles
        self.batch_size, self.num_workers = batch_size, num_workers
        self.transform, self.sampling, self.seed = transform, sampling, seed
        # Set while a network is trained from what its frozen layers give.
        self.maps: Maps | None = None

    def rows(self, role: str) -> np.ndarray:
        """Return the rows of the manifest (int64) that have this role."""
        return np.flatnonzero(self.roles == role)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Augmented photos in a new order each epoch; a last batch smaller than the others is left for the next."""
        photos = self._photos("train", self.transform)
        weights = None
        if self.sampling == "balanced":
            targets = self.targets[photos.rows]
            weights = torch.from_numpy(1.0 / np.bincount(targets)[targets])
        sampler = EpochSampler(photos, self.seed, weights)
        # A batch of one photo would break batch normalisation; the order is new each epoch, so no photo is lost.
        drop_last = len(sampler) > self.batch_size
        return self._loader(photos, sampler=sampler, drop_last=drop_last)

    def steps_per_epoch(self, processes: int = 1) -> int:
        """Return how many batches of training photos each of `processes` takes in an epoch, at least 1."""
        share = len(self.rows("train")) // processes
        return max(1, share // self.batch_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation photos as they are, in the order of the manifest."""
        return self._loader(self._photos("val"))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the test photos as they are, in the order of the manifest."""
        return self._loader(self._photos("test"))

    def predict_dataloader(self) -> list[DataLoader[Batch]]:
        """Return the validation and the test loader."""
        return [self.val_dataloader(), self.test_dataloader()]

    def view(self, number: int | None = None) -> Photos:
        """Return all photos in the order of the manifest: as they are, or augmented as in epoch `number`."""
        transform = None if number is None else self.transform
        photos = Photos(self.pixels, self.targets, np.arange(len(self.targets)), transform, self.seed)
        photos.epoch = number or 0
        return photos

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Add the images of a bare batch, on the device it is on."""
        if "image" in batch or "maps" in batch:
            return batch
        photos = held(self.pixels, batch["row"].device)[batch["row"]]
        names = [field.name for field in dataclasses.fields(Draws)]
        if names[0] in batch:
            fused = fuse(self.transform, self.pixels.shape[1])
            assert fused is not None
            image = fused.on_device(photos, *(batch.pop(name) for name in names))
        else:
            image = photos.permute(0, 3, 1, 2)
        return batch | {"image": image}

    def _photos(self, role: str, transform: Transform | None = None) -> Photos:
        return Photos(self.pixels, self.targets, self.rows(role), transform, self.seed, self._on_device(), self.maps)

    def _on_device(self) -> bool:
        if self.photos_on != "auto" or self.trainer is None:
            return self.photos_on == "device"
        device = self.trainer.strategy.root_device
        return device.type == "cuda" and self.pixels.nbytes < (1 - SHARE_LEFT) * torch.cuda.mem_get_info(device)[0]

    def _loader(self, photos: Photos, **options: object) -> DataLoader[Batch]:
        return DataLoader(
            photos,
            batch_size=self.batch_size,
            num_workers=0 if photos.bare or photos.maps else self.num_workers,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # a batch comes whole from __getitems__
            **options,  # type: ignore[arg-type]
        )


def _share() -> tuple[int, int]:
    """Return which of how many training processes this is."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def as_they_are(pixels: np.ndarray) -> Photos:
    """Return photos without targets, in the order of `pixels` (N, S, S, 3) uint8."""
    return Photos(pixels, np.zeros(len(pixels), np.int64), np.arange(len(pixels)))


def held(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Return the pixels (N, S, S, 3) uint8 as a tensor on `device`; a store's are kept there for the next job."""
    if isinstance(pixels, np.memmap) and pixels.filename is not None:
        return _held(str(pixels.filename), str(device))
    return torch.from_numpy(pixels).to(device)


@functools.lru_cache(maxsize=1)
def _held(store: str, device: str) -> Tensor:
    return torch.from_numpy(np.load(store)).to(device)


def _as_it_is(batch: Batch) -> Batch:
    return batch
