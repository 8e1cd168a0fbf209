"""The whole story by the commands that people type, one after another in an empty folder: from training to a label.

    python -m pytest -m slow tests/mobile/test_whole_story.py

Drawn photos train a network; it is exported and made an app, in whose camera a drawn lesion is seen; the encrypted
referral is answered on the clinic's page, the answer shown in the app, and both are set against what was promised.
"""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from browser import programs
from clinic_in_browser import Clinic, answered_mpox
from fake_camera import arguments, write_video
from person_in_browser import Person, opened
from served import Host

from mpox.data.photos import open_photo
from mpox.data.sources import manifest
from mpox.errors import UserError
from mpox.field.counts import CALLED
from mpox.files import read_json
from mpox.mobile.site import built_program

for name in ("pyhpke", "fhir.resources"):
    pytest.importorskip(name, reason=f"no {name} here: pip install 'mpox[clinic]'")
pytestmark = pytest.mark.slow

TRAINED = """
python -m mpox.train -m study=story data.subjects_per_class=6 data.photos_per_subject=2 data.size=96 image_size=96 \
  n_folds=3 'fold=range(3)' schedule=probe weights=bundled trainer=cpu logger=none
python -m mpox.compare study=story select=best resamples=1000 logger.mode=disabled
python -m mpox.train study=story model=tf_efficientnet_lite0 fold=all logger=none
"""
MADE = """
python -m mpox.export chosen=runs/story/comparison/chosen.yaml format=onnx recipe=int8_static name=story \
  bound.agreement=0.75 bound.balanced_accuracy=0.25 calibration.photos=16 capture.photos=0 timing.rounds=0 \
  logger.mode=disabled
python -m mpox.clinic keys to=keys 'name=Health centre'
python -m mpox.app model=exports/story out=site 'contact=Health centre, telephone 123' referral.key=keys/clinic.pub.json
"""
LABELLED = "python -m mpox.clinic export inbox=referrals key=keys/clinic.key.json to=labels"
WATCHED = "python -m mpox.evaluate study=story field=labels/answers.csv"
BOTH = "python -m mpox.evaluate study=story 'field=[downloads,labels]'"


def typed(folder: Path, lines: str) -> str:
    """Run commands in `folder`, on one thread; return what the last one printed."""
    for line in lines.strip().splitlines():
        run = subprocess.run(
            [sys.executable, *shlex.split(line)[1:]],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert run.returncode == 0, f"{line}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
        assert "Traceback" not in run.stdout + run.stderr, f"{line}\n{run.stderr[-4000:]}"
    return run.stdout


@pytest.fixture
def camera(lesions: list[Path], tmp_path: Path) -> list[str]:
    """What Chromium is started with to see a drawn lesion of mpox."""
    video = tmp_path / "camera.y4m"
    write_video(video, [(open_photo(next(path for path in lesions if path.parent.name == "mpox")), 10)])
    return arguments(video)


def test_from_training_to_a_label(camera: list[str], tmp_path: Path) -> None:
    programs()
    try:
        built_program()
    except UserError as error:
        pytest.skip(str(error))
    typed(tmp_path, TRAINED)
    typed(tmp_path, MADE)
    host = Host(tmp_path / "site")
    with opened(tmp_path, camera=camera) as browser:
        person = Person(browser, host.url)
        number = person.refer(None, "refer_make")
        outcome = person.stored()["referrals"][0]["outcome"]
        person.press("save")
        file = person.saved(tmp_path, f"{number}.mpox")
        assert json.loads(file.read_text()).keys() == {"format", "version", "id", "suite", "key", "enc", "ciphertext"}
        (tmp_path / "referrals").mkdir()
        (tmp_path / "referrals" / file.name).write_bytes(file.read_bytes())  # as a messenger brings it
        clinic = Clinic("inbox=referrals", "key=keys/clinic.key.json", folder=tmp_path)
        answered_mpox(clinic, tmp_path, number, "Please come in.")
        answer = tmp_path / "referrals" / "answers" / f"{number}.answer.mpox"
        person.wait(answer.is_file)
        assert clinic.end(signal.SIGTERM) == 128 + signal.SIGTERM
        person.press("handed")
        person.open_answer(answer)
        person.sees("mpox", "Please come in.", "Dr. N.")
        person.counts(tmp_path)
    host.stop()

    assert "1 photos of 1 answered cases" in typed(tmp_path, LABELLED)
    labels = manifest(str(tmp_path / "labels" / "manifest.csv")).manifest
    assert (labels["label"].tolist(), labels["subject"].tolist()) == (["mpox"], [number])
    answers = pd.read_csv(tmp_path / "labels" / "answers.csv").iloc[0]
    model = hashlib.sha256((tmp_path / "exports" / "story" / "model.onnx").read_bytes()).hexdigest()
    assert (answers["id"], answers["study"], answers["model_sha256"]) == (number, "story", model)
    assert (answers["outcome"], answers["final"]) == (outcome, "mpox")

    watched = typed(tmp_path, WATCHED)
    assert "1 cases that a clinic answered" in watched and "No phone's counts are given" in watched
    # The command names a case that the app missed; at any outcome it is the one case of the report.
    assert (f"case {number}" in watched) == (outcome not in CALLED)
    assert "Phones answered at the threshold" not in watched  # it came through app and referral as chosen
    found = read_json(tmp_path / "runs" / "story" / "field" / "all" / "field.json")
    assert (found["answers"], found["cases"], found["sensitivity"]["n"]) == (1, None, 1)
    assert found["sensitivity"]["value"] == float(outcome in CALLED)
    both = typed(tmp_path, BOTH)
    assert "1 cases on 1 phones, 1 cases that a clinic answered" in both and "the 1 that phones counted" in both
    found = read_json(tmp_path / "runs" / "story" / "field" / "all" / "field.json")
    assert (found["cases"], found["checked"], found["outcomes"][outcome]["value"]) == (1, 1, 1.0)
