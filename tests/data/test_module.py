import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from mpox.data.module import FoldData, Photos, stream_seed

N, SIZE = 30, 16


def data(**options: object) -> FoldData:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)
    targets = np.array([0] * 24 + [1] * 6)
    roles = np.array((["train"] * 4 + ["val", "test"]) * 5)
    transform = v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip(), v2.ColorJitter(0.2)])
    return FoldData(pixels, targets, roles, batch_size=8, transform=transform, **options)  # type: ignore[arg-type]


def epoch_of(loader: torch.utils.data.DataLoader, epoch: int) -> tuple[list[int], torch.Tensor]:
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    batches = list(loader)
    return [int(row) for batch in batches for row in batch["row"]], torch.cat([batch["image"] for batch in batches])


def test_an_epoch_is_a_function_of_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    rows, images = epoch_of(data().train_dataloader(), 3)
    torch.manual_seed(2)
    later = data().train_dataloader()
    epoch_of(later, 0)  # what was drawn before does not matter
    again_rows, again = epoch_of(later, 3)
    assert rows == again_rows
    assert torch.equal(images, again)
    other_rows, other = epoch_of(data().train_dataloader(), 4)
    assert other_rows != rows and not torch.equal(images, other)
    seed_rows, _ = epoch_of(data(seed=1).train_dataloader(), 3)
    assert seed_rows != rows


def test_worker_processes_change_nothing() -> None:
    alone = epoch_of(data().train_dataloader(), 2)
    helped = epoch_of(data(num_workers=2).train_dataloader(), 2)
    assert alone[0] == helped[0]
    assert torch.equal(alone[1], helped[1])


def test_augmentation_leaves_the_global_generator_alone() -> None:
    photos = Photos(np.zeros((2, SIZE, SIZE, 3), np.uint8), np.zeros(2, int), [0, 1], v2.ColorJitter(0.5))
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    _ = photos[0]
    assert torch.equal(before, torch.random.get_rng_state())


def test_evaluation_photos_come_as_they_are_and_in_order() -> None:
    module = data()
    for role, loader in (("val", module.val_dataloader()), ("test", module.test_dataloader())):
        batches = list(loader)
        rows = torch.cat([batch["row"] for batch in batches]).numpy()
        assert (rows == np.flatnonzero(module.roles == role)).all()
        images = torch.cat([batch["image"] for batch in batches])
        assert images.dtype == torch.uint8
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), module.pixels[rows])


def test_training_rows_are_training_photos_each_once() -> None:
    rows, _ = epoch_of(data().train_dataloader(), 0)
    assert len(rows) == len(set(rows)) == 16  # 20 photos in whole batches of 8
    assert set(rows) <= set(np.flatnonzero(data().roles == "train"))


def test_balanced_sampling_draws_the_classes_alike() -> None:
    module = data(sampling="balanced")
    drawn = [target for epoch in range(60) for target in _targets(module, epoch)]
    assert abs(np.mean(drawn) - 0.5) < 0.06


def _targets(module: FoldData, epoch: int) -> list[int]:
    rows, _ = epoch_of(module.train_dataloader(), epoch)
    return [int(module.targets[row]) for row in rows]


def test_streams_are_apart() -> None:
    seeds = {stream_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125


def test_every_process_trains_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpox.data.module._share", lambda: (0, 8))
    fold = FoldData(np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 2, np.full(20, "train"), batch_size=4)
    assert len(fold.train_dataloader()) == 1


def test_processes_share_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data().train_dataloader().sampler
    whole.set_epoch(2)  # type: ignore[union-attr]
    order, parts = list(whole), []
    for rank in range(3):
        monkeypatch.setattr("mpox.data.module._share", lambda rank=rank: (rank, 3))
        parts.append(list(whole))
        assert len(parts[-1]) == len(whole) == len(order) // 3
    assert [part for together in zip(*parts, strict=True) for part in together] == order[: 3 * len(parts[0])]
