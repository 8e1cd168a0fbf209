"""The commands as typed: exit codes, tables, skipping, resuming after SIGKILL, failures in the middle of a sweep."""

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from mpox.cli import DOORS, start
from mpox.files import read_json
from mpox.options import config_dir, read_options
from mpox.runs.journal import read
from mpox.usage import checked

ENVIRONMENT = {**os.environ, "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


ONE_EPOCH = ("schedule=finetune", "schedule.finetune.epochs=1")


def mpox(*arguments: str, module: str = "mpox.train", **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=1200, **options)  # type: ignore[call-overload,no-any-return]


def states(runs: Path, study: str = "default") -> dict[str, str]:
    found = sorted(runs.glob(f"{study}/*/fold-*/status.json"))
    return {f"{path.parents[1].name}/{path.parent.name}": read_json(path)["state"] for path in found}


def processor_seconds() -> float:
    """Of the commands that have ended: what a busy machine does not change much."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_sweep_isolates_a_failure_and_is_resumed(tiny: list[str], tmp_path: Path) -> None:
    """The headline command on two models and two folds; one job cannot write its directory, then can."""
    runs = tmp_path / "runs"
    options = [option for option in tiny if not option.startswith("model=")]
    sweep = ["-m", *options, *ONE_EPOCH, "model=glob(mobilenetv3_*)", "fold=range(2)"]
    blocker = runs / "default" / "mobilenetv3_large_100"
    blocker.mkdir(parents=True)
    (blocker / "fold-1").write_text("in the way")
    first = mpox(*sweep)
    assert first.returncode == 1, first.stderr
    assert "failed" in first.stdout
    assert first.stdout.count("done in") == 3
    assert [f"job {k} of 4, " in first.stdout for k in (1, 2, 3, 4)] == [True] * 4
    assert "left" in first.stdout and "score" in first.stdout
    (blocker / "fold-1").unlink()
    second = mpox(*sweep)
    assert second.returncode == 0, second.stderr
    assert (second.stdout.count("done in"), second.stdout.count("skipped in")) == (1, 3)
    assert states(runs) == {f"mobilenetv3_{size}_100/fold-{k}": "done" for size in ("small", "large") for k in (0, 1)}
    splits = {read_json(path)["splits_sha256"] for path in runs.glob("default/*/*/environment.json")}
    assert len(splits) == 1
    damaged = runs / "default" / "mobilenetv3_small_100" / "fold-0" / "predictions.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    third = mpox(*sweep)
    assert third.returncode == 0, third.stderr
    assert (third.stdout.count("done in"), third.stdout.count("skipped in")) == (1, 3)


def test_models_without_weights_are_named_before_anything_trains(tiny: list[str], tmp_path: Path) -> None:
    options = [option for option in tiny if not option.startswith(("model=", "weights="))]
    run = mpox("-m", *options, *ONE_EPOCH, "model=tf_efficientnet_lite0,vgg16", "fold=0")
    assert run.returncode == 1
    assert "1 of 2 models have no weights and are left out: vgg16" in " ".join(run.stderr.split())
    assert run.stderr.index("left out") < run.stderr.index("probe") if "probe" in run.stderr else True
    assert states(tmp_path / "runs") == {"tf_efficientnet_lite0/fold-0": "done"}
    assert not (tmp_path / "runs" / "default" / "vgg16").exists()


def test_bad_input_is_one_line_and_exit_1(tiny: list[str]) -> None:
    run = mpox(*tiny, "fold=7")
    assert run.returncode == 1
    assert run.stderr.strip() == "error: fold=7 does not exist: with n_folds=3 the folds are 0 to 2, and all"
    assert "Traceback" not in run.stdout


def test_flags_may_stand_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra's parser takes no flag between overrides; `study=a -m fold=0,1` is what people type."""
    typed = ["study=a", "-cd", "more", "fold=0,1", "-m", "model=vgg16"]
    assert checked(import_module("mpox.train").COMMAND, typed) == [
        *("--config-dir=more", "--multirun", "study=a", "fold=0,1", "model=vgg16")
    ]
    shown = mpox("study=a", "--info", "config", "n_folds=3")
    assert shown.returncode == 0 and "study: a" in shown.stdout and "n_folds: 3" in shown.stdout, shown.stderr


# What many type first, and a part of the one line that answers it.
MISTAKES = {
    "curate adit": "'adit' is no command of mpox.curate: did you mean audit?",
    "train folds=3": "mpox.train has no option 'folds': did you mean fold?",
    "train epochs=3": "did you mean schedule.finetune.epochs?",
    "train +epochs=3": "did you mean schedule.finetune.epochs?",
    "train fold=one": "fold takes a whole number or all, not 'one': write it as in fold=0",
    "train image_size=[64,64]": "image_size takes a whole number, not '[64,64]'",
    "train seed=-1": "seed=-1 is too small: seed is at least 0",
    "train label_smoothing=nan": "label_smoothing takes a number, not 'nan'",
    "compare study=s rope=inf": "rope takes a number, not 'inf'",
    "compare study=s prevalences=[0.1,a]": "prevalences takes a list of numbers, not '[0.1,a]'",
    "train schedule.probe.penalties=often": "schedule.probe.penalties takes a list of numbers, not 'often'",
    "train balance=a=b(": "write \"balance='a=b('\"",
    "train data.classes={0:mpox": "close its brackets",
    "train data=foldr": "data=foldr is unknown: did you mean folder?",
    "train data.root=x": "data.root is no option of the data chosen: it belongs to data=folder or",
    "train study=a -m --cfg job fold=0,1": "--multirun and --cfg do not go together",
    "train study=a --cfg jobs": "--cfg takes one of job, hydra, all, not 'jobs'",
    "train study=a --config-dir": "--config-dir takes a value",
    "train --experimental-rerun config.pickle": "--experimental-rerun is no flag of mpox.train",
    "train --fold 3": "options are written name=value, here fold=<value>",
    "train fold=0,1": "several values at once need -m",
    "train study=${nothing}": "a value refers to 'nothing', which there is not",
    "compare": "give study=<name>",
    "predict mdoel=x": "mpox.predict has no option 'mdoel': did you mean model?",
}


@pytest.mark.parametrize("typed", MISTAKES)
def test_wrong_usage_is_answered_in_one_line_with_exit_code_2(
    typed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own handlers
    name, *arguments = typed.split()
    with pytest.raises(SystemExit) as ended:
        start(import_module(f"mpox.{name}").COMMAND, arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Error executing job")]
    assert ended.value.code == 2
    assert len(lines) == 1 and MISTAKES[typed] in lines[0], lines
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("name", ["mobile.check", "mobile.arm", "report.phones"])
def test_a_place_that_cannot_be_read_ends_in_one_line(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the commands that take no configuration."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own handlers
    monkeypatch.setattr(sys, "argv", [name, "a" * 300])
    with pytest.raises(SystemExit) as ended:
        import_module(f"mpox.{name}").main()
    printed = capsys.readouterr()
    assert ended.value.code == 1 and printed.out == ""
    assert printed.err.startswith("error: ") and "File name too long" in printed.err and printed.err.count("\n") == 1


@pytest.mark.parametrize("name", DOORS)
def test_help_explains_every_option_and_imports_nothing_heavy(name: str) -> None:
    program = (
        f"import sys, runpy; sys.argv = ['mpox.{name}', '--help']\n"
        "try:\n    runpy.run_module(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print('modules', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert run.returncode == 0, run.stderr
    page, _, modules = run.stdout.rpartition("modules")
    heavy = {"torch", "timm", "lightning", "pandas", "numpy", "hydra", "omegaconf", "matplotlib", "PIL", "wandb"}
    assert not heavy & set(modules.split())
    command = import_module(f"mpox.{name}").COMMAND
    groups, options = read_options(command.configuration)
    typed = {own: name for name, own in command.renamed.items()}
    for option in options:
        if option.kind != "block" and not (option.name == "command" and command.words):
            assert f"  {typed.get(option.name, option.name)}=" in page, option.name
    for group in groups:
        assert f"\n{group.name}={group.chosen}" in page
    for example in command.examples:
        assert example in page


def test_every_option_of_a_command_is_explained() -> None:
    silent = {
        option.name
        for name in DOORS
        for option in read_options(import_module(f"mpox.{name}").COMMAND.configuration)[1]
        if not option.words and "." not in option.name
    }
    assert silent == set()


def test_examples_of_the_help_compose() -> None:
    for name in DOORS:
        command = import_module(f"mpox.{name}").COMMAND
        assert len(command.examples) >= 3
        for example in command.examples:
            words = shlex.split(example)
            assert words[:3] == ["python", "-m", command.module]
            checked(command, words[3:])


def test_help_may_be_cut_by_its_reader() -> None:
    typed = f"{shlex.quote(sys.executable)} -m mpox.train --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", typed], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")


def test_mpox_lists_its_commands_and_runs_them() -> None:
    shown = mpox("--help", module="mpox")
    assert shown.returncode == 0
    assert all(f"\n  {name} " in shown.stdout for name in DOORS)
    assert mpox("train", "--help", module="mpox").stdout == mpox("--help").stdout
    wrong = mpox("trian", module="mpox")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean mpox train?" in wrong.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_while_fine_tuning_ends_in_one_line(
    tiny: list[str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Lightning ends a job with 0 on SIGTERM; here the shell and the run directory learn what happened."""
    options = [*tiny, "schedule=finetune", "schedule.finetune.epochs=2000"]
    job = subprocess.Popen(
        [sys.executable, "-m", "mpox.train", *options],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a background shell has it ignored
    )  # fmt: skip
    run = tmp_path / "runs" / "default" / "mobilenetv3_small_100" / "fold-0"
    deadline = time.monotonic() + 120
    try:
        while not (run / "resume" / "last.ckpt").exists():
            assert job.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        job.send_signal(number)
        _, printed = job.communicate(timeout=60)
    finally:
        job.kill()
    assert job.returncode == code, printed
    assert "Traceback" not in printed
    assert printed.splitlines()[-1] == (
        f"stopped by {number.name}: what is finished is kept; type the same command to go on"
    )
    assert read_json(run / "status.json")["state"] == "interrupted"
    assert [entry.state for entry in read(tmp_path / "runs")] == ["interrupted"]
    assert "fine-tuning: epoch 1 of 2000" in printed  # no terminal: lines instead of a bar


def test_doctor(tiny: list[str]) -> None:
    options = [option for option in tiny if not option.startswith("model=")]
    good = mpox(*options, module="mpox.doctor")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "24 photos, all readable" in good.stdout
    assert "torch 2.13" in good.stdout
    bad = mpox("weights=bundled", "data=folder", "data.root=/nowhere", "logger=none", module="mpox.doctor")
    assert bad.returncode == 1
    assert "data.root=/nowhere is not a folder" in bad.stdout
    assert "fix:" in bad.stdout


@pytest.mark.slow
def test_doctor_without_a_network(tiny: list[str]) -> None:
    """Offline, the bundled weights are enough for the default: sound, and the files of the rest are all named."""
    options = [option for option in tiny if not option.startswith(("model=", "weights="))]
    sound = mpox(*options, "weights=bundled", module="mpox.doctor")
    assert sound.returncode == 0, sound.stdout + sound.stderr
    without_weights = len(list(Path(config_dir()).glob("model/*.yaml"))) - 3  # three networks' are bundled
    assert f"no weights found for {without_weights} other models" in sound.stdout
    assert "vgg16.tv_in1k.safetensors" in sound.stdout and "xception" in sound.stdout
    listed = [line for line in sound.stdout.splitlines() if ".safetensors" in line]
    assert sum(line.count(".safetensors") for line in listed) == without_weights
    assert max(map(len, listed)) <= 80  # names below the line, not in one of a thousand letters
    without = mpox(*options, "weights=bundled", "model=vgg16", module="mpox.doctor")
    assert without.returncode == 1
    assert (
        "no weights for vgg16, the model configured" in without.stdout
        and f"{without_weights - 1} other models" in without.stdout
    )


def kill_when(arguments: list[str], ready: Path, delay: float) -> None:
    """Start a job, SIGKILL it `delay` seconds after `ready` exists."""
    job = subprocess.Popen(
        [sys.executable, "-m", "mpox.train", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not ready.exists():
        assert job.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.7], ids=["between epochs", "mid-epoch"])
def test_killed_job_resumes_to_the_same_predictions(tmp_path: Path, delay: float) -> None:
    options = [
        *("image_size=96", "n_folds=5", "model=mobilenetv3_small_100", "weights=none", "schedule=finetune"),
        *("schedule.finetune.epochs=4", "batch_size=8", "logger=none", f"runs_dir={tmp_path}/runs", "trainer=cpu"),
        *("data.size=96", "dropout=0.1"),
    ]
    assert mpox(*options, "study=whole").returncode == 0
    run = tmp_path / "runs" / "killed" / "mobilenetv3_small_100" / "fold-0"
    kill_when([*options, "study=killed"], run / "resume" / "last.ckpt", delay)
    assert read_json(run / "status.json")["state"] == "running"
    assert mpox(*options, "study=killed").returncode == 0
    assert "resuming" in (run / "train.log").read_text()
    whole = pd.read_parquet(tmp_path / "runs" / "whole" / "mobilenetv3_small_100" / "fold-0" / "predictions.parquet")
    pd.testing.assert_frame_equal(whole, pd.read_parquet(run / "predictions.parquet"), check_exact=True)


@pytest.mark.slow
def test_several_devices_train_one_job(tiny: list[str], tmp_path: Path) -> None:
    """`trainer=ddp` on two processes of the processor: each takes its share, and one result is written, that of one."""
    # Not the usual weights of classes, a mean over a batch; a norm that learns would see its process's part alone.
    options = ["threads=1", *ONE_EPOCH, "schedule.finetune.norms=frozen", "balance=none"]
    run = mpox(*tiny, *options, "study=one", "batch_size=16")
    assert run.returncode == 0, run.stderr
    several = ["study=several", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    run = mpox(*(option for option in tiny if not option.startswith("trainer")), *options, *several)
    assert run.returncode == 0, run.stderr
    assert states(tmp_path / "runs", "several") == {"mobilenetv3_small_100/fold-0": "done"}
    place = tmp_path / "runs" / "several" / "mobilenetv3_small_100" / "fold-0"
    log = (place / "train.log").read_text()
    assert "2 processes of 8 photos: 16 photos a step" in log and "optimizer.lr=0.0005" in log
    tables = [
        pd.read_parquet(tmp_path / "runs" / study / "mobilenetv3_small_100" / "fold-0" / "predictions.parquet")
        for study in ("one", "several")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=False, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_headline_command_trains_every_model_and_skips_what_is_done(tmp_path: Path) -> None:
    sweep = [
        *("-m", "model=glob(*)", "fold=range(2)", "weights=none", "schedule=finetune", "schedule.finetune.epochs=1"),
        *("image_size=96", "n_folds=3", "data.subjects_per_class=3", "data.photos_per_subject=2", "data.size=96"),
        *("logger=none", f"runs_dir={tmp_path}/runs", "batch_size=8"),
    ]
    first = mpox(*sweep)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    finished = states(tmp_path / "runs")
    assert len(finished) == 52
    assert set(finished.values()) == {"done"}
    before = processor_seconds()
    second = mpox(*sweep)
    assert second.returncode == 0
    assert second.stdout.count("skipped in") == 52
    assert processor_seconds() - before < 60


@pytest.mark.slow
def test_wheel_works_in_another_directory(tmp_path: Path) -> None:
    """conf/ and sweeps/ travel inside the wheel; the installed copy, not the checkout, is what runs."""
    checkout = Path(__file__).parents[1]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(checkout)]
    subprocess.run(build, check=True, timeout=300)
    target = tmp_path / "site"
    wheel = next(tmp_path.glob("mpox-*.whl"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import mpox; from mpox.options import config_dir;"
        "print(config_dir(), config_dir('sweeps')); from mpox.train import main; main()"
    )
    options = [
        *(
            "weights=none",
            "schedule=finetune",
            "schedule.finetune.epochs=1",
            "image_size=32",
            "n_folds=3",
            "data.size=32",
        ),
        *("data.subjects_per_class=3", "data.photos_per_subject=1", "logger=none", "model=mobilenetv3_small_100"),
    ]
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, str(target), *options],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert f"{target}/mpox/conf {target}/mpox/sweeps" in run.stdout
    assert (tmp_path / "runs" / "default" / "mobilenetv3_small_100" / "fold-0" / "status.json").exists()
