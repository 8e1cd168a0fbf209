"""The commands of curation, one after the other, on real files: audit, merge, apply, release, and training on both."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mpox.commands import curate
from mpox.config import build
from mpox.curation.decisions import DECISION_COLUMNS, write_decisions
from mpox.curation.findings import FILES
from mpox.curation.thresholds import PairThresholds, QualityThresholds
from mpox.data import synthetic
from mpox.data.manifest import write_manifest
from mpox.data.sources import manifest as read_set
from mpox.errors import UserError
from mpox.files import read_json, write_json
from mpox.options import config_dir

COPY = "acne/copy.jpg"


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` (16 synthetic, one of them also in another class, one broken) and its `audit`."""
    base = tmp_path_factory.mktemp("curate")
    synthetic.generate(base / "photos", subjects_per_class=2, photos_per_subject=2, size=96, seed=3)
    shutil.rmtree(base / "photos" / "masks")
    shutil.copy(base / "photos" / "mpox" / "mpox-s001_01.jpg", base / "photos" / COPY)
    (base / "photos" / "mpox" / "broken.jpg").write_bytes(b"no photo")
    curate.audit(configured(base, f"data.root={base}/photos", "data=folder", "data.source=set"))
    return base


def configured(base: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose("curate", [f"output={base}/audit", f"cache_dir={base}/cache", *overrides])


def decisions(path: Path, *rows: tuple[str, ...]) -> str:
    frame = pd.DataFrame([row + ("",) * (7 - len(row)) for row in rows], columns=list(DECISION_COLUMNS), dtype=str)
    write_decisions(frame, path)
    return str(path)


@pytest.fixture
def settled(audited: Path, tmp_path: Path) -> Callable[..., DictConfig]:
    """Configure a command on a copy of the audit; `{tmp}` in an override is the folder of the copy."""
    shutil.copytree(audited / "audit", tmp_path / "audit")
    return lambda *overrides: configured(tmp_path, *(text.replace("{tmp}", str(tmp_path)) for text in overrides))


def test_audit_writes_its_files_and_says_what_is_next(audited: Path) -> None:
    for name in (*FILES, curate.PAGE):
        assert (audited / "audit" / name).stat().st_size > 0, name
    findings = pd.read_parquet(audited / "audit" / "findings.parquet")
    found = set(zip(findings["photo_id"], findings["kind"], strict=True))
    assert {("set/mpox/broken.jpg", "undecodable"), ("set/mpox/mpox-s001_01.jpg", "exact_duplicate")} <= found
    assert "label_conflict" in set(findings["kind"])


def test_apply_then_release_then_train_on_both(
    settled: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = decisions(tmp_path / "decisions.csv", (f"set/{COPY}", "drop", "", "", "copy", "Ann"))
    curated = curate.apply(settled("command=apply", f"decisions={made}")).manifest
    assert curated["keep"].sum() == 16
    printed = capsys.readouterr().out
    assert "1 dropped by reviewers: 1 copy" in " ".join(printed.split())
    command = next(line.split() for line in printed.splitlines() if "mpox.train" in line)
    options = dict(word.split("=", 1) for word in command if "=" in word)
    assert len(read_set(options["data.manifest"], root=options["data.root"]).manifest) == 18
    again = configured(tmp_path / "again", "data=manifest", *(f"{key}={options[key]}" for key in options if "." in key))
    curate.audit(again)  # what was audited may be audited again
    release = ("command=release", "to={tmp}/out", "about.name=tiny", "pictures.size=32", "pictures.format=png")
    folder = curate.release(settled(*release))
    released = read_set(str(folder / "manifest.csv")).manifest
    assert len(released) == 16
    assert released[["width", "height"]].eq(32).all(axis=None)
    assert (tmp_path / "audit" / "release_key.csv").is_file()
    assert "set: unknown (set)" in (folder / "datasheet.md").read_text()


@pytest.mark.parametrize("recorded", [True, False], ids=["with the audit's state", "as earlier versions recorded it"])
def test_an_audit_with_other_labels_is_another(
    settled: Callable[..., DictConfig], audited: Path, tmp_path: Path, recorded: bool
) -> None:
    """What was applied before the labels were corrected is not released after."""
    release = ("command=release", "to={tmp}/out", "about.name=tiny", "pictures.size=32")
    curate.apply(settled("command=apply", "undecided=suggested", "conflicts=keep"))
    if not recorded:
        record = read_json(tmp_path / "audit" / curate.RECORD)
        write_json(tmp_path / "audit" / curate.RECORD, {key: record[key] for key in record if key != "audit_state"})
    curate.release(settled(*release))
    frame = pd.read_parquet(tmp_path / "audit" / "manifest.parquet")
    frame["label"] = frame["label"].replace("acne", "healthy")
    write_manifest(frame, tmp_path / "corrected.csv")
    photos = (f"data.root={audited}/photos", f"data.manifest={tmp_path}/corrected.csv", "data=manifest")
    curate.audit(configured(tmp_path, *photos, f"cache_dir={audited}/cache"))
    with pytest.raises(UserError, match=r"curated\.parquet is of an earlier audit: apply the decisions again"):
        curate.release(settled(*release, "overwrite=true"))
    curate.apply(settled("command=apply", "undecided=suggested", "conflicts=keep"))
    folder = curate.release(settled(*release, "overwrite=true"))
    assert set(read_set(str(folder / "manifest.csv")).manifest["label"]) == {"chickenpox", "healthy", "mpox"}


def test_merge_reports_agreement_and_leaves_conflicts_open(
    settled: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [f"set/mpox/mpox-s001_0{k}.jpg" for k in (1, 2)]
    one = decisions(tmp_path / "ann.csv", (f"set/{COPY}", "drop", "", "", "copy", "Ann"), (photos[0], "keep"))
    two = decisions(
        tmp_path / "bob.csv", (f"set/{COPY}", "drop", "", "", "", "Bob"), (photos[0], "drop"), (photos[1], "keep")
    )
    merge = ("command=merge", f"decisions=[{one},{two}]")
    merged = curate.merge_reviews(settled(*merge))
    assert merged["photo_id"].tolist() == [f"set/{COPY}", photos[1]]
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 photos decided by both; Cohen's kappa 0.000" in printed
    assert "1 conflicts are in" in printed
    assert pd.read_csv(tmp_path / "audit" / "conflicts.csv")["photo_id"].tolist() == [photos[0]]
    with pytest.raises(UserError, match="exists: move it away"):
        curate.merge_reviews(settled(*merge))
    curate.merge_reviews(settled(*merge, "overwrite=true"))


@pytest.mark.parametrize(
    ("command", "overrides", "words"),
    [
        ("apply", (), "give decisions=<file.csv>"),
        ("apply", ("decisions=/no/such.csv",), "no decisions at /no/such.csv"),
        ("apply", ("undecided=suggested",), "under two labels"),
        ("merge_reviews", ("decisions=a.csv",), "merge takes two files"),
        ("release", ("to=x",), "holds no curated manifest"),
        ("audit", ("data=folder",), "data.root"),
    ],
)
def test_mistakes_are_one_line(
    settled: Callable[..., DictConfig], command: str, overrides: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        getattr(curate, command)(settled(*overrides))


def test_an_audit_is_written_into_folders_of_its_own(settled: Callable[..., DictConfig], tmp_path: Path) -> None:
    """A folder with files of the user's, of an audit's names or not, and the folder of the photos are refused."""
    mine, photos = tmp_path / "mine", tmp_path / "photos"
    (photos / "mpox").mkdir(parents=True)
    mine.mkdir()
    (mine / "review.html").write_text("my own")
    for place, words in (
        (mine, "did not write"),
        (photos, "is the folder of the photos"),
        (photos / "audit", "inside"),
    ):
        with pytest.raises(UserError, match=rf"output={place} .*{words}.*give output="):
            curate.audit(settled("data=folder", f"data.root={photos}", f"output={place}"))
    both = [decisions(tmp_path / f"{name}.csv", (f"set/{COPY}", "drop")) for name in ("ann", "bob")]
    with pytest.raises(UserError, match="did not write"):
        curate.merge_reviews(settled("command=merge", f"decisions=[{','.join(both)}]", f"output={mine}"))
    assert [path.name for path in mine.iterdir()] == ["review.html"]
    assert (mine / "review.html").read_text() == "my own" and not (photos / "audit").exists()


def test_words_are_commands_and_mistakes_exit_1(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mpox.curate", "apply", f"output={tmp_path}", "decisions=x.csv"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 1
    assert run.stderr.strip().startswith(f"error: {tmp_path} holds no audit")
    assert "Traceback" not in run.stderr


def test_defaults_of_the_configuration_are_those_of_the_code(tmp_path: Path) -> None:
    cfg = configured(tmp_path)
    assert asdict(build(cfg.pairs)) == asdict(PairThresholds())
    assert asdict(build(cfg.quality)) == asdict(QualityThresholds())


def test_further_photo_sets_are_any_of_the_configured_ones(tmp_path: Path) -> None:
    cfg = configured(tmp_path, "data=msid", "+data@more.second=msld", "more.second.root=elsewhere")
    assert (cfg.data.source, cfg.more.second.source, cfg.more.second.root) == ("msid", "msld", "elsewhere")
