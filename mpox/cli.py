"""One way to start a command and to end it: help, checked options, one line for a mistake, and the same exit codes.

0 done; 1 failed; 2 wrong usage; 130 and 143 stopped by SIGINT and SIGTERM. PyTorch and the like are imported when a
command really runs: help and wrong usage are answered at once.
"""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

from mpox.command import Command
from mpox.errors import Stopped, UsageError, UserError, one_line

DONE, FAILED, USAGE = 0, 1, 2
# Of Python's garbage collector: its usual 700 new objects are reached a thousand times while a command starts.
RARELY = (50_000, 20, 50)
HELP = ("-h", "--help", "help")
# The commands in the order of the work, each a module of this package with a COMMAND.
DOORS = (
    *("curate", "train", "compare", "evaluate", "explain", "export", "publish", "predict", "app", "clinic", "bench"),
    "doctor",
)


def start(command: Command, arguments: Sequence[str] | None = None) -> None:
    """Run a command with `arguments` (default: those typed) and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(command, given)
    except UsageError as error:
        code = _report(f"error: {error}", USAGE)
    except UserError as error:
        code = _report(f"error: {one_line(error, '.')}", FAILED)
    except Stopped as stopped:
        code = _report_stop(stopped)
    sys.exit(code)


def finish(work: Callable[[], int]) -> NoReturn:
    """Run what a command without a configuration does, and exit with the code it returns; else end as `start` does."""
    from mpox.console import accept_every_letter

    accept_every_letter()
    _stop_on_signals()
    try:
        code = work()
    except Stopped as stopped:
        code = _report_stop(stopped)
    except Exception as error:
        code = report(error, ".", str)
    sys.exit(code)


def main() -> None:
    """Run `mpox <command> …`; without a command list them."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in HELP:
        from mpox.help import overview

        _show(overview([_command_of(name) for name in DOORS]))
        sys.exit(DONE if arguments else USAGE)
    if arguments[0] == "--version":
        from mpox import __version__

        print(f"mpox {__version__}")
        sys.exit(DONE)
    if arguments[0] not in DOORS:
        from mpox.options import nearest

        close = nearest(arguments[0], DOORS)
        hint = f"; did you mean mpox {close}?" if close else ""
        sys.exit(_report(f"error: '{arguments[0]}' is no command{hint} (mpox --help lists them)", USAGE))
    start(_command_of(arguments[0]), arguments[1:])


def _command_of(name: str) -> Command:
    command: Command = importlib.import_module(f"mpox.{name}").COMMAND
    return command


def _run(command: Command, arguments: list[str]) -> int:
    if any(word in HELP[:2] for word in arguments) or arguments[:1] == ["help"]:
        from mpox.help import page

        _show(page(command, arguments))
        return DONE
    from mpox.usage import checked

    overrides = checked(command, arguments)
    _stop_on_signals()
    return _compose_and_run(command, overrides)


def _compose_and_run(command: Command, overrides: list[str]) -> int:
    """Hand the checked overrides to Hydra; what its function raises is reported here, in one line where it can be."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from mpox.config import settled
    from mpox.console import quieten
    from mpox.options import config_dir
    from mpox.usage import explained

    quieten()
    if not command.jobs:  # what imports and configurations make stays: looking for garbage in it is a tenth of a start
        gc.set_threshold(*RARELY)
    work = command.load()
    if not command.jobs:
        gc.freeze()  # some libraries ask for a full collection themselves: a tenth of a second each without this
    failures: list[Exception] = []
    place = ["."]

    def task(cfg: Any) -> Any:
        try:
            cfg = settled(cfg, command.configuration)
            place[0] = str(cfg.get(command.place) or ".") if command.place in cfg else "."
            return work(cfg)
        except Exception as error:
            failures.append(error)
            return None

    # Else Hydra prints errors in its own way, and ends the process.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    sys.argv = [command.module, *overrides, *command.extra]
    try:
        function = work if command.jobs else task
        hydra.main(version_base="1.3", config_path=config_dir(), config_name=command.configuration)(function)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(explained(command, error)) from error
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FAILED if ended.code else DONE
    if failures:
        return report(failures[0], place[0], lambda error: explained(command, error))
    return DONE


def report(error: Exception, place: str, explain: Callable[[Exception], str]) -> int:
    """Print why a command that writes into `place` ends; a traceback where its user cannot fix it. Return its code."""
    import traceback

    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UsageError):
        return _report(f"error: {one_line(error, place)}", USAGE)
    if isinstance(error, OmegaConfBaseException):
        return _report(f"error: {explain(error)}", USAGE)
    if not isinstance(error, UserError | OSError):
        traceback.print_exception(error)
    return _report(f"error: {one_line(error, place)}", FAILED)


def _stop_on_signals() -> None:
    """End by an exception that no library takes for its own; a second signal ends the process at once."""

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` and shells ask for jobs in the background
            signal.signal(number, stop)


def _show(text: str) -> None:
    """Print help; a reader that closes its end, as `head` and a pager do, is no mistake."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends


def _report_stop(stopped: Stopped) -> int:
    return _report(f"stopped by {stopped.name}: what is finished is kept; type the same command to go on", stopped.code)


def _report(text: str, code: int) -> int:
    from mpox.console import visible

    print(visible(text), file=sys.stderr)
    return code
