"""The native sample: it answers as mpox.predict does, on phones' photos, in little memory, and survives broken ones."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from icc import ADOBE_RGB, DISPLAY_P3, SRGB, profile
from native_program import SOURCE, Program, build
from PIL import Image

from mpox.commands.predict import predict
from mpox.data.photos import open_photo
from mpox.data.working_picture import square
from mpox.files import read_json
from mpox.mobile.check import check
from mpox.mobile.run.runtime import PhoneModel
from mpox.options import config_dir
from mpox.xai.pictures import overlay

pytestmark = pytest.mark.slow
PROFILES = (None, profile(DISPLAY_P3), profile(ADOBE_RGB, 2.2), profile(SRGB), b"no profile")
PEAK = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
PEAK += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return build("host", tmp_path_factory.mktemp("native") / "build")


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "JPEG", **options)
        return file.getvalue()


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Coarse colours with fine noise on them, uint8 (height, width, 3)."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).resize((width, height))
    return np.clip(np.asarray(coarse) + random.integers(-20, 21, (height, width, 1)), 0, 255).astype(np.uint8)


def oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def as_phones_write(photo: Image.Image, number: int) -> bytes:
    """A photo as JPEG whose size, noise, turn, profile, sampling, scans and colours depend on a number."""
    random = np.random.default_rng(number)
    size = (4000, 3000) if number % 20 == 0 else (int(random.integers(120, 900)), int(random.integers(120, 900)))
    pixels = np.asarray(photo.convert("L" if number % 11 == 10 else "RGB").resize(size, Image.Resampling.BICUBIC), int)
    pixels = np.clip(pixels + random.integers(-9, 10, pixels.shape), 0, 255).astype(np.uint8)
    return jpeg(
        pixels,
        quality=int(random.integers(60, 96)),
        exif=oriented(number % 10),
        icc_profile=PROFILES[number % len(PROFILES)] if pixels.ndim == 3 else None,
        subsampling=number % 3,
        progressive=number % 7 == 3,
    )


def golden_answers(program: Program, exported: Path, folder: Path, cpu: str | None = None) -> None:
    """Run the golden set; mpox.mobile.check must accept tensors and probabilities."""
    golden, photos = exported / "golden", []
    for name, one in read_json(golden / "expected.json")["answers"].items():
        path = golden / one.get("file", f"{name}.png")
        photos.append(path if path.suffix == ".jpg" else folder / f"{name}.ppm")
        if path.suffix != ".jpg":
            open_photo(path).save(photos[-1])
    done = program.ask(exported / "model.pte", *photos, "--app", folder, cpu=cpu)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(photos), done.stderr
    results = check(exported, folder)
    assert len(results) == 4 and all(one.passed for one in results), results


def test_golden_set(program: Program, exported: Path, tmp_path: Path) -> None:
    golden_answers(program, exported, tmp_path)


@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a76"])
def test_golden_set_on_arm(exported: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, cpu: str) -> None:
    base = tmp_path_factory.getbasetemp() / "native-arm64"
    golden_answers(build("arm64", base), exported, tmp_path, cpu)


def test_photos_of_phones_are_answered_as_by_predict(
    program: Program, exported: Path, shared_photos: Path, tmp_path: Path
) -> None:
    """Real photos in every kind of JPEG that phones write: pictures to a level, probabilities to .001, same words."""
    photos, app = tmp_path / "photos", tmp_path / "app"
    photos.mkdir()
    app.mkdir()
    found = sorted((shared_photos / "msid").rglob("*.jpg"))
    for number, path in enumerate(found[:: len(found) // 120][:120]):
        (photos / f"{number:03d}.jpg").write_bytes(as_phones_write(open_photo(path), number))
    done = program.ask(exported / "model.pte", *sorted(photos.iterdir()), "--app", app)
    assert done.returncode == 0, done.stderr
    with initialize_config_dir(config_dir(), version_base="1.3"):
        expected = predict(compose("predict", [f"of={exported}", f"photos={photos}"]))["photos"]
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == len(expected) == 120
    model = PhoneModel(exported)
    for (path, label, action, why, numbers), one in zip(lines, expected, strict=True):
        assert (path, label, action, why) == (one["path"], one["label"], one["action"], one["why"])
        chances = np.array(list(one["probabilities"].values()))
        assert np.abs(np.array(numbers.split(","), float) - chances).max() <= 1e-3, path
        picture = square(open_photo(Path(path)), model.image_size, model.interpolation, model.resize)
        tensor = np.fromfile(app / f"{Path(path).stem}.f32", "<f4").reshape(3, *picture.shape[:2])
        difference = np.abs(tensor.transpose(1, 2, 0) - picture)
        assert difference.max() <= 1 and (difference == 0).mean() > 0.99, path


def test_a_photo_of_50_megapixels_takes_little_memory(program: Program, exported: Path, tmp_path: Path) -> None:
    peaks = []
    for name, size in (("large", (8160, 6120)), ("small", (320, 240))):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(noise(*size), quality=90, exif=oriented(6)))
        command = [str(program.folder / "mpox"), str(exported / "model.pte"), str(tmp_path / f"{name}.jpg")]
        done = subprocess.run([sys.executable, "-c", PEAK, *command], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[0] < 64 and peaks[0] - peaks[1] < 16, f"{peaks} MB"


def test_the_map_is_drawn_as_by_the_project(program: Program, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(jpeg(noise(300, 260)))
    done = program.ask(exported / "model.pte", tmp_path / "x.jpg", "--maps", tmp_path)
    assert done.returncode == 0, done.stderr
    model = PhoneModel(exported)
    picture = square(open_photo(tmp_path / "x.jpg"), model.image_size, model.interpolation, model.resize)
    raw = model.explain(picture)[1][0, model.labels.index(done.stdout.split("\t")[1])]
    scaled = np.maximum(np.asarray(Image.fromarray(raw).resize(picture.shape[:2], Image.Resampling.BILINEAR)), 0)
    expected = Image.open(io.BytesIO(jpeg(overlay(picture, scaled / (scaled.max() or 1)), quality=95)))
    drawn = np.asarray(Image.open(tmp_path / "x-map.jpg"), int)
    assert np.abs(drawn - np.asarray(expected)).mean() < 0.5


def broken_files(folder: Path) -> dict[str, Path]:
    """Files that must be refused, by a part of the message."""
    whole = jpeg(noise(200, 150))
    start = whole.index(b"\xff\xc0") + 5
    progressive = jpeg(noise(200, 150), progressive=True)
    frame = progressive.index(b"\xff\xc2") + 5
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    contents = {
        "not a JPEG": b"\x89PNG\r\n\x1a\n" + bytes(50),
        "Empty input file": b"",
        "Premature end": whole[: len(whole) // 2],
        "more than 256 megapixels": whole[:start] + b"\xff\xdc\xff\xdc" + whole[start + 4 :],
        "more than 400 MB": progressive[:frame] + b"\x3e\x00\x3e\x00" + progressive[frame + 4 :],
        "4 colours a pixel": _cmyk(),
        "more than 200 scans": progressive[:-2] + 3000 * scan + progressive[-2:],
    }
    paths = {}
    for number, (message, content) in enumerate(contents.items()):
        paths[message] = folder / f"broken-{number}.jpg"
        paths[message].write_bytes(content)
    return {**paths, "No such file": folder / "none.jpg", "not a file": folder}


def _cmyk() -> bytes:
    with io.BytesIO() as file:
        Image.new("CMYK", (20, 20)).save(file, "JPEG")
        return file.getvalue()


def test_a_broken_file_is_one_line_and_no_other_is_lost(program: Program, exported: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.jpg"
    good.write_bytes(jpeg(noise(200, 150)))
    paths = broken_files(tmp_path)
    done = program.ask(exported / "model.pte", *paths.values(), good)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) == len(paths) and done.stdout.count("\n") == 1
    for line, (message, path) in zip(lines, paths.items(), strict=True):
        assert line.startswith(f"error: {path}: ") and message in line


def test_a_model_that_is_none_is_one_line(program: Program, exported: Path, tmp_path: Path) -> None:
    content = (exported / "model.pte").read_bytes()
    for number, bad in enumerate(
        [b"", b"ET12", content[:200], content[: len(content) // 2], content[:-9], bytes(9000)]
    ):
        (tmp_path / f"{number}.pte").write_bytes(bad)
        done = program.ask(tmp_path / f"{number}.pte", tmp_path / "x.jpg")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, (number, done)
    old = Path(__file__).parents[1] / "before_the_move" / "export" / "model.pte"
    assert "of another format than this program" in program.ask(old, tmp_path / "x.jpg").stderr
    assert program.ask().returncode == 2


def test_hostile_photos_under_sanitizers(exported: Path, tmp_path: Path) -> None:
    """JPEGs with random bytes exchanged or cut off: an answer or an error, and no wrong memory access."""
    checked = build("host", tmp_path / "build", "-DMPOX_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    random = np.random.default_rng(0)
    sources = [as_phones_write(Image.fromarray(noise(180, 140)), number) for number in (1, 3, 6, 10)]
    for number in range(200):
        content = bytearray(sources[number % len(sources)])
        reach = len(content) if number % 2 else 900  # the headers more often than the rest
        for place in random.integers(2, min(reach, len(content)), int(random.integers(1, 9))):
            content[place] = random.integers(256)
        (tmp_path / f"{number}.jpg").write_bytes(
            content[: random.integers(1, len(content))] if number % 5 == 0 else content
        )
    photos = [*sorted(tmp_path.glob("*.jpg")), *broken_files(tmp_path).values()]
    done = checked.ask(exported / "model.pte", *photos, "--maps", tmp_path)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and "Sanitizer" not in done.stderr, done.stderr[-3000:]
    assert len(errors) + done.stdout.count("\n") == len(photos)


HARNESS = """
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.mpox.LesionModel;
public class Ask {
    public static void main(String[] words) throws Exception {
        try (LesionModel model = new LesionModel(words[0])) {
            LesionModel.Answer one = model.classify(words[1], true);
            System.out.println(one.labels[one.label] + "\\t" + one.refer + "\\t" + one.why + "\\t"
                + Arrays.toString(one.probabilities) + "\\t" + one.map.length + "\\t" + one.overlay.length);
            ByteBuffer grey = ByteBuffer.allocateDirect(4 * 30 * 20);
            System.out.println(model.classify(grey, 30, 20, 120, false).picture.length);
            model.classify(words[2], false);
        } catch (java.io.IOException error) {
            System.out.println(error.getMessage());
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="no Java compiler here")
def test_java_wrapper(program: Program, exported: Path, tmp_path: Path) -> None:
    home = Path(shutil.which("javac") or "").resolve().parents[1]
    built = build("host", tmp_path / "build", "-DMPOX_JNI=ON", f"-DJNI_INCLUDE_DIR={home / 'include'}")
    (tmp_path / "Ask.java").write_text(HARNESS)
    photo, missing = tmp_path / "Läsion \N{GRINNING FACE}.jpg", tmp_path / "keine.jpg"
    photo.write_bytes(jpeg(noise(300, 200)))
    sources = [str(SOURCE / "LesionModel.java"), str(tmp_path / "Ask.java")]
    subprocess.run(["javac", "-encoding", "UTF-8", "-d", str(tmp_path), *sources], check=True)
    command = [
        "java",
        "-Xcheck:jni",
        f"-Djava.library.path={built.folder}",
        "-Dsun.jnu.encoding=UTF-8",
        "-cp",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, "Ask", str(exported / "model.pte"), str(photo), str(missing)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third = done.stdout.splitlines()[-3:]
    label, _, why, chances, n_map, n_overlay = first.split("\t")
    asked = program.ask(exported / "model.pte", photo).stdout.rstrip("\n").split("\t")
    assert (label, why) == (asked[1], asked[3])
    assert np.abs(np.array(json.loads(chances)) - np.array(asked[4].split(","), float)).max() < 1e-6
    size = PhoneModel(exported).image_size
    assert int(n_map) > 1 and int(n_overlay) == int(second) == 3 * size * size
    assert third.startswith(f"{missing}: cannot be opened")
