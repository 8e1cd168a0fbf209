"""`hydra/sweeper=optuna`: a search of hyper-parameters whose trial is a whole cross-validation.

The published plugin, hydra-optuna-sweeper 1.3.0, needs optuna < 3 and treats one job as a trial. Here a trial is all
folds with one setting; its value is the mean of the jobs' validation figures, never a figure of the test fold.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from mpox.errors import UserError

log = logging.getLogger(__name__)


class TrialSweeper(Sweeper):
    """Ask Optuna (TPE, seeded) for settings until `n_trials` are finished.

    `params` and the command line give the space in Hydra's syntax: `interval(0, 0.3)`, `choice(a, b)`,
    `tag(log, interval(1e-5, 1e-2))`, `range(1, 5)`. `folds` are launched `folds_at_once`; between launches a
    trial is pruned when its mean so far is below the median of the others after as many folds. `storage` (a SQLAlchemy
    URL) has the state: the same command continues the search, and an interrupted trial keeps its finished folds, since
    its runs are in `<study>/trial-<hash of the setting>`. A failed fold fails its trial.
    """

    def __init__(
        self,
        n_trials: int,
        folds: str,
        folds_at_once: int,
        storage: str,
        seed: int,
        startup_trials: int,
        params: DictConfig,
    ) -> None:
        self.n_trials, self.folds_at_once, self.storage = n_trials, folds_at_once, storage
        self.seed, self.startup_trials = seed, startup_trials
        self.folds, self.params = folds, {str(key): str(value) for key, value in params.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the arguments that Hydra gives to a sweeper, and make the launcher."""
        self.config, self.job_number = config, 0
        self.folder = Path(str(config.hydra.sweep.dir))
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search; returns the best value and setting, and prints them."""
        import optuna  # imported here, since Hydra imports every plugin at every start

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        given = OverridesParser.create().parse_overrides(arguments)
        named = {override.key_or_group for override in given}
        space = [text for text in (f"{k}={v}" for k, v in self.params.items()) if text.partition("=")[0] not in named]
        overrides = [*OverridesParser.create().parse_overrides(space), *given]
        searched = {o.key_or_group: _distribution(o) for o in overrides if o.is_sweep_override()}
        fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        (fold_list,) = OverridesParser.create().parse_overrides([f"fold={self.folds}"])
        folds = list(fold_list.sweep_string_iterator()) if fold_list.is_sweep_override() else [str(fold_list.value())]

        self.folder.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            study_name=self.folder.name,
            storage=self.storage,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=self.startup_trials),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=self.startup_trials),
        )
        for interrupted in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            study.tell(interrupted.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(interrupted.params, user_attrs={"continues": interrupted.number})
        again = sum("continues" in trial.user_attrs for trial in study.get_trials())
        while sum(trial.state.is_finished() for trial in study.get_trials()) < self.n_trials + again:
            self._trial(study, study.ask(searched), fixed, folds)
        return self._report_best(study)

    def _trial(self, study: Any, trial: Any, fixed: Sequence[str], folds: Sequence[str]) -> None:
        import optuna

        setting = [f"{key}={value}" for key, value in trial.params.items()]
        name = f"trial-{hashlib.sha256(' '.join(sorted(setting)).encode()).hexdigest()[:8]}"
        values: list[float] = []
        for batch in _batches(folds, self.folds_at_once):
            jobs = [[*fixed, *setting, f"model.name={name}", f"fold={fold}"] for fold in batch]
            returned = self.launcher.launch(jobs, initial_job_idx=self.job_number)
            self.job_number += len(jobs)
            found = [job.return_value for job in returned]
            if any(value is None for value in found):
                log.warning("trial %d (%s) failed on a fold", trial.number, " ".join(setting))
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                return
            values += found
            trial.report(sum(values) / len(values), step=len(values))
            if len(values) < len(folds) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return
        study.tell(trial, sum(values) / len(values))

    def _report_best(self, study: Any) -> dict[str, Any]:
        if not any(trial.state.name == "COMPLETE" for trial in study.get_trials()):
            raise UserError(f"no trial of {self.folder} finished: the train.log of its jobs gives the reason")
        best = study.best_trial
        log.info("best of %d trials: mean validation figure %.4f", len(study.trials), best.value)
        setting = " ".join(f"{key}={value}" for key, value in best.params.items())
        print(f"best of {len(study.trials)} trials, mean validation figure {best.value:.4f}: {setting}")
        result = {"value": best.value, "params": dict(best.params)}
        OmegaConf.save(OmegaConf.create(result), self.folder / "best.yaml")
        return result


def _batches(folds: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(folds), size):
        yield folds[start : start + size]


def _distribution(override: Override) -> Any:
    """Convert one of Hydra's sweeps to Optuna's distribution. ValueError for a sweep without one (a glob)."""
    import optuna

    value, logarithmic = override.value(), False
    if isinstance(value, IntervalSweep | RangeSweep):
        logarithmic = "log" in value.tags
    if isinstance(value, IntervalSweep):
        kind: Any = optuna.distributions.FloatDistribution
        if isinstance(value.start, int) and isinstance(value.end, int):
            kind = optuna.distributions.IntDistribution
        return kind(value.start, value.end, log=logarithmic)
    if isinstance(value, RangeSweep):
        assert value.start is not None and value.stop is not None
        if not all(isinstance(part, int) for part in (value.start, value.stop, value.step)):
            raise ValueError(f"{override.input_line}: give interval(...) for numbers that are not whole")
        last = value.start + (value.stop - 1 - value.start) // value.step * value.step
        return optuna.distributions.IntDistribution(int(value.start), int(last), step=int(value.step), log=logarithmic)
    if isinstance(value, ChoiceSweep):
        return optuna.distributions.CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ValueError(f"{override.input_line}: give interval(...), range(...) or choice(...)")
